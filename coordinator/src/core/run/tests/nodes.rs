//! Runs over several nodes: items in order, orders, tells, checkpoints, losses.

use std::collections::BTreeSet;

use shared::definition::OnNodeLoss;
use shared::id::{EndpointIndex, GroupIndex};
use shared::metric::{CATALOGUE, MetricId};
use shared::phase::{Outcome, Phase};
use shared::result::StatusMove;
use shared::wire::{
    Column, DesiredState, Downward, EndCause, EndpointReport, Frame, Held, HeldState, Item, LifeId,
    Report, Tell,
};

use super::*;
use crate::core::cluster::Cluster;
use crate::testing;

/// A run over nodes `a`, `b`, … whose lives are all 7, with a clock that only the test moves.
struct Scene {
    run: Run,
    cluster: Cluster,
    begin: Instant,
    now: Now,
    moves: Vec<StatusMove>,
    sent: Vec<(String, Downward)>,
    stored: usize,
    next: std::collections::BTreeMap<String, u64>,
}

const LIFE: LifeId = testing::LIFE;

fn id(name: &str) -> NodeId {
    NodeId(name.to_owned())
}

impl Scene {
    /// RUNNING on these nodes.
    fn running(test: Test, nodes: &[&str]) -> Self {
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1_000_000,
        };
        let frozen = Frozen {
            id: testing::RUN,
            epoch: 1,
            test,
            missing_media: Vec::new(),
        };
        let mut scene = Self {
            run: Run::new(now, frozen),
            cluster: Cluster::new(now.instant, BTreeSet::new()),
            begin: now.instant,
            now,
            moves: Vec::new(),
            sent: Vec::new(),
            stored: 0,
            next: std::collections::BTreeMap::new(),
        };
        for node in nodes {
            scene.renew(node, None);
        }
        scene.give(Input::Admit {
            limits: Vec::new(),
            accounts: Vec::new(),
        });
        scene.give(Input::Slot);
        for node in nodes {
            scene.prepared(node);
        }
        assert_eq!(scene.run.status(), RunStatus::Running);
        scene
    }

    fn prepared(&mut self, node: &str) {
        self.give(Input::Prepared {
            node: id(node),
            life: LIFE,
            run_epoch: 1,
            problems: Vec::new(),
        });
    }

    fn give(&mut self, input: Input) {
        let world = World {
            nodes: &self.cluster,
        };
        self.run.handle(self.now, input, &world);
        while let Some(output) = self.run.poll() {
            match output {
                Output::Move(step) => {
                    let committed = Input::Committed(step.status);
                    self.moves.push(step);
                    self.run.handle(self.now, committed, &world);
                }
                Output::Send(node, _, body) => self.sent.push((node.0, body)),
                Output::Store(_) => self.stored += 1,
                Output::Live(_) | Output::Release => {}
            }
        }
    }

    fn renew(&mut self, node: &str, held: Option<Held>) {
        let sent = self.now.instant.duration_since(self.begin) + Duration::from_secs(1);
        let renew = testing::renew(testing::node(node), sent);
        self.cluster.renewed(self.now, &id(node), LIFE, &renew);
        self.give(Input::Renewed {
            node: id(node),
            life: LIFE,
            epoch: 1,
            held,
        });
    }

    fn pass(&mut self, seconds: u64, alive: &[&str]) {
        for _ in 0..seconds {
            self.now.instant += Duration::from_secs(1);
            self.now.unix_ms += 1_000;
            self.cluster.look(self.now.instant);
            for node in alive {
                self.renew(node, Some(held(HeldState::Running, 0)));
            }
            self.give(Input::Wake);
        }
    }

    fn numbered(&mut self, node: &str, sequence: u64, report: Report) {
        self.give(Input::Item {
            node: id(node),
            life: LIFE,
            item: Box::new(Item {
                run: testing::RUN,
                run_epoch: 1,
                sequence,
                report,
            }),
        });
    }

    /// The next item of a node.
    fn item(&mut self, node: &str, report: Report) {
        let next = self.next.entry(node.to_owned()).or_default();
        let sequence = *next;
        *next += 1;
        self.numbered(node, sequence, report);
    }

    fn reports_and_end(&mut self, node: &str, endpoints: std::ops::Range<u32>, cause: EndCause) {
        for endpoint in endpoints {
            let callers = self.run.frozen.test.groups[0].count;
            let report = EndpointReport {
                node: id(node),
                group: GroupIndex(u16::from(endpoint >= callers)),
                registration_code: Some(200),
                ..testing::report(endpoint, Outcome::Success)
            };
            self.item(node, Report::Endpoint(Box::new(report)));
        }
        self.item(node, ended(node, cause));
    }

    fn orders(&self, node: &str) -> Vec<(DesiredState, u64)> {
        let ours = self.sent.iter().filter(|(to, _)| to == node);
        ours.filter_map(|(_, body)| match body {
            Downward::Order(order) => Some((order.state, order.stored_to)),
            _ => None,
        })
        .collect()
    }

    /// (first number, how many) of the tells that a node was sent.
    fn tells(&self, node: &str) -> Vec<(u64, usize)> {
        let ours = self.sent.iter().filter(|(to, _)| to == node);
        ours.filter_map(|(_, body)| match body {
            Downward::Tells { first, tells, .. } => Some((*first, tells.len())),
            _ => None,
        })
        .collect()
    }

    fn last(&self) -> (RunStatus, &str) {
        let step = self.moves.last().unwrap();
        (step.status, step.reason.as_str())
    }

    /// kill -9 and a new coordinator with epoch 2, `away` seconds later.
    fn restart(&mut self, away: u64) {
        self.restart_at(away, away * 1_000);
    }

    /// The same where the wall clock says something else.
    fn restart_at(&mut self, away: u64, clock_ms: u64) {
        let octets = self.run.checkpoint(self.now).unwrap().octets;
        self.now.instant += Duration::from_secs(away);
        self.now.unix_ms += clock_ms;
        let mut record = testing::record(testing::RUN);
        record.history.clone_from(&self.moves);
        let test = self.run.test().clone();
        self.run = Run::adopt(self.now, 2, &record, test, &octets).unwrap();
        self.cluster = Cluster::new(self.now.instant, BTreeSet::new());
        self.sent.clear();
    }
}

