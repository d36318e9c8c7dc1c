//! The coordinator with scripted nodes over a network that loses, repeats, delays and reorders, and a
//! disk that a crash tears: seeded, in virtual time.

mod node;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::definition::OnNodeLoss;
use shared::id::{NodeId, OrganizationId, ProjectId, RunId};
use shared::phase::RunStatus;
use shared::units::Millis;
use shared::wire::{ClusterId, Downward, Message, Upward};

use self::node::Node;
use super::{Batch, CoordinatorCore, Disk, Input, Output, Start};
use crate::core::plan::Plan;
use crate::testing::{self, Random};

const STEP: Duration = Duration::from_millis(200);
const OWNER: OrganizationId = OrganizationId(1);
const GRANTED: u64 = 10_000_000;

enum Packet {
    Up(NodeId, Message<Upward>),
    Down(NodeId, Message<Downward>),
}

/// How bad the network is.
#[derive(Clone, Copy)]
struct Weather {
    /// Of a hundred messages, so many are lost.
    loss_pct: u32,
    /// Of a hundred messages, so many come twice.
    twice_pct: u32,
    /// Largest delay.
    delay_ms: u32,
}

/// Everything comes, in its order.
const FINE: Weather = Weather {
    loss_pct: 0,
    twice_pct: 0,
    delay_ms: 0,
};
const STORMY: Weather = Weather {
    loss_pct: 20,
    twice_pct: 20,
    delay_ms: 1_500,
};

struct World {
    random: Random,
    weather: Weather,
    begin: Instant,
    now: Duration,
    core: Option<CoordinatorCore>,
    disk: Disk,
    /// On their way to the disk.
    batches: Vec<(u64, Batch)>,
    nodes: BTreeMap<NodeId, Node>,
    /// Names that nothing reaches and that reach nobody.
    cut: Vec<NodeId>,
    packets: Vec<(Duration, Packet)>,
    started: u64,
}

