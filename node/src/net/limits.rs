//! File descriptors and ports: what a run needs, what there is, and what to change where it lacks.
//!
//! DESIGN 1: descriptors can be capped below what `own` sockets with separate RTCP want, so it is
//! planned and said before the run, not found out in it.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shared::definition::{Group, Media, SocketMode, Target, Test, Transport};
use shared::wire::{Problem, Share};

/// Descriptors kept for everything that is not an endpoint's: storage, timers, pipes, the control
/// plane's connections.
pub const DESCRIPTORS_RESERVED: u32 = 256;

/// Raises the soft limit of open descriptors to the hard one; returns the limit as it is now.
///
/// # Errors
/// What the kernel said; the old limit then stays.
pub fn raise_descriptor_limit() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Descriptors that this process may still open. 0 where the system does not tell.
#[must_use]
pub fn free_descriptors() -> u32 {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    // The directory that is being read is open itself.
    let open = open.count().saturating_sub(1);
    u32::try_from(soft.saturating_sub(open as u64)).unwrap_or(u32::MAX)
}

/// What a node's share of a run takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Sockets of RTP and RTCP.
    pub media_descriptors: u32,
    /// Of these, RTCP sockets that rtcp-mux would save.
    pub rtcp_descriptors: u32,
    /// Sockets of SIP.
    pub sip_descriptors: u32,
    /// Even RTP ports at one local address, each with the odd one above.
    pub port_pairs: u32,
}

impl Need {
    /// Estimates the need of these shares on a node with so many shards (signalling and media
    /// threads).
    ///
    /// Shape: an endpoint with `own` sockets takes one descriptor, two without rtcp-mux; `shared`
    /// takes two for each shard. SIP takes one for each shard and transport, or one each where
    /// asked; TCP takes as many connections as sockets, plus listeners.
    #[must_use]
    pub fn of(test: &Test, shares: &[Share], shards: u32) -> Self {
        let mut need = Self::default();
        let mut shared_media = false;
        let mut shared_sip = [false; 2];
        for share in shares {
            let Some(group) = test.groups.get(share.group.index()) else {
                continue;
            };
            if has_media(group) {
                match group.sockets {
                    SocketMode::Own => need.add_own(share.count, group.rtcp_mux),
                    SocketMode::Shared => shared_media = true,
                }
            }
            let tcp = transport(test, group) == Transport::Tcp;
            if group.sip_socket_per_endpoint {
                let each = if tcp { 2 } else { 1 };
                need.sip_descriptors = need.sip_descriptors.saturating_add(share.count * each);
            } else if let Some(used) = shared_sip.get_mut(usize::from(tcp)) {
                *used = true;
            }
        }
        if shared_media {
            need.media_descriptors = need.media_descriptors.saturating_add(2 * shards);
            need.port_pairs = need.port_pairs.saturating_add(shards);
        }
        // A shard's TCP listener comes with a connection; UDP is one socket.
        let each_shard = u32::from(shared_sip[0]) + 2 * u32::from(shared_sip[1]);
        need.sip_descriptors = need.sip_descriptors.saturating_add(each_shard * shards);
        need
    }

    fn add_own(&mut self, endpoints: u32, rtcp_mux: bool) {
        let rtcp = if rtcp_mux { 0 } else { endpoints };
        self.rtcp_descriptors = self.rtcp_descriptors.saturating_add(rtcp);
        self.media_descriptors = self.media_descriptors.saturating_add(endpoints + rtcp);
        self.port_pairs = self.port_pairs.saturating_add(endpoints);
    }

    /// All descriptors.
    #[must_use]
    pub fn descriptors(&self) -> u32 {
        self.media_descriptors.saturating_add(self.sip_descriptors)
    }

    /// Says what is lacking, each with what to change; nothing where the run fits.
    #[must_use]
    pub fn problems(&self, free_descriptors: u32, free_port_pairs: u32) -> Vec<Problem> {
        let mut problems = Vec::new();
        let usable = free_descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        if self.descriptors() > usable {
            problems.push(self.descriptor_problem(usable));
        }
        if self.port_pairs > free_port_pairs {
            problems.push(Problem {
                code: "not_enough_ports".to_owned(),
                sentence: format!(
                    "the run needs {} RTP port pairs on this node and {} are free: \
                     widen the port range, add a local address, or use sockets = \"shared\"",
                    self.port_pairs, free_port_pairs
                ),
                limit: None,
            });
        }
        problems
    }