fn held(state: HeldState, tells: u64) -> Held {
    Held {
        run: testing::RUN,
        run_epoch: 1,
        order: (1, 1),
        state,
        next_item: 0,
        tells,
    }
}

fn ended(node: &str, cause: EndCause) -> Report {
    Report::Ended {
        run: testing::RUN,
        node: id(node),
        cause,
    }
}

fn frame(node: &str, number: u32) -> Report {
    Report::Frame(Box::new(Frame {
        node: id(node),
        ..testing::frame(u64::from(number), number)
    }))
}

/// Callers on `a`, callees on `b`.
fn parted(count: u32) -> Test {
    let mut test = testing::pair_test(count, count);
    test.groups[0].nodes = vec![id("a")];
    test.groups[1].nodes = vec![id("b")];
    test
}

#[test]
fn items_are_taken_in_order_and_once() {
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    scene.numbered("a", 1, frame("a", 1));
    scene.numbered("a", 0, frame("a", 0));
    scene.numbered("a", 0, frame("a", 0));
    scene.numbered("a", 1, frame("b", 1));
    scene.numbered("a", 1, frame("a", 1));
    let stranger = Input::Item {
        node: id("a"),
        life: LifeId(8),
        item: Box::new(Item {
            run: testing::RUN,
            run_epoch: 1,
            sequence: 2,
            report: frame("a", 2),
        }),
    };
    scene.give(stranger);
    assert_eq!(
        scene.run.untaken(),
        Untaken {
            foreign: 2,
            repeated: 1,
            early: 1,
            ..Untaken::default()
        }
    );
    assert_eq!(scene.stored, 2);
}

#[test]
fn items_may_be_let_go_once_a_checkpoint_is_on_disk() {
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    assert!(scene.run.is_checkpoint_due(scene.now), "at its begin");
    let first = scene.run.checkpoint(scene.now).unwrap().number;
    assert!(!scene.run.is_checkpoint_due(scene.now));
    scene.item("a", frame("a", 0));
    scene.item("a", frame("a", 1));
    assert!(!scene.run.is_checkpoint_due(scene.now), "not twice at once");
    scene.pass(1, &["a", "b"]);
    assert!(scene.run.is_checkpoint_due(scene.now));
    let second = scene.run.checkpoint(scene.now).unwrap().number;
    scene.item("a", frame("a", 2));
    scene.give(Input::Checkpointed(first));
    let began = (DesiredState::Running, 0);
    assert_eq!(scene.orders("a"), [began]);
    scene.give(Input::Checkpointed(second));
    assert_eq!(scene.orders("a"), [began, (DesiredState::Running, 2)]);
    assert_eq!(scene.orders("b"), [began], "nothing came of it");
    let order = scene.run.order(&id("a"), LIFE).unwrap();
    assert_eq!((order.run_epoch, order.stored_to), (1, 2));
    assert_eq!(scene.run.order(&id("a"), LifeId(8)), None);
}

