//! A run in virtual time, with nodes that say what the tests want.

use shared::definition::Test;
use shared::id::{EndpointIndex, GroupIndex};
use shared::phase::{Outcome, Phase};
use shared::result::{LiveUpdate, StatusMove, Verdict};
use shared::wire::{DesiredState, Downward, EndCause, Item, LOST_AFTER, Report};

use super::*;
use crate::core::cluster::Cluster;
use crate::core::summary::Summary;
use crate::testing::{self, LIFE};

/// A run with its nodes and a clock that only the test moves.
struct Scene {
    run: Run,
    nodes: Cluster,
    begin: Instant,
    items: u64,
    now: Now,
    moves: Vec<StatusMove>,
    commands: Vec<DesiredState>,
    summaries: Vec<Summary>,
    lives: Vec<LiveUpdate>,
    frames: usize,
    releases: usize,
    /// A start slot is given at once.
    slots: bool,
}

impl Scene {
    fn new(test: Test) -> Self {
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1_000_000,
        };
        let run = Run::new(
            now,
            Frozen {
                id: testing::RUN,
                epoch: 1,
                test,
                missing_media: Vec::new(),
            },
        );
        let mut scene = Self {
            run,
            nodes: testing::cluster(now.instant, []),
            begin: now.instant,
            items: 0,
            now,
            moves: Vec::new(),
            commands: Vec::new(),
            summaries: Vec::new(),
            lives: Vec::new(),
            frames: 0,
            releases: 0,
            slots: true,
        };
        scene.drain();
        scene
    }

    fn give(&mut self, input: Input) {
        let world = World { nodes: &self.nodes };
        self.run.handle(self.now, input, &world);
        if self.run.is_due(self.now, &self.nodes) {
            let admit = Input::Admit {
                limits: Vec::new(),
                accounts: Vec::new(),
            };
            self.run.handle(self.now, admit, &world);
        }
        if self.slots && self.run.waits_for_slot() {
            self.run.handle(self.now, Input::Slot, &world);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.run.poll() {
            match output {
                Output::Move(step) => {
                    let committed = Input::Committed(step.status);
                    self.moves.push(step);
                    let world = World { nodes: &self.nodes };
                    self.run.handle(self.now, committed, &world);
                }
                Output::Send(_, _, Downward::Prepare(desired)) => self.commands.push(desired.state),
                Output::Send(_, _, Downward::Order(order)) => self.commands.push(order.state),
                Output::Send(..) => {}
                Output::Release => self.releases += 1,
                Output::Live(update) => self.lives.push(*update),
                Output::Store(Record::Summary(summary)) => self.summaries.push(*summary),
                Output::Store(Record::Frame(_)) => self.frames += 1,
                Output::Store(_) => {}
            }
        }
    }

    /// Lets time pass a second at a time; the node is heard of where `alive`.
    fn pass(&mut self, seconds: u64, alive: bool) {
        for _ in 0..seconds {
            self.now.instant += Duration::from_secs(1);
            self.now.unix_ms += 1_000;
            if alive {
                self.node_up();
            }
            self.nodes.look(self.now.instant);
            self.give(Input::Wake);
        }
    }

    fn node_up(&mut self) {
        let sent = self.now.instant.duration_since(self.begin) + Duration::from_secs(1);
        let renew = testing::renew(testing::node("local"), sent);
        self.nodes.renewed(self.now, &local(), LIFE, &renew);
    }

    fn prepared(&mut self, problems: Vec<Problem>) {
        self.give(Input::Prepared {
            node: local(),
            life: LIFE,
            run_epoch: 1,
            problems,
        });
    }

    fn running(test: Test) -> Self {
        let mut scene = Self::new(test);
        scene.node_up();
        scene.give(Input::Wake);
        scene.prepared(Vec::new());
        assert_eq!(scene.run.status(), RunStatus::Running);
        scene
    }

    fn item(&mut self, report: Report) {
        let item = Box::new(Item {
            run: testing::RUN,
            run_epoch: 1,
            sequence: self.items,
            report,
        });
        self.items += 1;
        self.give(Input::Item {
            node: local(),
            life: LIFE,
            item,
        });
    }

    fn all_report(&mut self, outcome: Outcome, code: Option<u16>) {
        for endpoint in 0..self.run.endpoints() {
            let mut report = testing::report(endpoint, outcome);
            let callers = self.run.frozen.test.groups[0].count;
            report.group = GroupIndex(u16::from(endpoint >= callers));
            report.registration_code = code;
            self.item(Report::Endpoint(Box::new(report)));
        }
    }

    fn ended(&mut self) {
        self.item(Report::Ended {
            run: testing::RUN,
            node: local(),
            cause: EndCause::Finished,
        });
    }

    fn path(&self) -> Vec<(RunStatus, &str)> {
        self.moves
            .iter()
            .map(|step| (step.status, step.reason.as_str()))
            .collect()
    }

    fn last(&self) -> (RunStatus, &str) {
        *self.path().last().unwrap()
    }
}

fn local() -> NodeId {
    NodeId("local".to_owned())
}

