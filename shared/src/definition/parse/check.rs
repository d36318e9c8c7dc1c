//! Checks across the parts of a test, and the look-up of names.
//!
//! Owns what no part can see alone: groups that name registrars and groups, accounts against
//! counts, pairs, addresses, the allow-list.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::super::mistake::{Mistakes, Spot};
use super::super::{Group, Network, Target};
use super::accounts::AccountsDraft;
use super::group::{CountDraft, ENDPOINTS_MAX, GroupDraft};
use super::nearest::nearest;
use super::registrar::RegistrarDraft;
use super::section::Given;
use super::target::{TargetDraft, literal};
use crate::units::Millis;

/// Everything that was read, before the parts are put together.
pub(super) struct Parts<'p> {
    pub(super) registrars: &'p [RegistrarDraft],
    pub(super) allow: &'p [Network],
    pub(super) duration: Millis,
    /// All registrars of a saved test's project; none: a test file.
    pub(super) project: Option<&'p [crate::api::Registrar]>,
}

/// Looks up names, cuts accounts to counts, and reports what does not fit together.
pub(super) fn resolve(
    parts: &Parts<'_>,
    drafts: Vec<GroupDraft>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Group> {
    if parts.project.is_none() || !parts.allow.is_empty() {
        targets_are_allowed(parts, &drafts, mistakes);
    }
    binds_are_unique(&drafts, mistakes);
    let names: Vec<String> = drafts
        .iter()
        .map(|draft| draft.group.name.clone())
        .collect();
    let receives: Vec<bool> = drafts
        .iter()
        .map(|draft| matches!(draft.target, TargetDraft::Receives | TargetDraft::Broken))
        .collect();
    let mut pairs: Vec<(usize, usize, Given<String>)> = Vec::new();
    let mut open: Vec<(usize, Spot)> = Vec::new();
    let mut groups = Vec::with_capacity(drafts.len());
    let mut counted = Vec::with_capacity(drafts.len());
    let mut users: HashMap<(u16, String), String> = HashMap::new();
    for (index, mut draft) in drafts.into_iter().enumerate() {
        durations_fit(&draft, parts.duration, mistakes);
        let mut group = draft.group.clone();
        let registrar = draft.registrar.take();
        group.registrar = registrar
            .as_ref()
            .and_then(|given| registrar_index(given, parts, mistakes));
        let has_registrar = registrar.is_some();
        let (count, accounts) = count_and_accounts(parts, &mut draft, has_registrar, mistakes);
        counted.push(count);
        group.count = count.unwrap_or(1);
        group.accounts = accounts;
        if parts.project.is_none() {
            usernames_are_unique(&group, &draft.spot, &mut users, mistakes);
        }
        match draft.target {
            TargetDraft::Uri { uri, .. } => group.target = Target::Uri(uri.value),
            TargetDraft::Receives => {
                if !has_registrar && group.sip_bind.is_none() {
                    open.push((index, draft.spot));
                }
                group.target = Target::Receives;
            }
            TargetDraft::Group(name) => {
                if let Some(callee) = callee_index(&name, &names, index, &receives, mistakes) {
                    group.target = Target::Group(u16::try_from(callee).unwrap_or(u16::MAX));
                    pairs.push((index, callee, name));
                }
            }
            TargetDraft::Nobody | TargetDraft::Broken => {}
        }
        groups.push(group);
    }
    pairs_fit(&pairs, &names, &counted, mistakes);
    somebody_can_call(&open, &pairs, mistakes);
    groups
}

fn durations_fit(draft: &GroupDraft, duration: Millis, mistakes: &mut Mistakes<'_>) {
    for (given, what) in [
        (&draft.call_duration, "call"),
        (&draft.ring_time, "ring time"),
    ] {
        if let Some(given) = given
            && given.value >= duration
        {
            let message = format!(
                "a {what} of {} does not fit into the test's duration of {duration}",
                given.value
            );
            mistakes.add(&given.spot, message);
        }
    }
}

fn registrar_index(
    name: &Given<String>,
    parts: &Parts<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<u16> {
    let registrars = parts.registrars;
    let known = || registrars.iter().map(|draft| draft.registrar.name.as_str());
    if let Some(index) = known().position(|known| known == name.value) {
        return u16::try_from(index).ok();
    }
    if let Some(project) = parts.project {
        let near = nearest(&name.value, project.iter().map(|own| own.name.as_str()));
        let hint = near.map_or_else(
            || "store it in the project (POST …/registrars)".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        let message = format!("{NO_REGISTRAR} `{}`; {hint}", name.value);
        mistakes.add(&name.spot, message);
        return None;
    }
    let message = match nearest(&name.value, known()) {
        Some(meant) => format!(
            "there is no registrar `{}`; did you mean `{meant}`?",
            name.value
        ),
        None if registrars.is_empty() => {
            format!(
                "there is no registrar `{0}`; add a table [registrars.{0}]",
                name.value
            )
        }
        None => {
            let known: Vec<&str> = known().collect();
            format!(
                "there is no registrar `{}`; there are {}",
                name.value,
                known.join(", ")
            )
        }
    };
    mistakes.add(&name.spot, message);
    None
}

/// The count, and the first `count` accounts. No count is known where it or the accounts it
/// would be taken from are wrong.
fn count_and_accounts(
    parts: &Parts<'_>,
    draft: &mut GroupDraft,
    has_registrar: bool,
    mistakes: &mut Mistakes<'_>,
) -> (Option<u32>, Vec<super::super::Account>) {
    let accounts = std::mem::replace(&mut draft.accounts, AccountsDraft::Broken);
    let key = |name: &str| Spot {
        at: draft.spot.at,
        key: format!("{}.{name}", draft.spot.key),
    };
    let present = match &accounts {
        AccountsDraft::Given(given) => u32::try_from(given.value.len()).ok(),
        AccountsDraft::Absent | AccountsDraft::Broken => None,
    };
    let saved = parts.project.is_some();
    if saved && !has_registrar && !matches!(accounts, AccountsDraft::Absent) {
        let message = "are picked from a registrar's; name it: registrar = \"NAME\"";
        mistakes.add(&key("accounts"), message);
    }
    if has_registrar && !saved && matches!(accounts, AccountsDraft::Absent) {
        let message = "is missing, and the group registers; write accounts = { pattern = \
                       \"user{0001..0100}\", password = \"pw-{username}\" }";
        mistakes.add(&key("accounts"), message);
    }
    let count = match &draft.count {
        CountDraft::Broken => None,
        CountDraft::Given(given) => Some(given.value),
        CountDraft::Absent => {
            if matches!(accounts, AccountsDraft::Absent) {
                mistakes.add(
                    &key("count"),
                    "is missing; write how many endpoints, count = 10",
                );
            }
            present
        }
    };
    let AccountsDraft::Given(mut given) = accounts else {
        return (count, Vec::new());
    };
    if let (Some(count), Some(present)) = (count, present) {
        if present < count {
            let message = format!(
                "{present} accounts for {count} endpoints; add {} or write count = {present}",
                count - present
            );
            mistakes.add(&given.spot, message);
        }
        // A saved test may pick from more accounts than it has endpoints: some may be in use.
        if !saved {
            given.value.truncate(count as usize);
        }
    }
    (count, given.value)
}

/// One address of record is one endpoint's: two would overwrite each other's registration.
fn usernames_are_unique(
    group: &Group,
    spot: &Spot,
    users: &mut HashMap<(u16, String), String>,
    mistakes: &mut Mistakes<'_>,
) {
    let Some(registrar) = group.registrar else {
        return;
    };
    let spot = Spot {
        at: spot.at,
        key: format!("{}.accounts", spot.key),
    };
    let mut twice = 0_usize;
    let mut first = None;
    for account in &group.accounts {
        let key = (registrar, account.username.clone());
        if let Some(owner) = users.insert(key, group.name.clone()) {
            twice += 1;
            first.get_or_insert((account.username.clone(), owner));
        }
    }
    let Some((user, owner)) = first else { return };
    let others = match twice - 1 {
        0 => String::new(),
        more => format!(", and so are {more} more"),
    };
    let message = format!(
        "the account `{user}` is used twice (also in the group `{owner}`){others}; each endpoint \
         needs its own"
    );
    mistakes.add(&spot, message);
}

fn callee_index(
    name: &Given<String>,
    names: &[String],
    caller: usize,
    receives: &[bool],
    mistakes: &mut Mistakes<'_>,
) -> Option<usize> {
    let Some(callee) = names.iter().position(|known| *known == name.value) else {
        let message = match nearest(&name.value, names.iter().map(String::as_str)) {
            Some(meant) => format!(
                "there is no group `{}`; did you mean `{meant}`?",
                name.value
            ),
            None => format!(
                "there is no group `{}`; there are {}",
                name.value,
                names.join(", ")
            ),
        };
        mistakes.add(&name.spot, message);
        return None;
    };
    if callee == caller {
        mistakes.add(&name.spot, "a group cannot call itself; call another group");
        return None;
    }
    if receives.get(callee) != Some(&true) {
        let message = format!(
            "the group `{0}` does not receive calls; write receives = true in it",
            name.value
        );
        mistakes.add(&name.spot, message);
        return None;
    }
    Some(callee)
}

/// Endpoint *i* of a caller group calls endpoint *i* of its callee group, and nobody else does.
fn pairs_fit(
    pairs: &[(usize, usize, Given<String>)],
    names: &[String],
    counts: &[Option<u32>],
    mistakes: &mut Mistakes<'_>,
) {
    let count = |index: usize| counts.get(index).copied().flatten();
    for (place, (caller, callee, name)) in pairs.iter().enumerate() {
        if let (Some(callers), Some(callees)) = (count(*caller), count(*callee))
            && callers > callees
        {
            let message = format!(
                "{callers} callers need as many callees, one each, but the group `{}` has {callees}",
                name.value
            );
            mistakes.add(&name.spot, message);
        }
        let earlier = pairs
            .iter()
            .take(place)
            .find(|(_, other, _)| other == callee);
        if let Some((first, _, _)) = earlier {
            let first = names.get(*first).map_or("", String::as_str);
            let message = format!(
                "the group `{}` is called by the group `{first}` already; pairs are one to one",
                name.value
            );
            mistakes.add(&name.spot, message);
        }
    }
}

fn somebody_can_call(
    open: &[(usize, Spot)],
    pairs: &[(usize, usize, Given<String>)],
    mistakes: &mut Mistakes<'_>,
) {
    for (index, spot) in open {
        if !pairs.iter().any(|(_, callee, _)| callee == index) {
            let message = "receives calls, but nobody can reach it; give it a registrar or \
                           sip_bind = \"ADDRESS:PORT\", or let another group call it";
            mistakes.add(spot, message);
        }
    }
}

fn binds_are_unique(drafts: &[GroupDraft], mistakes: &mut Mistakes<'_>) {
    let mut taken: Vec<(SocketAddr, &str)> = Vec::new();
    for draft in drafts {
        let Some(bind) = &draft.sip_bind else {
            continue;
        };
        if bind.value.port() == 0 {
            continue;
        }
        let clash = taken.iter().find(|(other, _)| overlap(*other, bind.value));
        if let Some((_, owner)) = clash {
            let message = format!(
                "{} is taken by the group `{owner}`; give it its own port",
                bind.value
            );
            mistakes.add(&bind.spot, message);
        }
        let many = !matches!(&draft.count, CountDraft::Given(count) if count.value == 1);
        if draft.group.sip_socket_per_endpoint && many {
            let message = "one port cannot be a socket for each endpoint; write port 0, or leave \
                           out sip_socket_per_endpoint";
            mistakes.add(&bind.spot, message);
        }
        taken.push((bind.value, draft.group.name.as_str()));
    }
}

fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let wild = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && (wild || left.ip() == right.ip())
}

/// How the sentence of a missing registrar begins.
pub(super) const NO_REGISTRAR: &str = "there is no registrar";

/// Says early what the socket would refuse later (DESIGN 12). Names are checked when they are
/// resolved.
fn targets_are_allowed(parts: &Parts<'_>, drafts: &[GroupDraft], mistakes: &mut Mistakes<'_>) {
    for draft in parts.registrars {
        let registrar = &draft.registrar;
        match (&registrar.outbound_proxy, &draft.proxy_spot) {
            (Some(proxy), Some(spot)) => {
                let host = proxy
                    .rsplit_once(':')
                    .map_or(proxy.as_str(), |(host, _)| host);
                host_is_allowed(host, spot, parts.allow, mistakes);
            }
            _ => host_is_allowed(&registrar.host, &draft.host_spot, parts.allow, mistakes),
        }
    }
    for draft in drafts {
        // A registrar's proxy is the next hop whatever the URI says.
        if let (TargetDraft::Uri { uri, host }, None) = (&draft.target, &draft.registrar) {
            host_is_allowed(host, &uri.spot, parts.allow, mistakes);
        }
    }
}

fn host_is_allowed(host: &str, spot: &Spot, allow: &[Network], mistakes: &mut Mistakes<'_>) {
    let Some(address) = literal(host) else { return };
    let address = address.to_canonical();
    if address.is_loopback() || allow.iter().any(|network| network.contains(address)) {
        return;
    }
    let prefix = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let message = format!(
        "{address} {NOT_ALLOWED}; write allow_targets = [\"{address}/{prefix}\"] at the top, \
         if you may load it"
    );
    mistakes.add(spot, message);
}

/// In the sentence about a target outside of the test's own list.
pub(super) const NOT_ALLOWED: &str = "is not in allow_targets";

/// Reports more endpoints than a run may have.
pub(super) fn total_fits(groups: &[Group], spot: &Spot, mistakes: &mut Mistakes<'_>) {
    let total: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
    if total > u64::from(ENDPOINTS_MAX) {
        let message = format!("{total} endpoints in all; a run has at most {ENDPOINTS_MAX}");
        mistakes.add(spot, message);
    }
}