#[test]
fn nothing_is_ordered_before_it_is_stored_and_a_lost_order_to_prepare_comes_again() {
    let now = Now {
        instant: Instant::now(),
        unix_ms: 0,
    };
    let frozen = Frozen {
        id: testing::RUN,
        epoch: 1,
        test: testing::pair_test(1, 1),
        missing_media: Vec::new(),
    };
    let mut scene = Scene {
        run: Run::new(now, frozen),
        cluster: Cluster::new(now.instant, BTreeSet::new()),
        begin: now.instant,
        now,
        moves: Vec::new(),
        sent: Vec::new(),
        stored: 0,
        next: std::collections::BTreeMap::new(),
    };
    scene.renew("a", None);
    scene.give(Input::Admit {
        limits: Vec::new(),
        accounts: Vec::new(),
    });
    assert_eq!(
        scene.run.order(&id("a"), LIFE),
        None,
        "it has no start slot"
    );
    scene.give(Input::Slot);
    scene.renew("a", None);
    assert_eq!(scene.sent.len(), 1, "it was told just now");
    scene.now.instant += Duration::from_secs(2);
    scene.renew("a", None);
    assert_eq!(scene.sent.len(), 2);
    // The answer was lost too: the renewal says it.
    scene.now.instant += Duration::from_secs(2);
    let sent = scene.now.instant.duration_since(scene.begin) + Duration::from_secs(1);
    let renew = testing::renew(testing::node("a"), sent);
    scene.cluster.renewed(scene.now, &id("a"), LIFE, &renew);
    let world = World {
        nodes: &scene.cluster,
    };
    let input = Input::Renewed {
        node: id("a"),
        life: LIFE,
        epoch: 1,
        held: Some(held(HeldState::Prepared, 0)),
    };
    scene.run.handle(scene.now, input, &world);
    assert_eq!(scene.run.status(), RunStatus::Running);
    let order = |scene: &Scene| scene.run.order(&id("a"), LIFE).unwrap().state;
    assert_eq!(order(&scene), DesiredState::Prepared, "not on disk yet");
    scene.give(Input::Committed(RunStatus::Running));
    assert_eq!(order(&scene), DesiredState::Running);
}

#[test]
fn a_stop_overtakes_the_begin() {
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    scene.give(Input::Stop(StopCause::Requested));
    scene.give(Input::Committed(RunStatus::Running));
    let states: Vec<_> = scene.orders("a").into_iter().map(|order| order.0).collect();
    assert_eq!(states, [DesiredState::Running, DesiredState::Stopped]);
    let order = scene.run.order(&id("b"), LIFE).unwrap();
    assert_eq!(order.state, DesiredState::Stopped);
}

#[test]
fn tells_go_to_the_counterparts_node_numbered_and_again_until_taken() {
    let mut scene = Scene::running(parted(3), &["a", "b"]);
    let ready = |place| Tell::Callee {
        group: GroupIndex(1),
        place,
        readiness: Ok(format!("sip:{place}@b")),
    };
    let over = |place| Tell::CallerOver {
        group: GroupIndex(1),
        place,
    };
    scene.item("b", Report::Tells(vec![ready(0), ready(1)]));
    scene.item("b", Report::Tells(vec![ready(2)]));
    scene.item("a", Report::Tells(vec![over(1)]));
    assert_eq!(scene.tells("a"), [(0, 2), (2, 1)]);
    assert_eq!(scene.tells("b"), [(0, 1)]);
    // Not theirs to tell, or of no place.
    scene.item("a", Report::Tells(vec![ready(0), over(3)]));
    assert_eq!(scene.run.untaken().tells, 2);
    scene.sent.clear();
    scene.renew("a", Some(held(HeldState::Running, 1)));
    scene.renew("b", Some(held(HeldState::Running, 1)));
    assert_eq!(scene.tells("a"), [(1, 2)], "from what it has not taken");
    assert_eq!(scene.tells("b"), []);
    scene.renew("a", Some(held(HeldState::Running, 3)));
    scene.sent.clear();
    scene.renew("a", Some(held(HeldState::Running, 3)));
    assert_eq!(scene.tells("a"), []);
}

