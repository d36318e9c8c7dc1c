//! A run as its shards need it: the frozen test with everything that is the same for all of them
//! worked out once.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use media::codec::{CodecId, EncodedClip};
use media::stream::Playout;
use shared::definition::{self, Codec, Group, Registrar, Target, Test};
use shared::id::{GroupIndex, NodeId, RunId};
use shared::wire::Share;
use sip::digest::Credentials;
use sip::ua::{HostPort, RegistrarConfig, TimerConfig, Transport, UaConfig};
use smol_str::SmolStr;

use crate::core::endpoint::{EndpointSpec, Profile, Role};
use crate::core::trace::{FULL_TRACE_ENDPOINTS, TraceBounds};
use crate::net::egress::Egress;
use crate::net::sip::{branch_prefix, contact_user};

/// Clips by codec; none: signalling only.
pub(super) type Clips = Option<Vec<(CodecId, Arc<EncodedClip>)>>;

/// One run on this node.
pub(super) struct RunPlan {
    pub(super) run: RunId,
    /// Tells runs of this process apart in stream ids.
    pub(super) number: u16,
    pub(super) node: NodeId,
    pub(super) test: Test,
    /// What of it is on this node.
    pub(super) shares: Vec<Share>,
    /// For each group: the local address of its SIP and RTP.
    pub(super) locals: Vec<IpAddr>,
    pub(super) clips: Vec<Clips>,
    pub(super) egress: Arc<Egress>,
    pub(super) clock_domain: String,
    pub(super) seed: u64,
}

/// A call that rings longer is cancelled: an unattended far end must not hold the run up.
const RING_LIMIT: Duration = Duration::from_secs(60);
/// Runs up to this size decode what they receive, for level and silence.
const SAMPLED_AUDIO_ENDPOINTS: u32 = 200;

impl RunPlan {
    pub(super) fn group(&self, group: GroupIndex) -> &Group {
        // Indices come from this very test's shares, which the layout was made from.
        &self.test.groups[group.index()]
    }

    fn registrar(&self, group: &Group) -> Option<&Registrar> {
        group
            .registrar
            .and_then(|index| self.test.registrars.get(usize::from(index)))
    }

    pub(super) fn transport(&self, group: GroupIndex) -> Transport {
        let group = self.group(group);
        let transport = self
            .registrar(group)
            .map_or(group.transport, |known| known.transport);
        match transport {
            definition::Transport::Udp => Transport::Udp,
            definition::Transport::Tcp => Transport::Tcp,
        }
    }

    /// Whether a group wants its SIP at this port.
    pub(super) fn asks_for(&self, port: u16) -> bool {
        let mut groups = self.test.groups.iter();
        groups.any(|group| group.sip_bind.is_some_and(|bind| bind.port() == port))
    }

