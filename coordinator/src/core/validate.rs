//! Everything that must hold before a run may be QUEUED. All problems at once, not the first only.
//!
//! Source: PRODUCT §2 (pre-run validation) and §7 (what the user must be told). The node repeats the
//! checks of descriptors and ports exactly when it prepares; here they are lower bounds, so that a
//! run that could work is never refused.

use std::net::IpAddr;
use std::time::Instant;

use shared::definition::{Group, Media, SocketMode, Target, Test};
use shared::wire::{NodeStatus, Problem};

use super::cluster::Cluster;
use super::limits::limited;
use super::placement;

/// What a run is checked against.
pub(crate) struct Context<'a> {
    /// Limits that it would exceed, as the books say.
    pub(crate) limits: Vec<Problem>,
    /// Groups whose accounts were picked from a pool: too few of them are among `limits`.
    pub(crate) picked: &'a [u16],
    /// Nodes.
    pub(crate) nodes: &'a Cluster,
    /// Media files of the test that do not exist, as the shell found.
    pub(crate) missing_media: &'a [String],
}

/// Every reason why `test` cannot run now; empty where it can.
pub(crate) fn validate(now: Instant, test: &Test, context: Context<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    shape(test, &mut problems);
    problems.extend(context.limits);
    accounts(test, context.picked, &mut problems);
    targets(test, &mut problems);
    for path in context.missing_media {
        problem(
            &mut problems,
            "media_file_missing",
            format!("The media file `{path}` does not exist or cannot be read; check its path."),
        );
    }
    capacity(now, test, context.nodes, &mut problems);
    problems
}

fn shape(test: &Test, problems: &mut Vec<Problem>) {
    if test.endpoint_count() == 0 {
        problem(
            problems,
            "no_endpoints",
            "The test has no endpoints; give a group a count of at least 1.".to_owned(),
        );
    }
    for group in &test.groups {
        if group.codecs.is_empty() {
            problem(
                problems,
                "no_codec",
                format!("Group `{}` has no codec; name at least one.", group.name),
            );
        }
        if let Some(registrar) = group.registrar
            && test.registrars.get(usize::from(registrar)).is_none()
        {
            problem(
                problems,
                "registrar_missing",
                format!(
                    "Group `{}` names a registrar that the test does not have.",
                    group.name
                ),
            );
        }
        if let Target::Group(callee) = group.target {
            called_group(test, group, usize::from(callee), problems);
        }
    }
}

fn called_group(test: &Test, group: &Group, callee: usize, problems: &mut Vec<Problem>) {
    let Some(callee) = test.groups.get(callee) else {
        problem(
            problems,
            "target_group_missing",
            format!(
                "Group `{}` calls a group that the test does not have.",
                group.name
            ),
        );
        return;
    };
    if callee.target != Target::Receives {
        problem(
            problems,
            "target_group_does_not_receive",
            format!(
                "Group `{}` calls group `{}`, which does not receive calls; set its target to `receives`.",
                group.name, callee.name
            ),
        );
    }
    if callee.count < group.count {
        problem(
            problems,
            "target_group_too_small",
            format!(
                "Group `{}` has {} callers but group `{}` only {} endpoints; endpoint i calls endpoint i.",
                group.name, group.count, callee.name, callee.count
            ),
        );
    }
}

fn accounts(test: &Test, picked: &[u16], problems: &mut Vec<Problem>) {
    let given = test.groups.iter().enumerate().filter(|(place, _)| {
        let place = u16::try_from(*place).unwrap_or(u16::MAX);
        !picked.contains(&place)
    });
    let given: Vec<&Group> = given.map(|(_, group)| group).collect();
    for (index, registrar) in test.registrars.iter().enumerate() {
        let groups = given
            .iter()
            .filter(|group| group.registrar.map(usize::from) == Some(index));
        for group in groups {
            let needed = group.count as usize;
            let present = group.accounts.len();
            if present < needed {
                problems.push(limited(
                    "not_enough_accounts",
                    "accounts",
                    (present as u64, 0, needed as u64),
                    None,
                    format!(
                        "Group `{}` needs {needed} SIP accounts at registrar `{}` and {present} are present; add {} or lower its count.",
                        group.name,
                        registrar.name,
                        needed - present
                    ),
                ));
            }
        }
    }
}

fn targets(test: &Test, problems: &mut Vec<Problem>) {
    let mut refuse = |what: String, host: &str| {
        let Some(address) = literal(host) else { return };
        if !is_allowed(test, address) {
            problem(
                problems,
                "target_not_allowed",
                format!(
                    "{what} is {address}, which is not in the allow-list; add its network to `allow_targets` if it is yours to test."
                ),
            );
        }
    };
    for registrar in &test.registrars {
        refuse(format!("Registrar `{}`", registrar.name), &registrar.host);
        if let Some(proxy) = &registrar.outbound_proxy {
            refuse(
                format!("The outbound proxy of registrar `{}`", registrar.name),
                uri_host(proxy),
            );
        }
    }
    for group in &test.groups {
        if let Target::Uri(uri) = &group.target {
            refuse(
                format!("The target of group `{}`", group.name),
                uri_host(uri),
            );
        }
    }
}