#[test]
fn a_run_goes_through_its_statuses_and_commands() {
    let mut scene = Scene::running(testing::pair_test(2, 2));
    scene.all_report(Outcome::Success, Some(200));
    scene.ended();
    assert_eq!(
        scene.path(),
        [
            (RunStatus::Pending, "submitted"),
            (RunStatus::Queued, "validated"),
            (RunStatus::Running, "started"),
            (RunStatus::Completed, "ended"),
        ]
    );
    assert_eq!(
        scene.commands,
        [DesiredState::Prepared, DesiredState::Running]
    );
    assert_eq!(scene.summaries.len(), 1);
    let last = scene.lives.last().unwrap();
    assert_eq!(last.status, RunStatus::Completed);
    assert_eq!(last.all.counts.outcomes[0], 4);
}

#[test]
fn a_run_without_a_node_waits_a_moment_and_then_says_so() {
    let mut scene = Scene::new(testing::pair_test(2, 2));
    scene.pass(4, false);
    assert_eq!(scene.run.status(), RunStatus::Pending);
    scene.pass(1, false);
    assert_eq!(scene.last(), (RunStatus::CannotRunForNow, "no_node"));
    assert_eq!(scene.summaries[0].verdict, Verdict::Failed);
    assert_eq!(scene.summaries[0].problems.len(), 1);
    assert!(scene.commands.is_empty());
}

#[test]
fn several_problems_share_one_reason_and_all_sentences() {
    let mut test = testing::pair_test(2, 2);
    test.groups[0].accounts.clear();
    test.groups[1].accounts.clear();
    let mut scene = Scene::new(test);
    scene.node_up();
    scene.give(Input::Wake);
    assert_eq!(
        scene.last(),
        (RunStatus::CannotRunForNow, "validation_failed")
    );
    assert_eq!(scene.summaries[0].problems.len(), 2);
    let sentence = &scene.moves.last().unwrap().sentence;
    assert!(sentence.contains("`callers`") && sentence.contains("`callees`"));
}

#[test]
fn a_node_that_never_gets_ready_ends_the_wait() {
    let mut scene = Scene::new(testing::pair_test(2, 2));
    scene.node_up();
    scene.give(Input::Wake);
    scene.pass(60, true);
    assert_eq!(scene.last(), (RunStatus::CannotRunForNow, "node_not_ready"));
}

#[test]
fn a_lost_node_fails_the_run_and_names_what_it_carried() {
    let mut scene = Scene::running(testing::pair_test(3, 3));
    scene.pass(LOST_AFTER.as_secs() - 1, false);
    assert_eq!(scene.run.status(), RunStatus::Running);
    scene.pass(1, false);
    assert_eq!(scene.last(), (RunStatus::Failed, "node_lost"));
    let sentence = &scene.moves.last().unwrap().sentence;
    assert!(
        sentence.contains("`local`") && sentence.contains("6 of 6"),
        "{sentence}"
    );
    assert_eq!(scene.commands.last(), Some(&DesiredState::Stopped));
}

#[test]
fn a_node_that_lives_but_never_finishes_meets_the_hard_deadline() {
    let mut scene = Scene::running(testing::pair_test(1, 1));
    scene.pass(30 + 96 - 1, true);
    assert_eq!(scene.run.status(), RunStatus::Running);
    scene.pass(1, true);
    assert_eq!(scene.last(), (RunStatus::Failed, "node_silent"));
}

#[test]
fn a_stop_ends_completed_and_keeps_the_verdict_of_who_asked() {
    for (cause, verdict) in [
        (StopCause::Interrupted, Verdict::Interrupted),
        (StopCause::Shutdown, Verdict::Interrupted),
        (StopCause::Requested, Verdict::ThresholdCrossed),
    ] {
        let mut scene = Scene::running(testing::pair_test(1, 1));
        scene.give(Input::Stop(cause));
        scene.give(Input::Stop(StopCause::Interrupted));
        assert_eq!(scene.run.status(), RunStatus::Stopping);
        scene.all_report(Outcome::RegistrationFailed, None);
        scene.ended();
        assert_eq!(scene.last(), (RunStatus::Completed, "stopped"));
        assert_eq!(scene.summaries[0].verdict, verdict);
        let stops = scene
            .commands
            .iter()
            .filter(|state| **state == DesiredState::Stopped);
        assert_eq!(stops.count(), 1);
    }
}

#[test]
fn a_stop_before_the_start_measures_nothing() {
    let mut pending = Scene::new(testing::pair_test(1, 1));
    pending.give(Input::Stop(StopCause::Interrupted));
    let mut queued = Scene::new(testing::pair_test(1, 1));
    queued.node_up();
    queued.give(Input::Wake);
    queued.give(Input::Stop(StopCause::Interrupted));
    for scene in [pending, queued] {
        let path = scene.path();
        assert_eq!(
            path[path.len() - 2..],
            [
                (RunStatus::Stopping, "stop_interrupted"),
                (RunStatus::Completed, "stopped_before_start")
            ]
        );
        assert_eq!(scene.summaries[0].verdict, Verdict::Interrupted);
        assert_eq!(scene.summaries[0].began_unix_ms, None);
    }
}

