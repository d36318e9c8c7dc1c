//! A cluster of processes on this machine, and a SIP target for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lab::{Lab, LabConfig, LabHandle};
use serde_json::{Value, json};
use shared::api::{Node, NodeState, Page, Run, SavedTest};
use shared::bus::{Bus, NatsBus, NatsConfig};
use shared::phase::RunStatus;
use shared::result::RunResult;
use tests::{Api, NatsServer, Service, Setup, Stage, Worker, until};

/// What a machine that builds beside may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// NATS, a coordinator without a node of its own, and nodes.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Worker>,
    pub(crate) service: Service,
    pub(crate) nats: NatsServer,
    /// Of each node.
    pub(crate) addresses: Vec<String>,
}

impl Cluster {
    /// Starts all of it and waits until every node is ONLINE. Nodes are given as (name, region).
    /// None, with a line that says so, where nats-server is missing.
    pub(crate) fn start(name: &str, nodes: &[(&str, &str)]) -> Option<Self> {
        let nats = NatsServer::start()?;
        let service = coordinator(name, &nats.url()).start_without_nodes();
        let mut workers = Vec::new();
        let addresses = addresses(nodes.len());
        for ((name, region), address) in nodes.iter().zip(&addresses) {
            let mut worker = Worker::new(name, region, &nats.url());
            // An address of its own tells its packets apart; ports of its own share nothing.
            worker.set("CARILLON_NODE_ADDRESS", address);
            worker.start();
            workers.push(worker);
        }
        let cluster = Self {
            nodes: workers,
            service,
            nats,
            addresses,
        };
        cluster.wait_for(nodes.len(), NodeState::Online);
        Some(cluster)
    }

    /// Waits until so many nodes stand so.
    pub(crate) fn wait_for(&self, count: usize, state: NodeState) -> Vec<Node> {
        until(&format!("{count} nodes {state:?}"), PATIENCE, || {
            let nodes = self.list();
            let those = nodes.iter().filter(|node| node.status == state).count();
            (those == count).then_some(nodes)
        })
    }

    /// Starts a node that was killed and waits until its new life has joined: until then the list
    /// shows the former one.
    pub(crate) fn start_again(&mut self, node: usize) {
        self.nodes[node].start();
        let name = self.nodes[node].name().to_owned();
        until(&format!("{name} joining"), PATIENCE, || {
            self.nodes[node]
                .log()
                .contains("joined node=")
                .then_some(())
        });
    }

    /// The coordinator's list.
    pub(crate) fn list(&self) -> Vec<Node> {
        let page: Page<Node> = self.service.api().read("nodes");
        page.items
    }

    pub(crate) fn api(&self) -> Api {
        self.service.api()
    }

    /// Fails with what every process logged, where a run did not come to what was wanted.
    pub(crate) fn tell(&self) -> String {
        let mut told = self.service.tail();
        for node in &self.nodes {
            told.push_str(&format!("\n--- {}\n{}", node.name(), node.tail()));
        }
        told
    }
}

/// Addresses that no other cluster of this test run has: all of 127/8 is this machine, and captures
/// tell nodes apart by them.
fn addresses(nodes: usize) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let cluster = NEXT.fetch_add(1, Ordering::Relaxed) % 250;
    let run = 20 + std::process::id() % 200;
    (0..nodes)
        .map(|place| format!("127.{run}.{cluster}.{}", 11 + place))
        .collect()
}

/// Somebody who may hear and say everything.
pub(crate) fn listen(cluster: &Cluster) -> Arc<NatsBus> {
    let bus = NatsBus::connect(NatsConfig {
        url: cluster.nats.url(),
        ..NatsConfig::default()
    })
    .expect("a bus");
    until("the bus", PATIENCE, || bus.is_connected().then_some(()));
    bus
}

/// A coordinator without a node of its own.
pub(crate) fn coordinator(name: &str, nats: &str) -> Setup {
    Setup::new(name).config(&format!(
        "embedded_node = false\n[nats]\nurl = \"{nats}\"\n[log]\nfilter = \"info,actix_server=warn\"\n"
    ))
}