/// Loopback always; all else by the operator's list (DESIGN 12). Names are checked at the socket.
fn is_allowed(test: &Test, address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
        || test
            .allow_targets
            .iter()
            .any(|network| network.contains(address))
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// The host of a SIP URI or of `host:port`, brackets kept; whatever else comes, a slice of it.
fn uri_host(uri: &str) -> &str {
    let text = uri.trim().trim_start_matches('<').trim_end_matches('>');
    let lower = text.as_bytes();
    let text = [&b"sips:"[..], b"sip:"]
        .into_iter()
        .find(|scheme| {
            lower
                .get(..scheme.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        })
        .and_then(|scheme| text.get(scheme.len()..))
        .unwrap_or(text);
    let text = text.split([';', '?']).next().unwrap_or(text);
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if text.starts_with('[') {
        return text
            .find(']')
            .and_then(|end| text.get(..=end))
            .unwrap_or(text);
    }
    match text.split_once(':') {
        // More than one colon without brackets is a bare IPv6 address.
        Some((_, rest)) if rest.contains(':') => text,
        Some((host, _)) => host,
        None => text,
    }
}

/// Nodes, and lower bounds of descriptors and ports on each set of nodes that groups may run on.
pub(crate) fn capacity(now: Instant, test: &Test, nodes: &Cluster, problems: &mut Vec<Problem>) {
    let found = placement::problems(now, test, nodes);
    if !found.is_empty() {
        problems.extend(found);
        return;
    }
    let online: Vec<&NodeStatus> = nodes.online(now).collect();
    let mut sets: Vec<(Vec<&NodeStatus>, Needed)> = Vec::new();
    for group in &test.groups {
        let allowed = placement::allowed(group, &online);
        let needed = Needed::of(group);
        let same = |set: &Vec<&NodeStatus>| {
            set.iter()
                .map(|n| &n.node)
                .eq(allowed.iter().map(|n| &n.node))
        };
        match sets.iter_mut().find(|(set, _)| same(set)) {
            Some((_, sum)) => sum.add(&needed),
            None => sets.push((allowed, needed)),
        }
    }
    for (set, needed) in sets {
        room(&set, &needed, problems);
    }
}

fn room(nodes: &[&NodeStatus], needed: &Needed, problems: &mut Vec<Problem>) {
    let descriptors: u64 = nodes.iter().map(|n| u64::from(n.free_descriptors)).sum();
    let ports: u64 = nodes.iter().map(|n| u64::from(n.free_ports)).sum();
    if needed.descriptors > descriptors {
        problems.push(limited(
            "not_enough_descriptors",
            "descriptors",
            (descriptors, 0, needed.descriptors),
            None,
            format!(
                "The run needs at least {} file descriptors and the ONLINE nodes it may use have {descriptors} free; raise `ulimit -n`, turn rtcp-mux on, or set `sockets = \"shared\"`.",
                needed.descriptors
            ),
        ));
    }
    if needed.ports > ports {
        problems.push(limited(
            "not_enough_ports",
            "ports",
            (ports, 0, needed.ports),
            None,
            format!(
                "The run needs at least {} media ports and the ONLINE nodes it may use have {ports} free; widen the port range, turn rtcp-mux on, or set `sockets = \"shared\"`.",
                needed.ports
            ),
        ));
    }
}

/// Lower bounds of what a run takes from its nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needed {
    /// Endpoints.
    pub(crate) endpoints: u64,
    /// File descriptors.
    pub(crate) descriptors: u64,
    /// Media ports.
    pub(crate) ports: u64,
}

impl Needed {
    /// What a group takes.
    fn of(group: &Group) -> Self {
        let one = Self::of_one(group);
        let count = u64::from(group.count);
        Self {
            endpoints: count,
            descriptors: one.descriptors * count,
            ports: one.ports * count,
        }
    }

    /// What one endpoint of a group takes.
    pub(crate) fn of_one(group: &Group) -> Self {
        let mut needed = Self {
            endpoints: 1,
            descriptors: u64::from(group.sip_socket_per_endpoint),
            ports: 0,
        };
        let plays = group.target != Target::Nobody && group.media != Media::None;
        if plays && group.sockets == SocketMode::Own {
            let each = if group.rtcp_mux { 1 } else { 2 };
            needed.descriptors += each;
            needed.ports += each;
        }
        needed
    }

    /// Adds another group's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.endpoints += other.endpoints;
        self.descriptors += other.descriptors;
        self.ports += other.ports;
    }
}

fn problem(problems: &mut Vec<Problem>, code: &str, sentence: String) {
    problems.push(Problem {
        code: code.to_owned(),
        sentence,
        limit: None,
    });
}

#[cfg(test)]
#[path = "validate/tests.rs"]
mod tests;