impl World {
    fn new(seed: u64, nodes: u32, weather: Weather) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            weather,
            begin: Instant::now(),
            now: Duration::from_secs(1_000),
            core: None,
            disk: Disk::default(),
            batches: Vec::new(),
            nodes: (0..nodes)
                .map(|n| NodeId(format!("n{n}")))
                .map(|id| (id.clone(), Node::new(id, 1)))
                .collect(),
            cut: Vec::new(),
            packets: Vec::new(),
            started: 0,
        };
        world.start_coordinator();
        world.give(Input::Grant {
            organization: OWNER,
            id: 1,
            amount: GRANTED,
        });
        world
    }

    fn instant(&self) -> Instant {
        self.begin + self.now
    }

    fn unix_ms(&self) -> u64 {
        u64::try_from(self.now.as_millis()).unwrap()
    }

    fn start_coordinator(&mut self) {
        let (instant, unix_ms) = (self.instant(), self.unix_ms());
        let core = CoordinatorCore::start(instant, unix_ms, ClusterId(9), &mut self.disk);
        self.core = Some(core);
        self.give(Input::Wake);
    }

    /// kill -9: of what was on its way to the disk any part is there.
    fn crash_coordinator(&mut self) {
        self.core = None;
        let mut left = true;
        for (_, batch) in std::mem::take(&mut self.batches) {
            let writes = u32::try_from(batch.len()).unwrap();
            let part = if left {
                self.random.below(writes + 1)
            } else {
                0
            };
            left = part == writes;
            self.disk.apply_part(batch, part as usize);
        }
    }

    fn give(&mut self, input: Input) {
        let (instant, unix_ms) = (self.instant(), self.unix_ms());
        let Some(core) = self.core.as_mut() else {
            return;
        };
        core.handle(instant, unix_ms, input);
        let mut sent = Vec::new();
        while let Some(output) = core.poll() {
            match output {
                Output::Send(node, message) => sent.push(Packet::Down(node, *message)),
                Output::Persist(number, batch) => self.batches.push((number, batch)),
            }
        }
        for packet in sent {
            self.send(packet);
        }
        let core = self.core.as_ref();
        assert_eq!(self.disk.audit(core, unix_ms), Vec::<String>::new());
    }

    fn send(&mut self, packet: Packet) {
        let (Packet::Up(node, _) | Packet::Down(node, _)) = &packet;
        if self.cut.contains(node) || self.random.below(100) < self.weather.loss_pct {
            return;
        }
        let copies = 1 + u32::from(self.random.below(100) < self.weather.twice_pct);
        for _ in 0..copies {
            let delay = self.random.below(self.weather.delay_ms + 1);
            let at = self.now + Duration::from_millis(u64::from(delay));
            let copy = match &packet {
                Packet::Up(node, message) => Packet::Up(node.clone(), message.clone()),
                Packet::Down(node, message) => Packet::Down(node.clone(), message.clone()),
            };
            self.packets.push((at, copy));
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.packets.drain(..).partition(|(at, _)| *at <= now);
        self.packets = later;
        let mut due = due;
        due.sort_by_key(|(at, _)| *at);
        for (_, packet) in due {
            match packet {
                Packet::Up(node, message) => {
                    self.give(Input::Message(node, Box::new(message)));
                }
                Packet::Down(id, message) => {
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.hear(now, message);
                    }
                }
            }
        }
        let mut said = Vec::new();
        for (id, node) in &mut self.nodes {
            said.extend(
                node.step(now)
                    .into_iter()
                    .map(|message| (id.clone(), message)),
            );
        }
        for (id, message) in said {
            self.send(Packet::Up(id, message));
        }
        if self.core.is_some() {
            for (number, batch) in std::mem::take(&mut self.batches) {
                self.disk.apply(batch);
                self.give(Input::Persisted(number));
            }
        }
        self.give(Input::Wake);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    fn start(&mut self, endpoints: u32, seconds: u64, on_node_loss: OnNodeLoss) -> RunId {
        self.started += 1;
        let run = RunId(self.started);
        let mut test = testing::pair_test(endpoints, endpoints);
        test.duration = Millis(seconds * 1_000);
        test.on_node_loss = on_node_loss;
        self.give(Input::Start(Box::new(Start {
            run,
            organization: OWNER,
            project: ProjectId(1),
            test,
            plan: Plan::default(),
        })));
        run
    }

    fn until_status(&mut self, run: RunId, wanted: RunStatus, within: Duration) {
        let until = self.now + within;
        while self.disk.view(run).is_none_or(|view| view.status != wanted) {
            self.step();
            let view = self.disk.view(run);
            assert!(self.now < until, "{wanted} within {within:?}: {view:?}");
        }
    }

    /// What is stored of each node that took part: each second once, without a hole.
    fn check_seconds(&self, run: RunId, seconds: u32) {
        for node in self.nodes.keys() {
            let stored = self.disk.seconds(run, node);
            if stored.is_empty() {
                continue;
            }
            let wanted: Vec<(u64, u32)> = (0..seconds).map(|s| (u64::from(s), s)).collect();
            assert_eq!(stored, wanted, "{node}");
        }
    }
}

#[test]
fn a_run_over_three_nodes_completes_and_is_settled_once() {
    let mut world = World::new(1, 3, FINE);
    world.pass(Duration::from_secs(3));
    let run = world.start(30, 6, OnNodeLoss::Fail);
    world.until_status(run, RunStatus::Completed, Duration::from_secs(20));
    let view = world.disk.view(run).unwrap();
    assert_eq!(view.reason, "ended");
    assert!(view.settled, "with the very commit of its end");
    world.check_seconds(run, 6);
    assert_eq!(world.disk.reports(run), 60);
    assert_eq!(world.disk.summary(run).unwrap().0, 6 * 60);
    world.pass(Duration::from_secs(5));
    assert!(world.nodes.values().all(Node::holds_nothing));
    assert_eq!(world.core.as_ref().unwrap().holders().count(), 0);
}