/// The built-in target on a free port of 127.0.0.1.
pub(crate) fn target() -> LabHandle {
    let config = LabConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        ..LabConfig::default()
    };
    Lab::start(config).expect("the lab")
}

/// A stage on the target.
pub(crate) fn stage(cluster: &Cluster, lab: &LabHandle, accounts: u32) -> Stage {
    Stage::new(&cluster.api(), "cluster", lab.sip_addr().port(), accounts)
}

/// Pairs that register and call each other; `extra` is merged into the test.
pub(crate) fn pairs(stage: &Stage, pairs: u32, duration: &str, extra: &Value) -> SavedTest {
    let mut definition = json!({
        "name": format!("{pairs} pairs for {duration}"),
        "duration": duration,
        "buildup": "1s",
        "groups": {
            "callers": { "count": pairs, "registrar": "pbx", "calls": { "group": "callees" } },
            "callees": { "count": pairs, "registrar": "pbx", "receives": true },
        },
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        definition[key] = value.clone();
    }
    stage.test(definition)
}

/// Waits until so many calls are up at the target, as the target counts them.
pub(crate) fn wait_for_calls(lab: &LabHandle, calls: u64) {
    until(&format!("{calls} calls at the target"), PATIENCE, || {
        (lab.stats().sip.calls_now == calls).then_some(())
    });
}

/// Starts a test and waits until all of its calls are up.
pub(crate) fn start(cluster: &Cluster, stage: &Stage, test: &SavedTest, lab: &LabHandle) -> Run {
    let run = stage.start(test);
    let running = stage.wait(run.id, PATIENCE, |run| {
        run.status == RunStatus::Running || run.status.is_terminal()
    });
    assert_eq!(
        running.status,
        RunStatus::Running,
        "{running:#?}\n{}",
        cluster.tell()
    );
    wait_for_calls(lab, u64::from(test.endpoints / 2));
    run
}

/// The whole result.
pub(crate) fn result(cluster: &Cluster, run: &Run) -> RunResult {
    cluster.api().read(&format!("runs/{}/result", run.id))
}

/// Every endpoint has every second from its first to its last, and the aggregate has too.
pub(crate) fn no_second_is_missing(result: &RunResult) {
    let whole: Vec<u32> = result.seconds.iter().map(|second| second.second).collect();
    assert!(is_whole(&whole), "aggregate: {whole:?}");
    for endpoint in &result.endpoints {
        let seconds: Vec<u32> = endpoint
            .seconds
            .iter()
            .map(|second| second.second)
            .collect();
        let number = endpoint.endpoint.0;
        assert!(is_whole(&seconds), "endpoint {number}: {seconds:?}");
        assert!(!seconds.is_empty(), "endpoint {number} has no second");
    }
}

fn is_whole(seconds: &[u32]) -> bool {
    seconds.windows(2).all(|two| two[1] == two[0] + 1)
}

/// How often a fault is tried: `few` of them in CI.
pub(crate) fn rounds(few: u32) -> u32 {
    let given = std::env::var("CARILLON_CRASHES").ok();
    given.map_or(few, |text| {
        text.parse().expect("CARILLON_CRASHES is a number")
    })
}

/// Seeded moments.
pub(crate) struct Moments(u64);

impl Moments {
    pub(crate) fn new() -> Self {
        let given = std::env::var("CARILLON_SEED").ok();
        let seed = given.map_or_else(
            || u64::from(std::process::id()) << 16 | 1,
            |text| text.parse().expect("CARILLON_SEED is a number"),
        );
        println!("seed {seed}");
        Self(seed)
    }

    /// Waits for a random time up to `most`: the moment is the test's subject.
    pub(crate) fn wait(&mut self, most: Duration) -> Duration {
        let after = most.mul_f64((self.next() % 10_000) as f64 / 10_000.0);
        std::thread::sleep(after);
        after
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 >> 33
    }
}

/// Time since `from` until a condition holds.
pub(crate) fn takes(what: &str, from: Instant, mut holds: impl FnMut() -> bool) -> Duration {
    until(what, PATIENCE, || holds().then(|| from.elapsed()))
}
