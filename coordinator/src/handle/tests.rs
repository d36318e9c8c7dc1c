//! Runs of saved tests against a scripted node: slots, credits, accounts, the queue, restarts.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use shared::api;
use shared::bus::LocalBus;
use shared::id::{
    AccountId, KeyId, NodeId, OrganizationId, PlanId, ProjectId, RegistrarId, TestId,
};
use shared::phase::{Outcome, Phase, RunStatus};
use shared::units::Millis;
use shared::wire::{Column, Desired, DesiredState, EndCause, Frame, Report};

use super::*;
use crate::core::record::RunRecord;
use crate::core::request::{Assembled, GroupPool, StartRequest};
use crate::testing;
use node::ScriptedNode;

#[path = "../../tests/node/mod.rs"]
mod node;

mod cluster;
mod restart;

const ORG: OrganizationId = OrganizationId(5);
const PROJECT: ProjectId = ProjectId(6);

/// A directory of this test alone; removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(std::env::temp_dir().join(format!(
            "carillon-runs-{name}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )))
    }

    /// What a crash at this moment would leave.
    fn crashed(&self) -> Self {
        let copy = Self::new("crashed");
        copy_all(&self.0, &copy.0);
        copy
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

struct Scene {
    handle: Handle,
    node: ScriptedNode,
    _directory: Directory,
}

/// A coordinator that starts one run at a time.
fn started(directory: &Directory, bus: &LocalBus, embedded: Option<NodeId>) -> Handle {
    let mut config = CoordinatorConfig::new(directory.0.clone(), "0.1.0");
    config.starts_at_once = 1;
    config.embedded = embedded;
    start(config, Arc::new(bus.clone())).unwrap()
}

impl Scene {
    async fn new(directory: Directory) -> Self {
        Self::with(directory, Some(NodeId("local".to_owned()))).await
    }

    async fn with(directory: Directory, embedded: Option<NodeId>) -> Self {
        let bus = LocalBus::new();
        let handle = started(&directory, &bus, embedded);
        let node = ScriptedNode::new(&bus, "local");
        node.renew();
        while handle.nodes().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        Self {
            handle,
            node,
            _directory: directory,
        }
    }

    async fn with_credits(directory: Directory, endpoint_ms: u64) -> Self {
        let scene = Self::new(directory).await;
        scene.grant(endpoint_ms).await;
        scene
    }

    async fn grant(&self, endpoint_ms: u64) {
        let id = "ab".repeat(16);
        let grant = || {
            self.handle
                .grant(ORG, endpoint_ms, String::new(), id.clone())
        };
        let first = grant().await.unwrap();
        assert_eq!(grant().await.unwrap(), first, "a repeat grants nothing");
    }

    async fn wait_for(&mut self, run: RunId, state: DesiredState) -> Desired {
        let desired = self.node.command().await;
        assert_eq!((desired.run, desired.state), (run, state));
        desired
    }

    async fn running(&mut self, run: RunId) -> Desired {
        self.wait_for(run, DesiredState::Prepared).await;
        self.node.prepared(run, Vec::new());
        self.wait_for(run, DesiredState::Running).await
    }

    fn frame(&mut self, desired: &Desired, second: u32) {
        let endpoints = desired.test.endpoint_count();
        let frame = Frame {
            run: desired.run,
            epoch: desired.epoch,
            endpoints: (0..endpoints).map(EndpointIndex).collect(),
            phases: vec![Phase::Incall; endpoints as usize],
            columns: vec![Column {
                metric: shared::metric::MOS,
                values: vec![second as f32 + 1.0; endpoints as usize],
            }],
            ..testing::frame(u64::from(second), second)
        };
        self.node.say(desired.run, Report::Frame(Box::new(frame)));
    }

    fn finish(&mut self, desired: &Desired) {
        for endpoint in 0..desired.test.endpoint_count() {
            let mut report = testing::report(endpoint, Outcome::Success);
            report.run = desired.run;
            self.node
                .say(desired.run, Report::Endpoint(Box::new(report)));
        }
        self.node.ended(desired.run, EndCause::Finished);
    }

    async fn ended(&self, run: RunId) -> Arc<RunRecord> {
        self.handle.finished(run).await.unwrap();
        self.record(run)
    }

    fn record(&self, run: RunId) -> Arc<RunRecord> {
        self.handle.control().runs().get(ORG, run).unwrap()
    }

    async fn audit_holds(&self) {
        let report = self.handle.audit().await.unwrap();
        let broken: Vec<_> = report.invariants.iter().filter(|i| !i.holds).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }

    fn figures(&self) -> (u64, u64, u64) {
        let balance = self.handle.balance(ORG);
        (
            balance.available.endpoint_ms,
            balance.reserved.endpoint_ms,
            balance.spent.endpoint_ms,
        )
    }
}

fn plan(runs_per_project: u32) -> api::Plan {
    api::Plan {
        id: PlanId(1),
        name: "plan".to_owned(),
        concurrent_runs_per_project: runs_per_project,
        concurrent_runs_per_organization: 10,
        concurrent_endpoints: 1_000,
        endpoints_per_run: 100,
        duration_max: "1h".to_owned(),
        revision: 1,
        created_unix_ms: 0,
        updated_unix_ms: 0,
    }
}

/// Two endpoints for ten seconds: 20,000 endpoint-milliseconds.
fn request() -> StartRequest {
    let mut test = testing::pair_test(1, 1);
    test.duration = Millis(10_000);
    StartRequest {
        organization: ORG,
        project: PROJECT,
        test_id: TestId(7),
        test_revision: 3,
        test_name: "pairs".to_owned(),
        label: "build 1".to_owned(),
        rerun_of: None,
        started_by: KeyId(8),
        plan: plan(5),
        assembled: Assembled {
            test,
            document: serde_json::json!({"name": "pairs"}),
            pools: Vec::new(),
            problems: Vec::new(),
        },
        id: None,
    }
}

fn codes(record: &RunRecord) -> Vec<&str> {
    record.problems.iter().map(|p| p.code.as_str()).collect()
}

#[actix::test]
async fn a_run_reserves_waits_for_its_slot_and_is_settled_to_what_it_used() {
    let mut scene = Scene::with_credits(Directory::new("settle"), 100_000).await;
    let first = scene.handle.start_run(request()).await.unwrap();
    assert_eq!(
        (first.status(), first.reserved_endpoint_ms, first.settled),
        (RunStatus::Queued, 20_000, false)
    );
    let second = scene.handle.start_run(request()).await.unwrap();
    let third = scene.handle.start_run(request()).await.unwrap();
    scene.wait_for(first.id, DesiredState::Prepared).await;
    assert_eq!(scene.figures(), (40_000, 60_000, 0));
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_endpoints, 6);
    let handle = scene.handle.clone();
    let place = |run: &RunRecord| handle.queue_position(run.id);
    assert_eq!(
        (place(&first), place(&second), place(&third)),
        (None, Some(1), Some(2))
    );
    // Who waits can be stopped, and the others move up.
    for _ in 0..2 {
        let stop = scene.handle.stop(second.id, StopReason::Requested);
        stop.await.unwrap();
    }
    let stopped = scene.ended(second.id).await;
    assert_eq!(
        (stopped.status(), stopped.used_endpoint_ms),
        (RunStatus::Completed, Some(0))
    );
    assert_eq!(place(&third), Some(1));
    scene.node.prepared(first.id, Vec::new());
    // The slot is free once RUNNING is decided: which of the two is told first is not fixed.
    let told = [scene.node.command().await, scene.node.command().await];
    let states = told.each_ref().map(|desired| (desired.run, desired.state));
    let expected = [
        (first.id, DesiredState::Running),
        (third.id, DesiredState::Prepared),
    ];
    assert!(
        expected.iter().all(|one| states.contains(one)),
        "{states:?}"
    );
    let desired = told.into_iter().find(|desired| desired.run == first.id);
    let desired = desired.unwrap();
    assert_eq!(place(&third), None);
    scene.frame(&desired, 0);
    scene.finish(&desired);
    let ended = scene.ended(first.id).await;
    let used = ended.used_endpoint_ms.unwrap();
    assert_eq!(used, 2 * ended.elapsed_ms.min(10_000));
    assert_eq!(ended.counts.as_ref().unwrap().outcomes[0], 2);
    assert!(ended.settled && ended.verdict.is_some() && ended.frozen != [0; 32]);
    assert_eq!(scene.figures(), (80_000 - used, 20_000, used));
    let stop = scene.handle.stop(third.id, StopReason::Requested);
    stop.await.unwrap();
    scene.ended(third.id).await;
    assert_eq!(scene.figures(), (100_000 - used, 0, used));
    assert_eq!(scene.handle.usage(ORG, &plan(5)).concurrent_runs, 0);
    scene.audit_holds().await;
}

