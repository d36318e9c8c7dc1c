//! Whole nodes on the in-process bus, against a coordinator that is a few lines: it answers renewals,
//! wants runs, stores items in order and carries tells between nodes.

// clippy knows tests by their attribute; here the helpers of tests unwrap too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use node::{NodeConfig, NodeEnd, NodeHandle};
use shared::bus::{Bus, LocalBus, Subscription};
use shared::definition::{Test, parse};
use shared::id::{GroupIndex, NodeId, RunId};
use shared::phase::Outcome;
use shared::wire::{
    ClusterId, Desired, DesiredState, Downward, EndCause, EndpointReport, Head, HeldState, Item,
    Lease, LeaseVerdict, LifeId, Message, Order, REPORTS, Renew, Report, Share, Tell, Upward,
    command_subject, decode, encode,
};

/// What a busy machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(60);
const RUN: RunId = RunId(0x51);

/// What the coordinator knows of a node.
#[derive(Default)]
struct Known {
    life: LifeId,
    sequence: u64,
    renewal: Option<Renew>,
    /// What is wanted of it for the run; none: it is left out of its leases.
    wanted: Option<(u64, DesiredState)>,
    prepared: Option<Vec<String>>,
    items: Vec<Item>,
    tells: u64,
}

struct Coordinator {
    bus: LocalBus,
    reports: Subscription,
    epoch: u64,
    /// Renewals are answered.
    answers: bool,
    nodes: BTreeMap<String, Known>,
}

impl Coordinator {
    fn new(bus: &LocalBus) -> Self {
        Self {
            bus: bus.clone(),
            reports: bus.subscribe(REPORTS, 65_536),
            epoch: 1,
            answers: true,
            nodes: BTreeMap::new(),
        }
    }