#[test]
fn a_new_coordinator_numbers_tells_on_from_what_the_node_took_once_it_obeys() {
    let mut scene = Scene::running(parted(3), &["a", "b"]);
    let ready = |place| Tell::Callee {
        group: GroupIndex(1),
        place,
        readiness: Err("no".to_owned()),
    };
    scene.item("b", Report::Tells(vec![ready(0), ready(1)]));
    scene.restart(3);
    // It still obeys the former coordinator, and may take more of that one's tells.
    scene.renew("a", Some(held(HeldState::Running, 1)));
    assert_eq!(scene.tells("a"), []);
    scene.give(Input::Renewed {
        node: id("a"),
        life: LIFE,
        epoch: 2,
        held: Some(held(HeldState::Running, 2)),
    });
    assert_eq!(scene.tells("a"), [(2, 2)], "repeated rather than lost");
    scene.item("b", Report::Tells(vec![ready(2)]));
    assert_eq!(scene.tells("a"), [(2, 2), (4, 1)]);
}

#[test]
fn an_adopted_run_goes_on_and_ends_as_if_nothing_had_been() {
    let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
    scene.item("a", frame("a", 0));
    scene.pass(5, &["a"]);
    scene.restart(4);
    assert_eq!(scene.run.status(), RunStatus::Running);
    assert_eq!(scene.run.elapsed_ms(scene.now), 9_000);
    let order = scene.run.order(&id("a"), LIFE).unwrap();
    assert_eq!((order.state, order.stored_to), (DesiredState::Running, 1));
    scene.pass(10, &["a"]);
    scene.numbered("a", 0, frame("a", 0));
    scene.item("a", frame("a", 1));
    scene.reports_and_end("a", 0..2, EndCause::Finished);
    assert_eq!(scene.last(), (RunStatus::Completed, "ended"));
    assert_eq!(scene.run.untaken().repeated, 1);
    assert!(scene.run.is_released());
}

#[test]
fn a_clock_that_jumps_meanwhile_neither_ends_an_adopted_run_nor_makes_it_cost_a_day() {
    let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
    scene.pass(5, &["a"]);
    scene.restart_at(4, 86_400_000);
    // Five seconds, and as long as a lease and its grace last.
    assert_eq!(scene.run.elapsed_ms(scene.now), 5_000 + 15_000);
    scene.pass(20, &["a"]);
    assert_eq!(scene.run.status(), RunStatus::Running);
    scene.reports_and_end("a", 0..2, EndCause::Finished);
    assert_eq!(scene.last(), (RunStatus::Completed, "ended"));
}

#[test]
fn an_adopted_run_whose_node_does_not_show_up_is_lost_after_lease_and_grace() {
    let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
    scene.restart(2);
    scene.pass(14, &[]);
    assert_eq!(scene.run.status(), RunStatus::Running);
    scene.pass(1, &[]);
    assert_eq!(scene.last(), (RunStatus::Failed, "node_lost"));
    scene.give(Input::Wake);
    assert!(
        scene.run.is_released(),
        "it is silent for long enough by then"
    );
}

#[test]
fn a_node_that_lives_and_does_not_know_the_run_is_lost() {
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    for _ in 0..3 {
        assert_eq!(scene.run.status(), RunStatus::Running);
        scene.pass(1, &["b"]);
        scene.renew("a", None);
    }
    assert_eq!(scene.last(), (RunStatus::Failed, "node_lost"));
    let step = scene.moves.last().unwrap();
    assert!(step.sentence.contains("did not know"), "{}", step.sentence);
    assert!(!scene.run.is_released(), "the other one still calls");
    scene.renew("a", None);
    scene.renew("b", Some(held(HeldState::Stopping, 0)));
    assert!(!scene.run.is_released());
    scene.renew("b", Some(held(HeldState::Ended(EndCause::Ordered), 0)));
    assert!(scene.run.is_released());
    assert_eq!(scene.run.order(&id("b"), LIFE), None, "it may forget it");
}

#[test]
fn a_renewal_that_was_sent_before_the_run_was_told_of_gives_nothing_back() {
    for seen in [false, true] {
        let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
        if seen {
            scene.renew("a", Some(held(HeldState::Running, 0)));
        }
        scene.give(Input::StorageFailed("full".to_owned()));
        scene.renew("a", None);
        assert_eq!(scene.run.is_released(), seen, "it may begin any moment");
        scene.renew("a", None);
        assert!(scene.run.is_released());
    }
}