#[actix::test]
async fn every_limit_is_named_at_once_and_a_refused_run_has_no_directory() {
    let scene = Scene::with_credits(Directory::new("limits"), 1_000).await;
    let mut request = request();
    request.plan = plan(0);
    request.assembled.test.groups[0].region = Some("mars".to_owned());
    let checked = scene.handle.check(request.clone()).await.unwrap();
    assert!(!checked.can_run);
    assert_eq!(checked.estimate.endpoint_ms, 20_000);
    let started = scene.handle.start_run(request).await.unwrap();
    // A coordinator that has just started waits a moment for the region's nodes.
    let refused = scene.ended(started.id).await;
    assert_eq!(refused.status(), RunStatus::CannotRunForNow);
    assert_eq!(
        codes(&refused),
        [
            "plan_concurrent_runs_per_project",
            "credits",
            "no_node_in_region"
        ]
    );
    assert_eq!(refused.problems, checked.problems);
    assert!(refused.problems[1].limit.is_some());
    assert!(
        !scene
            ._directory
            .0
            .join("runs")
            .join(refused.id.to_string())
            .exists()
    );
    let result = scene.handle.result(refused.id, true).await.unwrap();
    assert_eq!(result.problems, refused.problems);
    assert_eq!(scene.figures(), (1_000, 0, 0));
    // Stopping what has ended changes nothing, and is no error.
    let stop = scene.handle.stop(refused.id, StopReason::Requested);
    stop.await.unwrap();
}