#[test]
fn critical_troubles_fail_a_running_run() {
    let mut scene = Scene::running(testing::pair_test(1, 1));
    scene.give(Input::StorageFailed("disk full".to_owned()));
    assert_eq!(scene.last(), (RunStatus::Failed, "storage_failed"));
    assert_eq!(scene.summaries[0].verdict, Verdict::Failed);
}

#[test]
fn nothing_leaves_a_terminal_status_whatever_comes() {
    let mut scene = Scene::running(testing::pair_test(1, 1));
    scene.all_report(Outcome::Success, Some(200));
    scene.ended();
    let moves = scene.moves.len();
    scene.give(Input::Stop(StopCause::Interrupted));
    scene.give(Input::StorageFailed(String::new()));
    scene.prepared(Vec::new());
    scene.ended();
    scene.pass(200, false);
    assert_eq!(scene.moves.len(), moves);
    assert_eq!(scene.summaries.len(), 1);
}

#[test]
fn all_registrations_failed_is_failed() {
    let mut scene = Scene::running(testing::pair_test(2, 2));
    scene.all_report(Outcome::RegistrationFailed, Some(403));
    scene.ended();
    assert_eq!(
        scene.last(),
        (RunStatus::Failed, "all_registrations_failed")
    );
    assert_eq!(scene.summaries[0].failures[0].count, 4);
}

#[test]
fn an_end_without_all_reports_or_with_lost_frames_is_our_fault_and_said() {
    let mut scene = Scene::running(testing::pair_test(1, 1));
    scene.ended();
    assert_eq!(scene.last(), (RunStatus::Failed, "reports_missing"));
    let mut scene = Scene::running(testing::pair_test(1, 1));
    scene.item(Report::Frame(Box::new(testing::frame(2, 0))));
    scene.all_report(Outcome::Success, Some(200));
    scene.ended();
    assert_eq!(scene.last(), (RunStatus::Failed, "frames_lost"));
}

#[test]
fn live_updates_come_with_each_second_and_at_least_once_a_second() {
    let mut scene = Scene::running(testing::pair_test(1, 1));
    let before = scene.lives.len();
    scene.pass(5, true);
    assert_eq!(scene.lives.len(), before + 5);
    assert_eq!(scene.lives.last().unwrap().elapsed_ms, 5_000);
    let mut frame = testing::frame(0, 0);
    frame.endpoints = vec![EndpointIndex(0), EndpointIndex(1)];
    frame.phases = vec![Phase::Incall, Phase::Calling];
    scene.item(Report::Frame(Box::new(frame.clone())));
    scene.item(Report::Frame(Box::new(frame)));
    assert_eq!(scene.frames, 1, "a repeated frame is not stored");
}

#[test]
fn new_failures_are_told_once() {
    let mut scene = Scene::running(testing::pair_test(40, 40));
    scene.all_report(Outcome::RegistrationFailed, Some(403));
    scene.pass(2, true);
    let told: Vec<u32> = scene
        .lives
        .iter()
        .flat_map(|update| &update.new_failures)
        .map(|row| row.count)
        .collect();
    assert_eq!(told, [80]);
}

#[test]
fn a_run_waits_for_its_start_slot_and_gets_the_nodes_that_are_there_then() {
    let mut scene = Scene::new(testing::pair_test(2, 2));
    scene.slots = false;
    scene.node_up();
    scene.give(Input::Wake);
    assert_eq!(scene.last(), (RunStatus::Queued, "validated"));
    scene.pass(120, true);
    assert_eq!(scene.run.status(), RunStatus::Queued, "no deadline runs");
    assert!(scene.commands.is_empty());
    scene.give(Input::Slot);
    scene.give(Input::Slot);
    assert_eq!(scene.commands, [DesiredState::Prepared]);

    let mut late = Scene::new(testing::pair_test(2, 2));
    late.slots = false;
    late.node_up();
    late.give(Input::Wake);
    late.pass(LOST_AFTER.as_secs() + 1, false);
    assert_eq!(late.run.status(), RunStatus::Queued);
    late.give(Input::Slot);
    assert_eq!(late.last(), (RunStatus::CannotRunForNow, "no_node"));
}

#[test]
fn what_the_limits_say_comes_with_all_else() {
    let mut test = testing::pair_test(2, 2);
    test.groups[1].codecs.clear();
    let mut scene = Scene::new(test);
    scene.node_up();
    let world = World {
        nodes: &scene.nodes,
    };
    let mut accounts = testing::group("other", 1, shared::definition::Target::Nobody).accounts;
    accounts.extend(accounts.clone());
    let admit = Input::Admit {
        limits: vec![Problem::new("credits", "No credits.".to_owned())],
        accounts: vec![(0, accounts)],
    };
    scene.run.handle(scene.now, admit, &world);
    scene.drain();
    let codes: Vec<_> = scene.summaries[0]
        .problems
        .iter()
        .map(|p| &p.code)
        .collect();
    assert_eq!(codes, ["no_codec", "credits"]);
    assert_eq!(
        scene.run.frozen.test.groups[0].accounts[1].username,
        "other0"
    );
}