    /// Groups that call `callee`.
    pub(super) fn callers_of(&self, callee: GroupIndex) -> Vec<GroupIndex> {
        let calls = |group: &Group| group.target == Target::Group(callee.0);
        let callers = self
            .test
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| calls(group));
        callers
            .filter_map(|(index, _)| u16::try_from(index).ok())
            .map(GroupIndex)
            .collect()
    }

    /// Whether this node has that place of the group.
    fn holds(&self, group: GroupIndex, place: u32) -> bool {
        self.shares.iter().any(|share| {
            share.group == group
                && place
                    .checked_sub(share.first)
                    .is_some_and(|at| at < share.count)
        })
    }

    /// Whether the callee at this place is called by an endpoint on another node.
    pub(super) fn has_caller_elsewhere(&self, callee: GroupIndex, place: u32) -> bool {
        let callers = self.callers_of(callee);
        let mut paired = callers
            .iter()
            .filter(|caller| place < self.group(**caller).count);
        paired.any(|caller| !self.holds(*caller, place))
    }

    /// The group that the caller at this place calls, where its callee is on another node.
    pub(super) fn callee_elsewhere(&self, caller: GroupIndex, place: u32) -> Option<GroupIndex> {
        let Target::Group(callee) = self.group(caller).target else {
            return None;
        };
        let callee = GroupIndex(callee);
        let exists = place < self.group(callee).count;
        (exists && !self.holds(callee, place)).then_some(callee)
    }

    /// What the group's endpoints share.
    pub(super) fn profile(&self, index: GroupIndex) -> Rc<Profile> {
        let group = self.group(index);
        let registrar = self.registrar(group);
        Rc::new(Profile {
            run: self.run,
            node: self.node.clone(),
            group: index,
            codecs: group.codecs.iter().copied().map(codec_id).collect(),
            clips: self.clips.get(index.index()).cloned().flatten(),
            ptime_ms: group.ptime_ms,
            call_duration: group.call_duration.map(shared::units::Millis::duration),
            ring_time: group.ring_time.duration(),
            rtcp_mux: group.rtcp_mux,
            rtcp_interval: group.rtcp_interval.duration(),
            rtcp_xr: group.rtcp_xr,
            playout: match group.playout {
                definition::Playout::Fixed { delay_ms } => Playout::Fixed { delay_ms },
                definition::Playout::Adaptive { min_ms, max_ms } => {
                    Playout::Adaptive { min_ms, max_ms }
                }
            },
            plc: group.plc,
            registrar: registrar.map(registrar_label).unwrap_or_default(),
            aor_domain: registrar.map(uri_host).unwrap_or_default(),
            duration: self.test.duration.duration(),
            ring_limit: RING_LIMIT,
            clock_domain: self.clock_domain.clone(),
            sampled_audio: self.test.endpoint_count() <= SAMPLED_AUDIO_ENDPOINTS,
            trace: TraceBounds::for_endpoints(self.test.endpoint_count()),
        })
    }

    /// The endpoint at `place` of a group, with its SIP socket at `local`.
    pub(super) fn endpoint(
        &self,
        group_index: GroupIndex,
        place: u32,
        local: SocketAddr,
    ) -> EndpointSpec {
        let group = self.group(group_index);
        let index = self.test.first_endpoint(group_index.index()) + place;
        let account = group.accounts.get(place as usize);
        let registrar = self.registrar(group);
        let user = account.map_or_else(
            || SmolStr::new(format!("{}-{}", group.name, place + 1)),
            |account| SmolStr::new(&account.username),
        );
        let callers = self.callers_of(group_index);
        let role = match &group.target {
            Target::Uri(_) | Target::Group(_) => Role::Caller,
            Target::Nobody => Role::Idle,
            Target::Receives => match callers.as_slice() {
                [only] if place < self.group(*only).count => Role::Partner,
                _ => Role::Receiver,
            },
        };
        let seed = mix(self.seed ^ (u64::from(index) << 1 | 1));
        let ua = UaConfig {
            domain: registrar.map_or_else(
                || local.ip().to_string().into(),
                |known| SmolStr::new(&known.domain),
            ),
            display: None,
            local,
            transport: self.transport(group_index),
            registrar: registrar.map(|known| RegistrarConfig {
                address: host_port(&known.host, known.port),
                expires_s: known.expires_s,
            }),
            outbound_proxy: registrar
                .and_then(|known| known.outbound_proxy.as_deref())
                .map(proxy_host_port),
            credentials: account.map(|account| Credentials {
                username: account.auth_username.as_str().into(),
                password: account.password.as_str().into(),
                realm: account.realm.as_deref().map(Into::into),
            }),
            timers: TimerConfig::default(),
            contact_user: contact_user(&user, index),
            call_id_prefix: SmolStr::new(format!("{:x}.{index:x}-", self.run.0)),
            branch_prefix: branch_prefix(index),
            user_agent: SmolStr::new(concat!("Carillon/", env!("CARGO_PKG_VERSION"))),
            user,
            seed,
        };
        EndpointSpec {
            index: shared::id::EndpointIndex(index),
            place,
            role,
            ua,
            seed,
        }
    }

    /// Whether a trace without a failure is kept: all in small runs, an even sample in large ones.
    pub(super) fn keeps_trace(&self, index: u32) -> bool {
        let count = self.test.endpoint_count();
        if count <= FULL_TRACE_ENDPOINTS {
            return true;
        }
        match self.test.trace_sample {
            0 => false,
            sample => index.is_multiple_of((count / sample).max(1)),
        }
    }
}

/// The codec's name in the media crate.
pub(super) fn codec_id(codec: Codec) -> CodecId {
    match codec {
        Codec::Pcmu => CodecId::Pcmu,
        Codec::Pcma => CodecId::Pcma,
        Codec::G722 => CodecId::G722,
        Codec::Opus => CodecId::Opus,
    }
}

/// `registrar office (127.0.0.1:5070 over UDP)`.
fn registrar_label(registrar: &Registrar) -> String {
    let transport = match registrar.transport {
        definition::Transport::Udp => "UDP",
        definition::Transport::Tcp => "TCP",
    };
    format!(
        "registrar {} ({}:{} over {transport})",
        registrar.name, registrar.host, registrar.port
    )
}

/// What stands behind the `@` of an address of record in Request-URIs: the port only where the
/// domain is the host itself, because a domain with a port would skip RFC 3263.
fn uri_host(registrar: &Registrar) -> String {
    let domain = &registrar.domain;
    let bracketed = match domain.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => domain.clone(),
    };
    let is_host = registrar.domain == registrar.host;
    if is_host && registrar.port != DEFAULT_SIP_PORT {
        format!("{bracketed}:{}", registrar.port)
    } else {
        bracketed
    }
}

const DEFAULT_SIP_PORT: u16 = 5060;

pub(super) fn host_port(host: &str, port: u16) -> HostPort {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => HostPort::Ip(SocketAddr::new(address, port)),
        Err(_) => HostPort::Name(host.into(), port),
    }
}

/// `host`, `host:port`, `[v6]:port`.
pub(super) fn proxy_host_port(text: &str) -> HostPort {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return HostPort::Ip(address);
    }
    match text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()))
    {
        Some((host, Ok(port))) if !host.contains(':') => host_port(host, port),
        _ => host_port(text, DEFAULT_SIP_PORT),
    }
}

/// SplitMix64's finalizer: neighbouring indices get unrelated seeds.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