    fn descriptor_problem(&self, usable: u32) -> Problem {
        let mut ways = Vec::new();
        if self.rtcp_descriptors > 0 {
            let with_mux = self.descriptors() - self.rtcp_descriptors;
            let enough = if with_mux <= usable {
                ""
            } else {
                ", not enough alone"
            };
            ways.push(format!("rtcp_mux = true (then {with_mux}{enough})"));
        }
        if self.media_descriptors > 0 {
            ways.push("sockets = \"shared\"".to_owned());
        }
        ways.push("a higher limit (ulimit -n, LimitNOFILE)".to_owned());
        Problem {
            code: "not_enough_descriptors".to_owned(),
            sentence: format!(
                "the run needs {} file descriptors on this node ({} for RTP and RTCP, {} for SIP) \
                 and {usable} are free: use {}",
                self.descriptors(),
                self.media_descriptors,
                self.sip_descriptors,
                ways.join(", or ")
            ),
            limit: None,
        }
    }
}

fn has_media(group: &Group) -> bool {
    group.media != Media::None && group.target != Target::Nobody
}

fn transport(test: &Test, group: &Group) -> Transport {
    group
        .registrar
        .and_then(|index| test.registrars.get(usize::from(index)))
        .map_or(group.transport, |registrar| registrar.transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::GroupIndex;
    use shared::units::Millis;

    fn group(count: u32, sockets: SocketMode, rtcp_mux: bool) -> Group {
        Group {
            name: "callers".to_owned(),
            count,
            registrar: None,
            accounts: Vec::new(),
            target: Target::Receives,
            codecs: vec![shared::definition::Codec::Pcmu],
            media: Media::Speech,
            ptime_ms: 20,
            call_duration: None,
            ring_time: Millis(0),
            sip_bind: None,
            sip_socket_per_endpoint: false,
            transport: Transport::Udp,
            sockets,
            rtcp_mux,
            rtcp_interval: Millis(5_000),
            rtcp_xr: false,
            playout: shared::definition::Playout::Fixed { delay_ms: 60 },
            plc: true,
            dscp_rtp: 46,
            dscp_sip: 24,
            region: None,
            nodes: Vec::new(),
        }
    }

    fn need(groups: Vec<Group>) -> Need {
        let shares: Vec<Share> = groups
            .iter()
            .enumerate()
            .map(|(index, group)| Share {
                group: GroupIndex(index as u16),
                first: 0,
                count: group.count,
            })
            .collect();
        let test = Test {
            name: "t".to_owned(),
            duration: Millis(1_000),
            buildup: Millis(0),
            registrars: Vec::new(),
            groups,
            thresholds: Vec::new(),
            allow_targets: Vec::new(),
            trace_sample: 0,
            on_node_loss: shared::definition::OnNodeLoss::Fail,
            publish_endpoints: false,
        };
        Need::of(&test, &shares, 2)
    }

    #[test]
    fn own_sockets_cost_one_or_two_each_and_shared_ones_two_a_shard() {
        let separate = need(vec![group(5_000, SocketMode::Own, false); 2]);
        assert_eq!(separate.media_descriptors, 20_000);
        assert_eq!(separate.port_pairs, 10_000);
        assert_eq!(separate.sip_descriptors, 2);
        let mux = need(vec![group(5_000, SocketMode::Own, true); 2]);
        assert_eq!(mux.media_descriptors, 10_000);
        let shared = need(vec![group(5_000, SocketMode::Shared, false); 2]);
        assert_eq!((shared.media_descriptors, shared.port_pairs), (4, 2));
    }

    #[test]
    fn groups_without_media_take_no_ports_and_sip_sockets_count() {
        let mut silent = group(100, SocketMode::Own, false);
        silent.media = Media::None;
        silent.sip_socket_per_endpoint = true;
        let mut registered = group(50, SocketMode::Own, false);
        registered.target = Target::Nobody;
        registered.transport = Transport::Tcp;
        let need = need(vec![silent, registered]);
        assert_eq!((need.media_descriptors, need.port_pairs), (0, 0));
        assert_eq!(need.sip_descriptors, 100 + 4);
    }

    #[test]
    fn the_sentence_says_what_would_do() {
        let need = need(vec![group(5_000, SocketMode::Own, false); 2]);
        let problems = need.problems(20_000, 9_000);
        assert_eq!(problems.len(), 2);
        assert_eq!(
            problems[0].sentence,
            "the run needs 20002 file descriptors on this node (20000 for RTP and RTCP, 2 for SIP) \
             and 19744 are free: use rtcp_mux = true (then 10002), or sockets = \"shared\", or a \
             higher limit (ulimit -n, LimitNOFILE)"
        );
        assert!(problems[1].sentence.contains("10000 RTP port pairs"));
        assert!(need.problems(30_000, 10_000).is_empty());
    }

    #[test]
    fn the_limit_is_raised_and_counts_what_is_open() {
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, limit);
        let free = free_descriptors();
        assert!(free > 0 && u64::from(free) < limit);
    }
}