    /// Takes reports until `done` says so.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !done(self) {
                let message = self.reports.next().await.expect("the bus lives");
                let node = message.subject.split('.').nth(3).unwrap().to_owned();
                let upward = decode::<Message<Upward>>(&message.payload).unwrap();
                self.hear(&node, upward);
            }
        };
        let late = tokio::time::timeout(PATIENCE, waiting).await.is_err();
        assert!(!late, "no {what} in time");
    }

    fn hear(&mut self, node: &str, message: Message<Upward>) {
        let known = self.nodes.entry(node.to_owned()).or_default();
        known.life = message.head.life;
        match message.body {
            Upward::Renew(renew) => {
                known.renewal = Some(*renew);
                if self.answers {
                    self.lease(node, LeaseVerdict::Granted);
                }
            }
            Upward::Prepared { problems, .. } => {
                let sentences = problems.into_iter().map(|problem| problem.sentence);
                known.prepared = Some(sentences.collect());
            }
            Upward::Item(item) => self.item(node, *item),
        }
    }

    fn item(&mut self, node: &str, item: Item) {
        let known = self.nodes.get_mut(node).unwrap();
        if item.sequence != known.items.len() as u64 {
            return;
        }
        known.items.push(item.clone());
        if let Report::Tells(tells) = item.report {
            let others: Vec<String> = self.nodes.keys().cloned().collect();
            for other in others.iter().filter(|other| *other != node) {
                self.tell(other, tells.clone());
            }
        }
        if self.answers {
            self.order(node);
        }
    }

    fn tell(&mut self, node: &str, tells: Vec<Tell>) {
        let known = self.nodes.get_mut(node).unwrap();
        let first = known.tells;
        known.tells += tells.len() as u64;
        let (run, run_epoch) = (RUN, 1);
        self.say(
            node,
            Downward::Tells {
                run,
                run_epoch,
                first,
                tells,
            },
        );
    }

    fn wanted(&self, node: &str) -> Option<Order> {
        let known = &self.nodes[node];
        known.wanted.map(|(sequence, state)| Order {
            run: RUN,
            run_epoch: 1,
            sequence,
            state,
            stored_to: known.items.len() as u64,
        })
    }

    fn order(&mut self, node: &str) {
        if let Some(order) = self.wanted(node) {
            self.say(node, Downward::Order(order));
        }
    }

    fn want(&mut self, node: &str, state: DesiredState) {
        let known = self.nodes.get_mut(node).unwrap();
        let sequence = known.wanted.map_or(1, |(sequence, _)| sequence + 1);
        known.wanted = Some((sequence, state));
        self.order(node);
    }

    fn prepare(&mut self, node: &str, test: &Test, shares: Vec<Share>) {
        self.nodes.get_mut(node).unwrap().wanted = Some((1, DesiredState::Prepared));
        let desired = Desired {
            run: RUN,
            epoch: 1,
            sequence: 1,
            state: DesiredState::Prepared,
            test: test.clone(),
            shares,
            sealed: Vec::new(),
            media: Vec::new(),
        };
        self.say(node, Downward::Prepare(Box::new(desired)));
    }

    fn lease(&mut self, node: &str, verdict: LeaseVerdict) {
        let orders = self.wanted(node).into_iter().collect();
        let renewal = self.nodes[node].renewal.as_ref().unwrap();
        let lease = Lease {
            renewal_boot_us: renewal.sent_boot_us,
            renewal_unix_us: renewal.sent_unix_us,
            received_unix_us: renewal.sent_unix_us,
            sent_unix_us: renewal.sent_unix_us,
            verdict,
            orders,
            drain: false,
        };
        self.say(node, Downward::Lease(Box::new(lease)));
    }

    fn say(&mut self, node: &str, body: Downward) {
        let known = self.nodes.get_mut(node).unwrap();
        known.sequence += 1;
        let renewed = known.renewal.as_ref().map_or(0, |it| it.sent_boot_us);
        let head = Head {
            cluster: ClusterId(1),
            epoch: self.epoch,
            life: known.life,
            sequence: known.sequence,
            expires_boot_us: renewed + 10_000_000,
        };
        let octets = encode(&Message { head, body }).unwrap();
        let subject = command_subject(&NodeId(node.to_owned()));
        let _whether_it_is_heard_shows_later = self.bus.publish(&subject, octets);
    }

    fn reports_of(&self, node: &str) -> Vec<&EndpointReport> {
        let items = self.nodes[node].items.iter();
        items
            .filter_map(|item| match &item.report {
                Report::Endpoint(report) => Some(&**report),
                _ => None,
            })
            .collect()
    }

    fn end_of(&self, node: &str) -> Option<EndCause> {
        match self.nodes[node].items.last()?.report {
            Report::Ended { cause, .. } => Some(cause),
            _ => None,
        }
    }

    fn holds_nothing(&self, node: &str) -> bool {
        let renewal = self.nodes[node].renewal.as_ref();
        renewal.is_some_and(|renew| renew.runs.is_empty())
    }

    fn state(&self, node: &str) -> Option<HeldState> {
        let renewal = self.nodes[node].renewal.as_ref()?;
        renewal.runs.first().map(|held| held.state)
    }

    /// Brings a run to its begin on these nodes.
    async fn begin(&mut self, test: &Test, shares: &[(&str, Vec<Share>)]) {
        for (node, shares) in shares {
            self.prepare(node, test, shares.clone());
        }
        let nodes: Vec<&str> = shares.iter().map(|(node, _)| *node).collect();
        self.until("answer to prepare", |it| {
            nodes.iter().all(|node| it.nodes[*node].prepared.is_some())
        })
        .await;
        for node in nodes {
            assert_eq!(self.nodes[node].prepared, Some(vec![]), "{node}");
            self.want(node, DesiredState::Running);
        }
    }
}

fn config(name: &str, ports: u16) -> NodeConfig {
    NodeConfig {
        threads: Some(1),
        media_ports: ports..=ports + 199,
        drain_wait: Duration::from_secs(1),
        ..NodeConfig::new(
            NodeId(name.to_owned()),
            Ipv4Addr::LOCALHOST.into(),
            PathBuf::from("."),
        )
    }
}