#[test]
fn a_node_whose_outbox_is_full_fails_the_run_by_name() {
    let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
    scene.item("a", ended("a", EndCause::NoRoom));
    assert_eq!(scene.last(), (RunStatus::Failed, "node_no_room"));
    let sentence = &scene.moves.last().unwrap().sentence;
    assert!(sentence.contains("Node `a` had no room"), "{sentence}");
}

#[test]
fn a_node_that_stops_for_long_holds_nobodys_slot() {
    let mut scene = Scene::running(testing::pair_test(1, 1), &["a"]);
    scene.give(Input::StorageFailed("full".to_owned()));
    assert_eq!(scene.run.status(), RunStatus::Failed);
    for _ in 0..14 {
        scene.pass(1, &[]);
        scene.renew("a", Some(held(HeldState::Stopping, 0)));
        assert!(!scene.run.is_released());
    }
    scene.pass(1, &[]);
    assert!(scene.run.is_released());
}

#[test]
fn who_waits_for_what_a_lost_node_carried_is_told() {
    let mut test = parted(3);
    test.on_node_loss = OnNodeLoss::Continue;
    let mut scene = Scene::running(test, &["a", "b"]);
    scene.item("a", frame("a", 0));
    scene.pass(12, &["a"]);
    assert_eq!(scene.run.status(), RunStatus::Running);
    assert_eq!(scene.tells("a"), [(0, 3)], "no callee will ever be ready");
    scene.reports_and_end("a", 0..3, EndCause::Finished);
    assert_eq!(scene.last(), (RunStatus::Completed, "ended_without_lost"));
    let sentence = &scene.moves.last().unwrap().sentence;
    assert!(
        sentence.contains("the 3 endpoints of node `b` from second 0"),
        "{sentence}"
    );
    // All lost: nothing is left to go on with.
    let mut test = testing::pair_test(1, 1);
    test.on_node_loss = OnNodeLoss::Continue;
    let mut alone = Scene::running(test, &["a"]);
    alone.pass(12, &[]);
    assert_eq!(alone.last(), (RunStatus::Failed, "node_lost"));
}

#[test]
fn a_drained_node_ends_the_run_after_the_others_have_told_everything() {
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    let carried: Vec<_> = scene
        .run
        .shares()
        .map(|(node, s)| (node.0.clone(), s.len()))
        .collect();
    assert_eq!(carried, [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    scene.reports_and_end("a", 0..1, EndCause::Drained);
    assert_eq!(scene.last(), (RunStatus::Stopping, "node_drained"));
    assert_eq!(scene.orders("b").last(), Some(&(DesiredState::Stopped, 0)));
    scene.reports_and_end("b", 1..2, EndCause::Ordered);
    assert_eq!(scene.last(), (RunStatus::Failed, "node_drained"));
    assert!(scene.run.is_released());
    // Who never tells does not hold it up for ever.
    let mut scene = Scene::running(testing::pair_test(2, 2), &["a", "b"]);
    scene.reports_and_end("a", 0..1, EndCause::LeaseLost);
    scene.pass(15, &["a", "b"]);
    assert_eq!(scene.last(), (RunStatus::Failed, "lease_lost"));
}

/// 10,000 endpoints, 60 metrics of each in every second. A checkpoint is written about once a
/// second, so it must stay small beside what the records take.
#[test]
fn the_size_of_a_checkpoint() {
    let mut scene = Scene::running(testing::pair_test(5_000, 5_000), &["a"]);
    let mut random = testing::Random::new(1);
    let endpoints: Vec<EndpointIndex> = (0..10_000).map(EndpointIndex).collect();
    for number in 0..10u32 {
        let columns = (0..60u16)
            .filter(|id| usize::from(*id) < CATALOGUE.len())
            .map(|id| Column {
                metric: MetricId(id),
                values: endpoints
                    .iter()
                    .map(|_| 50.0 + random.below(400) as f32 / 10.0)
                    .collect(),
            })
            .collect();
        let frame = Frame {
            node: id("a"),
            phases: vec![Phase::Incall; endpoints.len()],
            endpoints: endpoints.clone(),
            columns,
            ..testing::frame(u64::from(number), number)
        };
        scene.item("a", Report::Frame(Box::new(frame)));
    }
    let octets = scene.run.checkpoint(scene.now).unwrap().octets.len();
    // 73 KB, of which 5 KB are phases and the rest 60 distributions of two groups.
    assert!(octets < 128 << 10, "{octets} octets");
}