#[test]
fn a_dead_node_fails_the_run_within_15_s_and_gives_its_slot_back_within_20() {
    for takes_over in [false, true] {
        let mut world = World::new(2, 3, FINE);
        world.pass(Duration::from_secs(3));
        let run = world.start(30, 60, OnNodeLoss::Fail);
        world.until_status(run, RunStatus::Running, Duration::from_secs(5));
        world.pass(Duration::from_secs(4));
        let died = world.now;
        let id = NodeId("n1".to_owned());
        if takes_over {
            world.nodes.insert(id.clone(), Node::new(id, 2));
        } else {
            world.nodes.remove(&id);
        }
        world.until_status(run, RunStatus::Failed, Duration::from_secs(15));
        let took = world.now - died;
        let early = takes_over && took > Duration::from_secs(2);
        assert!(!early, "a new life says so at once: {took:?}");
        let view = world.disk.view(run).unwrap();
        assert_eq!(view.reason, "node_lost");
        assert!(view.sentence.contains("`n1`"), "{}", view.sentence);
        assert!(view.sentence.contains("20 of 60"), "{}", view.sentence);
        assert!(!view.settled, "it may still call");
        while !world.disk.view(run).unwrap().settled {
            world.step();
        }
        let took = world.now - died;
        assert!(
            took >= Duration::from_secs(13),
            "not before its lease: {took:?}"
        );
        assert!(took <= Duration::from_secs(20), "{took:?}");
        assert!(world.nodes.values().all(Node::holds_nothing));
    }
}

#[test]
fn a_run_goes_on_without_a_lost_node_where_it_is_wished() {
    let mut world = World::new(3, 3, FINE);
    world.pass(Duration::from_secs(3));
    let run = world.start(30, 25, OnNodeLoss::Continue);
    world.until_status(run, RunStatus::Running, Duration::from_secs(5));
    world.pass(Duration::from_secs(4));
    world.nodes.remove(&NodeId("n1".to_owned()));
    world.until_status(run, RunStatus::Completed, Duration::from_secs(40));
    let view = world.disk.view(run).unwrap();
    assert_eq!(view.reason, "ended_without_lost");
    assert!(view.sentence.contains("`n1`"), "{}", view.sentence);
    let (_, missing) = world.disk.summary(run).unwrap();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].endpoints, missing[0].unreported), (20, 20));
    assert!((3..=5).contains(&missing[0].from_second), "{missing:?}");
    assert!(view.settled);
}

#[test]
fn a_coordinator_that_comes_back_in_time_adopts_the_run_with_every_second() {
    let mut world = World::new(4, 2, FINE);
    world.pass(Duration::from_secs(3));
    let run = world.start(10, 20, OnNodeLoss::Fail);
    world.until_status(run, RunStatus::Running, Duration::from_secs(5));
    world.pass(Duration::from_secs(4));
    world.crash_coordinator();
    world.pass(Duration::from_secs(5));
    world.start_coordinator();
    world.until_status(run, RunStatus::Completed, Duration::from_secs(40));
    world.check_seconds(run, 20);
    assert_eq!(world.disk.summary(run).unwrap().0, 20 * 20);
    let view = world.disk.view(run).unwrap();
    assert_eq!((view.reason.as_str(), view.settled), ("ended", true));
    assert_eq!(view.used, Some(20 * 20_000), "its whole duration");
}

#[test]
fn a_coordinator_that_comes_back_late_finds_the_run_ended_and_settles_it() {
    let mut world = World::new(5, 2, FINE);
    world.pass(Duration::from_secs(3));
    let run = world.start(10, 120, OnNodeLoss::Fail);
    world.until_status(run, RunStatus::Running, Duration::from_secs(5));
    world.pass(Duration::from_secs(4));
    world.crash_coordinator();
    world.pass(Duration::from_secs(60));
    assert!(world.nodes.values().all(|node| !node.calls()));
    world.start_coordinator();
    world.until_status(run, RunStatus::Failed, Duration::from_secs(20));
    let view = world.disk.view(run).unwrap();
    assert_eq!((view.reason.as_str(), view.settled), ("lease_lost", true));
    // What both nodes measured up to the end of their leases is there.
    for node in world.nodes.keys() {
        let stored = world.disk.seconds(run, node);
        assert!(stored.len() >= 12, "{node}: {}", stored.len());
    }
    assert_eq!(world.disk.reports(run), 20);
}