fn start(config: NodeConfig, bus: &LocalBus) -> NodeHandle {
    node::start(config, Arc::new(bus.clone())).expect("the node starts")
}

async fn joined(coordinator: &mut Coordinator, names: &[&str]) {
    coordinator
        .until("first renewals", |it| {
            names.iter().all(|name| it.nodes.contains_key(*name))
        })
        .await;
}

fn pairs(count: u32, call: &str, media: &str) -> Test {
    let text = format!(
        r#"
        duration = "50s"
        buildup = "0s"
        [groups.callers]
        count = {count}
        calls = {{ group = "callees" }}
        call_duration = "{call}"
        media = "{media}"
        [groups.callees]
        count = {count}
        receives = true
        media = "{media}"
        "#
    );
    let nothing = |path: &str| Err(std::io::Error::other(path.to_owned()));
    parse(&text, "pairs", &nothing).expect("the test is right")
}

fn share(group: u16, first: u32, count: u32) -> Share {
    Share {
        group: GroupIndex(group),
        first,
        count,
    }
}

fn system() -> actix::SystemRunner {
    actix::System::new()
}

#[test]
fn a_run_is_prepared_run_stored_and_forgotten() {
    system().block_on(async {
        let bus = LocalBus::new();
        let mut coordinator = Coordinator::new(&bus);
        let node = start(config("n", 20_000), &bus);
        joined(&mut coordinator, &["n"]).await;
        let test = pairs(2, "1s", "tone:440");
        let shares = vec![share(0, 0, 2), share(1, 0, 2)];
        coordinator.begin(&test, &[("n", shares)]).await;
        coordinator
            .until("end", |it| it.end_of("n").is_some())
            .await;
        assert_eq!(coordinator.end_of("n"), Some(EndCause::Finished));
        let reports = coordinator.reports_of("n");
        assert_eq!(reports.len(), 4);
        for report in reports {
            assert_eq!(report.outcome, Outcome::Success, "{report:#?}");
        }
        coordinator.nodes.get_mut("n").unwrap().wanted = None;
        coordinator
            .until("empty renewal", |it| it.holds_nothing("n"))
            .await;
        node.stop();
    });
}

#[test]
fn both_ends_of_a_call_find_each_other_across_nodes() {
    system().block_on(async {
        let bus = LocalBus::new();
        let mut coordinator = Coordinator::new(&bus);
        let (a, b) = (
            start(config("a", 20_200), &bus),
            start(config("b", 20_400), &bus),
        );
        joined(&mut coordinator, &["a", "b"]).await;
        let test = pairs(4, "1s", "tone:440");
        // Place 0 has both ends on a, place 3 on b; 1 and 2 are cut, each the other way.
        let on_a = vec![share(0, 0, 2), share(1, 0, 1), share(1, 2, 1)];
        let on_b = vec![share(0, 2, 2), share(1, 1, 1), share(1, 3, 1)];
        coordinator.begin(&test, &[("a", on_a), ("b", on_b)]).await;
        coordinator
            .until("ends", |it| {
                it.end_of("a").is_some() && it.end_of("b").is_some()
            })
            .await;
        for node in ["a", "b"] {
            let reports = coordinator.reports_of(node);
            assert_eq!(reports.len(), 4, "{node}");
            for report in reports {
                assert_eq!(report.outcome, Outcome::Success, "{report:#?}");
                let media = report.calls[0].media.as_ref().expect("media flowed");
                assert!(media.rx_packets > 0, "{report:#?}");
            }
        }
        a.stop();
        b.stop();
    });
}

