//! Everything that must hold before a run may be QUEUED. All problems at once, not the first only.
//!
//! Source: PRODUCT §2 (pre-run validation) and §7 (what the user must be told). The node repeats the
//! checks of descriptors and ports exactly when it prepares; here they are lower bounds, so that a
//! run that could work is never refused.

use std::net::IpAddr;
use std::time::Instant;

use shared::definition::{Group, Media, SocketMode, Target, Test};
use shared::wire::{NodeStatus, Problem};

use super::nodes::Nodes;
use super::plan::{Plan, Usage};

/// What a run is checked against.
pub(crate) struct Context<'a> {
    /// Limits.
    pub(crate) plan: &'a Plan,
    /// Other runs.
    pub(crate) usage: Usage,
    /// Nodes.
    pub(crate) nodes: &'a Nodes,
    /// Media files of the test that do not exist, as the shell found.
    pub(crate) missing_media: &'a [String],
}

/// Every reason why `test` cannot run now; empty where it can.
pub(crate) fn validate(now: Instant, test: &Test, context: &Context<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    shape(test, &mut problems);
    limits(test, context, &mut problems);
    accounts(test, &mut problems);
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

fn limits(test: &Test, context: &Context<'_>, problems: &mut Vec<Problem>) {
    let (plan, usage) = (context.plan, context.usage);
    let asked = test.endpoint_count();
    if asked > plan.endpoints_per_run {
        problem(
            problems,
            "plan_endpoints_per_run",
            format!(
                "The plan allows {} endpoints in a run; {asked} were asked for.",
                plan.endpoints_per_run
            ),
        );
    }
    if test.duration > plan.duration_max {
        problem(
            problems,
            "plan_duration",
            format!(
                "The plan allows runs of {}; {} were asked for.",
                plan.duration_max, test.duration
            ),
        );
    }
    if usage.runs >= plan.concurrent_runs {
        problem(
            problems,
            "plan_concurrent_runs",
            format!(
                "The plan allows {} runs at once and {} are running; wait for one to end or stop it.",
                plan.concurrent_runs, usage.runs
            ),
        );
    }
    if usage.endpoints.saturating_add(asked) > plan.concurrent_endpoints {
        problem(
            problems,
            "plan_concurrent_endpoints",
            format!(
                "The plan allows {} endpoints over all running runs; {} are in use and {asked} were asked for; wait for a run to end.",
                plan.concurrent_endpoints, usage.endpoints
            ),
        );
    }
}

fn accounts(test: &Test, problems: &mut Vec<Problem>) {
    for (index, registrar) in test.registrars.iter().enumerate() {
        let groups = test
            .groups
            .iter()
            .filter(|group| group.registrar.map(usize::from) == Some(index));
        for group in groups {
            let needed = group.count as usize;
            let present = group.accounts.len();
            if present < needed {
                problem(
                    problems,
                    "not_enough_accounts",
                    format!(
                        "Group `{}` needs {needed} SIP accounts at registrar `{}` and {present} are present; add {} or lower its count.",
                        group.name,
                        registrar.name,
                        needed - present
                    ),
                );
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

fn capacity(now: Instant, test: &Test, nodes: &Nodes, problems: &mut Vec<Problem>) {
    let online: Vec<&NodeStatus> = nodes.online(now).collect();
    if online.is_empty() {
        problem(
            problems,
            "no_node",
            format!(
                "No node is ONLINE to run this test ({}); start one or wait for it to report.",
                nodes.describe(now)
            ),
        );
        return;
    }
    let descriptors: u64 = online.iter().map(|n| u64::from(n.free_descriptors)).sum();
    let ports: u64 = online.iter().map(|n| u64::from(n.free_ports)).sum();
    let needed = Needed::of(test);
    if needed.descriptors > descriptors {
        problem(
            problems,
            "not_enough_descriptors",
            format!(
                "The run needs at least {} file descriptors and the ONLINE nodes have {descriptors} free; raise `ulimit -n`, turn rtcp-mux on, or set `sockets = \"shared\"`.",
                needed.descriptors
            ),
        );
    }
    if needed.ports > ports {
        problem(
            problems,
            "not_enough_ports",
            format!(
                "The run needs at least {} media ports and the ONLINE nodes have {ports} free; widen the port range, turn rtcp-mux on, or set `sockets = \"shared\"`.",
                needed.ports
            ),
        );
    }
}

/// Lower bounds of what a run takes from its nodes.
struct Needed {
    descriptors: u64,
    ports: u64,
}

impl Needed {
    fn of(test: &Test) -> Self {
        let mut needed = Self {
            descriptors: 0,
            ports: 0,
        };
        for group in &test.groups {
            let count = u64::from(group.count);
            if group.sip_socket_per_endpoint {
                needed.descriptors += count;
            }
            let plays = group.target != Target::Nobody && group.media != Media::None;
            if plays && group.sockets == SocketMode::Own {
                let each = if group.rtcp_mux { 1 } else { 2 };
                needed.descriptors += count * each;
                needed.ports += count * each;
            }
        }
        needed
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