#[test]
fn a_stop_and_a_drain_reach_their_end() {
    let mut world = World::new(6, 2, STORMY);
    world.pass(Duration::from_secs(5));
    let stopped = world.start(10, 60, OnNodeLoss::Fail);
    world.until_status(stopped, RunStatus::Running, Duration::from_secs(30));
    world.give(Input::Stop(stopped));
    world.until_status(stopped, RunStatus::Completed, Duration::from_secs(30));
    let drained = world.start(10, 60, OnNodeLoss::Fail);
    world.until_status(drained, RunStatus::Running, Duration::from_secs(30));
    world.weather = FINE;
    world
        .nodes
        .get_mut(&NodeId("n0".to_owned()))
        .unwrap()
        .drain();
    world.until_status(drained, RunStatus::Failed, Duration::from_secs(40));
    let view = world.disk.view(drained).unwrap();
    assert_eq!(view.reason, "node_drained");
    assert!(view.sentence.contains("`n0`"), "{}", view.sentence);
    assert_eq!(world.disk.reports(drained), 20, "both told everything");
}

/// Everything at once: whatever happens, the books hold after every step, every run ends and is
/// settled once, and a run that completed has each second once.
#[test]
fn no_storm_breaks_the_books_or_loses_a_second() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, STORMY);
        world.pass(Duration::from_secs(5));
        let mut runs = Vec::new();
        for _ in 0..3 {
            let endpoints = 1 + world.random.below(20);
            let policy = if world.random.below(2) == 0 {
                OnNodeLoss::Fail
            } else {
                OnNodeLoss::Continue
            };
            runs.push(world.start(endpoints, 8, policy));
            let wait = world.random.below(4_000);
            world.pass(Duration::from_millis(u64::from(wait)));
            trouble(&mut world);
        }
        world.cut.clear();
        if world.core.is_none() {
            world.start_coordinator();
        }
        world.weather = FINE;
        world.pass(Duration::from_secs(180));
        for run in runs {
            let Some(view) = world.disk.view(run) else {
                continue;
            };
            assert!(
                view.status.is_terminal() && view.settled,
                "seed {seed}: {view:?}"
            );
            if view.status == RunStatus::Completed && view.reason == "ended" {
                world.check_seconds(run, 8);
            }
            let ours = ["reports_missing", "frames_lost", "node_silent"];
            assert!(
                !ours.contains(&view.reason.as_str()),
                "seed {seed}: {view:?}"
            );
        }
        assert!(world.nodes.values().all(Node::holds_nothing), "seed {seed}");
        let holders = world.core.as_ref().unwrap().holders().count();
        assert_eq!(holders, 0, "seed {seed}");
    }
}

fn trouble(world: &mut World) {
    let name = NodeId(format!("n{}", world.random.below(3)));
    match world.random.below(6) {
        0 => {
            world.crash_coordinator();
            let away = world.random.below(20);
            world.pass(Duration::from_secs(u64::from(away)));
            world.start_coordinator();
        }
        1 => {
            world.cut.push(name);
            let away = world.random.below(25);
            world.pass(Duration::from_secs(u64::from(away)));
            world.cut.clear();
        }
        2 => {
            let life = 10 + world.random.next();
            world.nodes.insert(name.clone(), Node::new(name, life));
        }
        3 => {
            let run = RunId(world.started);
            world.give(Input::Stop(run));
        }
        _ => {}
    }
}

const SEEDS: u64 = 150;