#[test]
fn a_node_that_hears_nobody_ends_its_calls_and_keeps_what_it_measured() {
    system().block_on(async {
        let bus = LocalBus::new();
        let mut coordinator = Coordinator::new(&bus);
        let node = start(config("n", 20_600), &bus);
        joined(&mut coordinator, &["n"]).await;
        let test = pairs(2, "45s", "tone:440");
        let shares = vec![share(0, 0, 2), share(1, 0, 2)];
        coordinator.begin(&test, &[("n", shares)]).await;
        coordinator
            .until("running", |it| it.state("n") == Some(HeldState::Running))
            .await;
        coordinator.answers = false;
        coordinator
            .until("end of the lease", |it| {
                it.state("n") == Some(HeldState::Ended(EndCause::LeaseLost))
            })
            .await;
        // It is heard again: what it kept is taken, and the run stays ended.
        coordinator.answers = true;
        coordinator.epoch = 2;
        coordinator
            .until("last items", |it| it.end_of("n").is_some())
            .await;
        assert_eq!(coordinator.end_of("n"), Some(EndCause::LeaseLost));
        let reports = coordinator.reports_of("n");
        assert_eq!(reports.len(), 4);
        for report in reports {
            assert!(report.reason.contains("lost its lease"), "{report:#?}");
        }
        node.stop();
    });
}

#[test]
fn a_displaced_node_ends_and_says_why() {
    system().block_on(async {
        let bus = LocalBus::new();
        let mut coordinator = Coordinator::new(&bus);
        let node = start(config("n", 20_800), &bus);
        joined(&mut coordinator, &["n"]).await;
        let test = pairs(1, "45s", "none");
        let shares = vec![share(0, 0, 1), share(1, 0, 1)];
        coordinator.begin(&test, &[("n", shares)]).await;
        coordinator
            .until("running", |it| it.state("n") == Some(HeldState::Running))
            .await;
        let before = coordinator.nodes["n"]
            .renewal
            .as_ref()
            .unwrap()
            .sent_boot_us;
        coordinator.answers = false;
        coordinator
            .until("another renewal", |it| {
                it.nodes["n"].renewal.as_ref().unwrap().sent_boot_us > before
            })
            .await;
        coordinator.lease("n", LeaseVerdict::Displaced);
        let ended = tokio::time::timeout(PATIENCE, node.ended()).await;
        assert_eq!(ended.ok(), Some(NodeEnd::Displaced));
        node.stop();
    });
}

#[test]
fn a_drained_node_ends_its_calls_and_leaves() {
    system().block_on(async {
        let bus = LocalBus::new();
        let mut coordinator = Coordinator::new(&bus);
        let node = start(config("n", 21_000), &bus);
        joined(&mut coordinator, &["n"]).await;
        let test = pairs(1, "45s", "none");
        let shares = vec![share(0, 0, 1), share(1, 0, 1)];
        coordinator.begin(&test, &[("n", shares)]).await;
        coordinator
            .until("running", |it| it.state("n") == Some(HeldState::Running))
            .await;
        node.drain();
        coordinator
            .until("end", |it| it.end_of("n").is_some())
            .await;
        assert_eq!(coordinator.end_of("n"), Some(EndCause::Drained));
        let ended = tokio::time::timeout(PATIENCE, node.ended()).await;
        assert_eq!(ended.ok(), Some(NodeEnd::Drained));
        node.stop();
    });
}

#[test]
fn an_older_coordinator_is_not_obeyed_by_a_later_life() {
    let folder = std::env::temp_dir().join(format!("carillon-fence-{}", std::process::id()));
    let one_life = |epoch: u64, ports: u16, what: &str, done: fn(&Renew) -> bool| {
        let config = NodeConfig {
            state_dir: Some(folder.clone()),
            ..config("n", ports)
        };
        system().block_on(async {
            let bus = LocalBus::new();
            let mut coordinator = Coordinator::new(&bus);
            coordinator.epoch = epoch;
            let node = start(config, &bus);
            joined(&mut coordinator, &["n"]).await;
            coordinator
                .until(what, |it| it.nodes["n"].renewal.as_ref().is_some_and(done))
                .await;
            node.stop();
        });
    };
    one_life(5, 21_200, "lease", |renew| renew.clock.is_some());
    one_life(4, 21_400, "refusal", |renew| renew.refused.outdated > 0);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
