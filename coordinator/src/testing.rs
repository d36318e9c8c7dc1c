//! Small tests and nodes for the unit tests of this crate.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shared::definition::{
    Account, Codec, Group, Media, Playout, Registrar, SocketMode, Target, Test, Transport,
};
use shared::id::{
    EndpointIndex, GroupIndex, KeyId, NodeId, OrganizationId, ProjectId, RunId, TestId,
};
use shared::phase::{Outcome, Phase};
use shared::units::Millis;
use shared::wire::{EndpointReport, Frame, LifeId, NodeStatus, Refused, Renew};

use crate::core::Now;
use crate::core::cluster::Cluster;
use crate::core::record::RunRecord;

/// A node with plenty of everything.
pub(crate) fn node(name: &str) -> NodeStatus {
    NodeStatus {
        node: NodeId(name.to_owned()),
        region: String::new(),
        version: "0.1.0".to_owned(),
        free_descriptors: 100_000,
        free_ports: 40_000,
        cores: 2,
        endpoints: 0,
        ..NodeStatus::default()
    }
}

/// The only life of a node in most tests.
pub(crate) const LIFE: LifeId = LifeId(7);

/// A renewal sent at a moment of the node's own clocks, which both stand at the same.
pub(crate) fn renew(status: NodeStatus, sent: Duration) -> Renew {
    let sent_boot_us = u64::try_from(sent.as_micros()).unwrap();
    Renew {
        sent_boot_us,
        sent_unix_us: i64::try_from(sent_boot_us).unwrap(),
        status,
        runs: Vec::new(),
        clock: None,
        refused: Refused::default(),
    }
}

/// A cluster in which these renewed at `now` for the first time.
pub(crate) fn cluster(now: Instant, nodes: impl IntoIterator<Item = NodeStatus>) -> Cluster {
    let mut cluster = Cluster::new(now, BTreeSet::new());
    let now = Now {
        instant: now,
        unix_ms: 0,
    };
    for status in nodes {
        let node = status.node.clone();
        cluster.renewed(now, &node, LIFE, &renew(status, Duration::from_secs(1)));
    }
    cluster
}

/// A group of registering endpoints.
pub(crate) fn group(name: &str, count: u32, target: Target) -> Group {
    Group {
        name: name.to_owned(),
        count,
        registrar: Some(0),
        accounts: (0..count)
            .map(|n| Account {
                username: format!("{name}{n}"),
                auth_username: format!("{name}{n}"),
                password: "secret".to_owned(),
                realm: None,
            })
            .collect(),
        target,
        codecs: vec![Codec::Pcmu],
        media: Media::Speech,
        ptime_ms: 20,
        call_duration: None,
        ring_time: Millis(0),
        sip_bind: None,
        sip_socket_per_endpoint: false,
        transport: Transport::Udp,
        sockets: SocketMode::Own,
        rtcp_mux: false,
        rtcp_interval: Millis(5_000),
        rtcp_xr: true,
        playout: Playout::Fixed { delay_ms: 60 },
        plc: true,
        dscp_rtp: 46,
        dscp_sip: 24,
        region: None,
        nodes: Vec::new(),
    }
}

/// Callers that call callees one to one, all registered at one registrar on loopback.
pub(crate) fn pair_test(callers: u32, callees: u32) -> Test {
    Test {
        name: "pairs".to_owned(),
        duration: Millis(30_000),
        buildup: Millis(5_000),
        registrars: vec![Registrar {
            name: "pbx".to_owned(),
            domain: "example.test".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5060,
            transport: Transport::Udp,
            outbound_proxy: None,
            expires_s: 300,
        }],
        groups: vec![
            group("callers", callers, Target::Group(1)),
            group("callees", callees, Target::Receives),
        ],
        thresholds: Vec::new(),
        allow_targets: Vec::new(),
        trace_sample: 0,
        on_node_loss: shared::definition::OnNodeLoss::Fail,
        publish_endpoints: false,
    }
}

/// SplitMix64: enough randomness for property tests, reproducible from the seed they print.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap()
    }
}

/// The report of an endpoint of the first group that ended.
pub(crate) fn report(endpoint: u32, outcome: Outcome) -> EndpointReport {
    EndpointReport {
        run: RUN,
        endpoint: EndpointIndex(endpoint),
        group: GroupIndex(0),
        account: format!("user{endpoint}"),
        node: NodeId("local".to_owned()),
        phase: Phase::Closed,
        outcome,
        reason: "it ended".to_owned(),
        registration_code: None,
        call_code: None,
        call_reason: None,
        unregistered: true,
        calls: Vec::new(),
    }
}

/// The run of all unit tests.
pub(crate) const RUN: RunId = RunId(0x1234_5678);

/// An empty frame of the only node: its `sequence`-th, of `second`.
pub(crate) fn frame(sequence: u64, second: u32) -> Frame {
    Frame {
        run: RUN,
        node: NodeId("local".to_owned()),
        epoch: 1,
        sequence,
        second,
        last_of_second: true,
        endpoints: Vec::new(),
        phases: Vec::new(),
        columns: Vec::new(),
        generator: None,
    }
}

/// The record of a run that was just submitted.
pub(crate) fn record(id: RunId) -> RunRecord {
    RunRecord {
        organization: OrganizationId(1),
        project: ProjectId(2),
        test: TestId(3),
        test_revision: 1,
        started_by: KeyId(4),
        created_unix_ms: 1_000,
        ..RunRecord::blank(id, &pair_test(1, 1))
    }
}
