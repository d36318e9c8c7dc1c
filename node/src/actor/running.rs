//! One run on one signalling thread: its ports and names before it begins, its clock while it runs,
//! and what endpoints on other nodes have to say to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix::Addr;
use rustc_hash::{FxHashMap, FxHashSet};
use shared::definition::Target;
use shared::id::GroupIndex;
use shared::wire::Tell;
use tokio::task::JoinHandle;

use super::group::{GroupActor, GroupMessage};
use super::node::{NodeActor, ShardSecond};
use super::plan::{RunPlan, host_port, proxy_host_port};
use super::shard_run::Run;
use crate::core::layout::Part;

/// Timers are looked at this often: SIP's own are hundreds of milliseconds.
const TIMER_TICK: Duration = Duration::from_millis(2);

/// One run on this thread, with its groups.
pub(super) struct Running {
    pub(super) run: Run,
    pub(super) groups: FxHashMap<GroupIndex, Addr<GroupActor>>,
    pub(super) open_groups: FxHashSet<GroupIndex>,
    /// The node was told to run it, and will be told how each endpoint ended.
    pub(super) commanded: bool,
    pub(super) began: bool,
    /// Takes what the sockets receive.
    pub(super) listener: JoinHandle<()>,
    /// [`keep_time`]; none before the begin.
    pub(super) clock: Option<JoinHandle<()>>,
    /// As they were bound, one for each endpoint.
    pub(super) ports: Vec<SocketAddr>,
}

impl Running {
    /// Brings to groups here what endpoints on other nodes did; a group knows its own places.
    pub(super) fn told(&self, tells: &[Tell]) {
        for tell in tells {
            match tell {
                Tell::Callee {
                    group,
                    place,
                    readiness,
                } => {
                    let callers = self.run.plan.callers_of(*group);
                    for caller in callers.iter().filter_map(|index| self.groups.get(index)) {
                        caller.do_send(GroupMessage::Callee {
                            place: *place,
                            readiness: readiness.clone(),
                        });
                    }
                }
                Tell::CallerOver { group, place } => {
                    if let Some(callee) = self.groups.get(group) {
                        callee.do_send(GroupMessage::CallerOver { place: *place });
                    }
                }
            }
        }
    }
}

/// Binds the SIP ports of a group's endpoints on this shard.
pub(super) fn bind_part(
    run: &Run,
    part: &Part,
) -> Result<FxHashMap<u32, SocketAddr>, crate::net::sip::BindError> {
    let group = run.plan.group(part.group);
    let local = run.plan.locals.get(part.group.index()).copied();
    let free = SocketAddr::new(local.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()), 0);
    let asked = group.sip_bind.unwrap_or(free);
    let tcp = run.plan.transport(part.group) == sip::ua::Transport::Tcp;
    let alone = group.sip_socket_per_endpoint;
    let mut locals = FxHashMap::default();
    for place in &part.places {
        locals.insert(*place, run.io.bind(asked, tcp, group.dscp_sip, alone)?);
    }
    Ok(locals)
}

/// Tells each group whom it calls and who calls it, as far as they are on this shard.
pub(super) fn introduce(plan: &RunPlan, groups: &FxHashMap<GroupIndex, Addr<GroupActor>>) {
    for (index, group) in groups {
        let callers = plan.callers_of(*index);
        let callers = callers
            .iter()
            .filter_map(|caller| groups.get(caller).cloned())
            .collect();
        let callee = match plan.group(*index).target {
            Target::Group(callee) => groups.get(&GroupIndex(callee)).cloned(),
            Target::Uri(_) | Target::Receives | Target::Nobody => None,
        };
        group.do_send(GroupMessage::Peers { callers, callee });
    }
}

/// Fires timers and closes seconds while the run lives.
pub(super) async fn keep_time(run: Run, node: Addr<NodeActor>) {
    let mut tick = tokio::time::interval(TIMER_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let now = Instant::now();
        run.fire_timers(now);
        run.flush_tells();
        let on_grid = now.saturating_duration_since(run.grid.get());
        let second = u32::try_from(on_grid.as_secs()).unwrap_or(u32::MAX);
        let open = run.sheet.borrow().second;
        if second > open {
            let closed = run.close_second(second);
            // One message a second: bounded by design.
            node.do_send(ShardSecond {
                run: run.plan.run,
                second: Box::new(closed),
            });
        }
    }
}

/// Every name that the test's text names, so that the first call does not wait for a resolver.
pub(super) fn names_of(plan: &RunPlan, parts: &[Part]) -> Vec<(String, u16, bool)> {
    let mut names = Vec::new();
    for part in parts {
        let group = plan.group(part.group);
        let ipv4 = plan
            .locals
            .get(part.group.index())
            .is_none_or(std::net::IpAddr::is_ipv4);
        let registrar = group
            .registrar
            .and_then(|index| plan.test.registrars.get(usize::from(index)));
        let mut add = |host_port| {
            if let sip::ua::HostPort::Name(name, port) = host_port {
                names.push((name.to_string(), port, ipv4));
            }
        };
        if let Some(registrar) = registrar {
            add(host_port(&registrar.host, registrar.port));
            if let Some(proxy) = &registrar.outbound_proxy {
                add(proxy_host_port(proxy));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