#[actix::test]
async fn no_account_is_used_by_two_live_runs() {
    let mut scene = Scene::with_credits(Directory::new("accounts"), 1_000_000).await;
    let with_pool = || {
        let mut request = request();
        let groups = &mut request.assembled.test.groups;
        let accounts = testing::group("user", 3, shared::definition::Target::Nobody).accounts;
        for group in groups.iter_mut() {
            group.accounts.clear();
        }
        request.assembled.pools = [0, 1]
            .map(|group| GroupPool {
                group,
                registrar: RegistrarId(1),
                candidates: (0..).map(AccountId).zip(accounts.clone()).collect(),
            })
            .to_vec();
        request
    };
    let first = scene.handle.start_run(with_pool()).await.unwrap();
    assert_eq!(first.status(), RunStatus::Queued);
    let desired = scene.wait_for(first.id, DesiredState::Prepared).await;
    let used: Vec<_> = desired
        .test
        .groups
        .iter()
        .flat_map(|g| &g.accounts)
        .collect();
    let used: Vec<_> = used
        .iter()
        .map(|account| account.username.as_str())
        .collect();
    assert_eq!(used, ["user0", "user1"]);
    let second = scene.handle.start_run(with_pool()).await.unwrap();
    assert_eq!(codes(&second), ["not_enough_accounts"]);
    let stop = scene.handle.stop(first.id, StopReason::Requested);
    stop.await.unwrap();
    scene.ended(first.id).await;
    let third = scene.handle.start_run(with_pool()).await.unwrap();
    assert_eq!(third.status(), RunStatus::Queued);
}

#[actix::test]
async fn ten_thousand_starts_for_one_slot_start_one() {
    let scene = Scene::with_credits(Directory::new("storm"), 10_000_000).await;
    let begun = std::time::Instant::now();
    let starts = (0..10_000).map(|_| {
        let mut request = request();
        request.plan = plan(1);
        scene.handle.start_run(request)
    });
    let renews = async {
        let mut every = tokio::time::interval(shared::wire::RENEW_EVERY);
        loop {
            every.tick().await;
            scene.node.renew();
        }
    };
    let answers = tokio::select! {
        answers = join_all(starts) => answers,
        () = renews => unreachable!(),
    };
    let took = begun.elapsed();
    let (accepted, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(Result::unwrap)
        .partition(|record| record.accepted);
    assert_eq!((accepted.len(), refused.len()), (1, 9_999), "{took:?}");
    for record in &refused {
        assert_eq!(codes(record), ["plan_concurrent_runs_per_project"]);
        let limit = record.problems[0].limit.as_ref().unwrap();
        assert_eq!((limit.limit, limit.in_use, limit.asked), (1, 1, 1));
        assert!(limit.may_free_at_unix_ms.is_some());
    }
    let ids: std::collections::BTreeSet<_> = refused.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), 9_999);
    assert_eq!(scene.handle.control().runs().len(), 10_000);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(scene.figures(), (9_980_000, 20_000, 0));
    scene.audit_holds().await;
    let folders = std::fs::read_dir(scene._directory.0.join("runs")).unwrap();
    assert_eq!(folders.count(), 1, "refused runs have no directory");
}

#[actix::test]
async fn a_planned_id_starts_one_run_however_often_it_is_asked_for() {
    let scene = Scene::with_credits(Directory::new("planned"), 100_000).await;
    let mut request = request();
    request.id = Some(RunId(0x1_2345));
    let twice = (0..2).map(|_| scene.handle.start_run(request.clone()));
    let answers: Vec<_> = join_all(twice)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(answers[0].id, RunId(0x1_2345));
    assert_eq!(answers[0], answers[1]);
    let later = scene.handle.start_run(request).await.unwrap();
    assert_eq!(later.id, RunId(0x1_2345));
    assert_eq!(scene.handle.control().runs().len(), 1);
    assert_eq!(scene.figures(), (80_000, 20_000, 0));
}
