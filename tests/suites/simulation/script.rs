//! The tests that people start: small ones, of each kind that the protocol tells apart.

use shared::definition::{
    Account, Codec, Group, Media, OnNodeLoss, Playout, Registrar, SocketMode, Target, Test,
    Transport,
};
use shared::id::NodeId;
use shared::units::Millis;

use super::process::node_name;
use super::random::Random;

/// SIP accounts in the pool that all runs pick from.
pub(crate) const POOL: u32 = 14;

/// A test of two to eight endpoints. The accounts are picked when it starts.
pub(crate) fn test(random: &mut Random, nodes: usize) -> Test {
    let count = random.between(1, 4) as u32;
    let mut receivers = group("receivers", count, Target::Receives);
    let mut callers = group("callers", count, Target::Group(0));
    match random.below(3) {
        // Both ends of a call on one node, wherever that is.
        0 => {}
        // Each end in its region: every pair is parted where both regions live.
        1 => {
            receivers.region = Some("eu".to_owned());
            callers.region = Some("us".to_owned());
        }
        _ => {
            receivers.nodes = vec![node(random, nodes)];
            callers.nodes = vec![node(random, nodes)];
        }
    }
    let on_node_loss = match random.chance(400) {
        true => OnNodeLoss::Continue,
        false => OnNodeLoss::Fail,
    };
    Test {
        name: "story".to_owned(),
        duration: Millis(random.between(2, 12) * 1_000),
        buildup: Millis(0),
        registrars: vec![Registrar {
            name: "pbx".to_owned(),
            domain: "example.test".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5060,
            transport: Transport::Udp,
            outbound_proxy: None,
            expires_s: 300,
        }],
        groups: vec![receivers, callers],
        thresholds: Vec::new(),
        allow_targets: Vec::new(),
        trace_sample: 0,
        on_node_loss,
        publish_endpoints: false,
    }
}

fn node(random: &mut Random, nodes: usize) -> NodeId {
    node_name(random.place(nodes))
}

fn group(name: &str, count: u32, target: Target) -> Group {
    Group {
        name: name.to_owned(),
        count,
        registrar: Some(0),
        accounts: Vec::new(),
        target,
        codecs: vec![Codec::Pcmu],
        media: Media::None,
        call_duration: None,
        ptime_ms: 20,
        ring_time: Millis(0),
        sip_bind: None,
        sip_socket_per_endpoint: false,
        transport: Transport::Udp,
        sockets: SocketMode::Own,
        rtcp_mux: true,
        rtcp_interval: Millis(5_000),
        rtcp_xr: false,
        playout: Playout::Fixed { delay_ms: 60 },
        plc: true,
        dscp_rtp: 46,
        dscp_sip: 24,
        region: None,
        nodes: Vec::new(),
    }
}

/// An account of the pool. Its number is a bit in every load's set.
pub(crate) fn account(number: u32) -> Account {
    Account {
        username: format!("u{number}"),
        auth_username: format!("u{number}"),
        password: "secret".to_owned(),
        realm: None,
    }
}
