//! The whole coordinator against a scripted node on the in-process bus: submit, frames, result.
//!
//! No socket and no real node: what a node would say is written here, so every figure of the result
//! can be compared with what was sent.

// clippy knows tests by their attribute; here the helpers of tests unwrap too.
#![allow(clippy::unwrap_used)]

mod node;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use coordinator::{CoordinatorConfig, Handle, RequestError, StopReason, start};
use node::ScriptedNode;
use shared::bus::LocalBus;
use shared::definition::{
    Account, Codec, Group, Media, Playout, Registrar, SocketMode, Target, Test, Transport,
};
use shared::id::{EndpointIndex, GroupIndex, RunId};
use shared::metric;
use shared::phase::{Outcome, Phase, RunStatus};
use shared::result::Verdict;
use shared::stat::Histogram;
use shared::units::Millis;
use shared::wire::{
    CallReport, Column, Desired, DesiredState, EndCause, EndpointReport, Frame, GeneratorSecond,
    MediaReport, Problem, Report, Trace, TraceMessage,
};

/// A directory of this test alone; removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = std::env::temp_dir().join(format!(
            "carillon-{name}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What this file's node says beside what any node does.
trait Scripted {
    fn frame(&mut self, desired: &Desired, second: u32, phase: Phase, columns: Vec<Column>);
    fn endpoint(&mut self, desired: &Desired, endpoint: u32, outcome: Outcome, code: u16);
}

impl Scripted for ScriptedNode {
    fn frame(&mut self, desired: &Desired, second: u32, phase: Phase, columns: Vec<Column>) {
        let endpoints = desired.test.endpoint_count();
        let mut late = Histogram::new();
        late.record_n(200, 1_000);
        let frame = Frame {
            run: desired.run,
            node: self.id.clone(),
            epoch: desired.epoch,
            sequence: u64::from(second),
            second,
            last_of_second: true,
            endpoints: (0..endpoints).map(EndpointIndex).collect(),
            phases: vec![phase; endpoints as usize],
            columns,
            generator: Some(GeneratorSecond {
                send_late_us: late,
                timer_late_us: Histogram::new(),
                cpu_cores: 0.25,
                socket_drops: 0,
                skipped_packets: 0,
                refused: 0,
                strangers: 0,
                panics: 0,
                resident_bytes: 64 << 20,
            }),
        };
        self.say(desired.run, Report::Frame(Box::new(frame)));
    }

    fn endpoint(&mut self, desired: &Desired, endpoint: u32, outcome: Outcome, code: u16) {
        let group = u16::from(endpoint >= desired.test.groups[0].count);
        let established = outcome == Outcome::Success;
        let trace = Trace {
            run: desired.run,
            endpoint: EndpointIndex(endpoint),
            dropped: 0,
            messages: vec![TraceMessage {
                at_us: 1,
                sent: true,
                local: "127.0.0.1:5061".to_owned(),
                remote: "127.0.0.1:5060".to_owned(),
                transport: "UDP".to_owned(),
                bytes: vec![b'x'; 20_000],
            }],
        };
        self.say(desired.run, Report::Trace(Box::new(trace)));
        let report = EndpointReport {
            run: desired.run,
            endpoint: EndpointIndex(endpoint),
            group: GroupIndex(group),
            account: format!("user{endpoint}"),
            node: self.id.clone(),
            phase: Phase::Closed,
            outcome,
            reason: "scripted".to_owned(),
            registration_code: Some(if outcome == Outcome::RegistrationFailed {
                code
            } else {
                200
            }),
            call_code: Some(code),
            call_reason: None,
            unregistered: established,
            calls: vec![CallReport {
                caller: group == 0,
                established,
                code: Some(code),
                media: established.then(|| MediaReport {
                    codec: "PCMU".to_owned(),
                    tx_packets: 100,
                    rx_packets: 99,
                    rx_expected: 100,
                    rx_lost: 1,
                    rx_missing: 1,
                    mos: Some(4.4),
                    grounded: true,
                    ..MediaReport::default()
                }),
                ..CallReport::default()
            }],
        };
        self.say(desired.run, Report::Endpoint(Box::new(report)));
    }
}

fn group(name: &str, count: u32, target: Target) -> Group {
    Group {
        name: name.to_owned(),
        count,
        registrar: Some(0),
        accounts: (0..count)
            .map(|n| Account {
                username: format!("{name}{n}"),
                auth_username: format!("{name}{n}"),
                password: "very-secret".to_owned(),
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

fn test(pairs: u32) -> Test {
    Test {
        name: "scripted".to_owned(),
        duration: Millis(3_000),
        buildup: Millis(1_000),
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
            group("callers", pairs, Target::Group(1)),
            group("callees", pairs, Target::Receives),
        ],
        thresholds: Vec::new(),
        allow_targets: Vec::new(),
        trace_sample: 0,
        on_node_loss: shared::definition::OnNodeLoss::Fail,
        publish_endpoints: false,
    }
}

fn coordinator(directory: &Directory, bus: &LocalBus) -> Handle {
    start(
        CoordinatorConfig::new(directory.0.clone(), "0.1.0"),
        Arc::new(bus.clone()),
    )
    .unwrap()
}

fn column(metric: metric::MetricId, values: Vec<f32>) -> Column {
    Column { metric, values }
}

/// Registers all and sets up all calls in second 0, gives MOS and jitter in seconds 1 and 2.
fn play(node: &mut ScriptedNode, desired: &Desired, established: u32) {
    let all = desired.test.endpoint_count() as usize;
    let callers = all / 2;
    let ones = |count: usize| {
        let mut values = vec![f32::NAN; all];
        values[..count].fill(1.0);
        values
    };
    node.frame(
        desired,
        0,
        Phase::Incall,
        vec![
            column(metric::REG_ATTEMPTS, ones(all)),
            column(metric::REG_SUCCESS, ones(all)),
            column(metric::CALL_ATTEMPTS, ones(callers)),
            column(metric::CALL_ESTABLISHED, ones(established as usize)),
        ],
    );
    for second in 1..3u8 {
        let mos = (0..all).map(|n| if n == 0 { 3.0 } else { 4.41 }).collect();
        node.frame(
            desired,
            u32::from(second),
            Phase::Incall,
            vec![
                column(metric::MOS, mos),
                column(metric::JITTER, vec![f32::from(second); all]),
            ],
        );
    }
}

#[actix::test]
async fn a_whole_run_from_submission_to_its_stored_result() {
    let directory = Directory::new("whole");
    let bus = LocalBus::new();
    let coordinator = coordinator(&directory, &bus);
    let mut node = ScriptedNode::new(&bus, "local");
    node.renew();
    let run = coordinator.submit(test(300)).await.unwrap();
    let mut live = coordinator.subscribe(run).await.unwrap();
    let prepare = node.wait_for(DesiredState::Prepared).await;
    assert_eq!(prepare.run, run);
    assert_eq!(prepare.shares.iter().map(|s| s.count).sum::<u32>(), 600);
    node.prepared(run, Vec::new());
    let desired = node.wait_for(DesiredState::Running).await;
    assert!(desired.sequence > prepare.sequence);
    play(&mut node, &desired, 300);
    for endpoint in 0..600 {
        node.endpoint(&desired, endpoint, Outcome::Success, 200);
    }
    node.ended(run, EndCause::Finished);

    let mut statuses = Vec::new();
    let mut last = None;
    while let Some(update) = live.next().await {
        if statuses.last() != Some(&update.status) {
            statuses.push(update.status);
        }
        last = Some(update);
    }
    assert_eq!(statuses.last(), Some(&RunStatus::Completed));
    assert!(statuses.contains(&RunStatus::Running));
    let last = last.unwrap();
    assert_eq!(last.all.counts.outcomes[0], 600);
    assert_eq!(last.all.counts.phases[Phase::Closed as usize], 600);
    assert!((last.all.mos.unwrap().min - 3.0).abs() < 0.001);

    coordinator.finished(run).await.unwrap();
    let result = coordinator.result(run, true).await.unwrap();
    assert_eq!(result.verdict, Verdict::Passed, "{:?}", result.thresholds);
    assert_eq!(result.all.counts.calls_established, 300);
    assert_eq!(result.all.ratios.call_success, Some(100.0));
    assert_eq!(result.all.ratios.ser, Some(100.0));
    assert_eq!(result.all.packets_lost, 600);
    assert_eq!(result.all.loss_pct, Some(1.0));
    assert_eq!(result.all.metric("mos").unwrap().count, 1_200);
    assert!((result.all.metric("mos").unwrap().p50 - 4.41).abs() < 0.001);
    assert!((result.all.metric("jitter_ms").unwrap().mean - 1.5).abs() < 1e-9);
    assert_eq!(result.groups[1].metric("mos").unwrap().min, 4.41);
    assert_eq!(result.seconds.len(), 3);
    assert_eq!(result.seconds[0].values["call.established"], 300.0);
    assert_eq!(result.seconds[0].values["phase.incall"], 600.0);
    let statuses: Vec<_> = result.history.iter().map(|step| step.status).collect();
    assert_eq!(
        statuses,
        [
            RunStatus::Pending,
            RunStatus::Queued,
            RunStatus::Running,
            RunStatus::Completed
        ]
    );

    assert_eq!(result.endpoints.len(), 600);
    let first = &result.endpoints[0];
    assert_eq!(first.group_name, "callers");
    assert!(first.has_trace);
    assert_eq!(first.seconds.len(), 3);
    assert_eq!(first.seconds[1].values["mos"], 3.0);
    assert_eq!(result.endpoints[599].seconds[2].values["mos"], 4.41);
    assert_eq!(result.endpoints[599].seconds[2].values["jitter_ms"], 2.0);
    assert!(!result.endpoints[599].seconds[0].values.contains_key("mos"));
    let trace = coordinator
        .trace(run, EndpointIndex(17))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(trace.messages[0].bytes.len(), 20_000);

    let path = directory.0.join("result.json");
    let file = std::fs::File::create(&path).unwrap();
    coordinator.write_json(run, Box::new(file)).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let streamed: shared::result::RunResult = serde_json::from_str(&text).unwrap();
    assert_eq!(streamed, result);
}

#[actix::test]
async fn refused_calls_cross_the_implicit_threshold_and_fill_the_failure_table() {
    let directory = Directory::new("refused");
    let bus = LocalBus::new();
    let coordinator = coordinator(&directory, &bus);
    let mut node = ScriptedNode::new(&bus, "local");
    node.renew();
    let run = coordinator.submit(test(2)).await.unwrap();
    node.wait_for(DesiredState::Prepared).await;
    node.prepared(run, Vec::new());
    let desired = node.wait_for(DesiredState::Running).await;
    play(&mut node, &desired, 1);
    node.endpoint(&desired, 0, Outcome::Success, 200);
    node.endpoint(&desired, 1, Outcome::CallFailed, 486);
    node.endpoint(&desired, 2, Outcome::Success, 200);
    node.endpoint(&desired, 3, Outcome::Success, 200);
    node.ended(run, EndCause::Finished);
    coordinator.finished(run).await.unwrap();
    let result = coordinator.result(run, false).await.unwrap();
    assert_eq!(result.status, RunStatus::Completed);
    assert_eq!(result.verdict, Verdict::ThresholdCrossed);
    assert_eq!(result.failures.len(), 1);
    assert_eq!(
        (result.failures[0].code, result.failures[0].example_endpoint),
        (Some(486), 1)
    );
    assert!(result.endpoints.is_empty());
}

#[actix::test]
async fn a_node_that_is_not_ready_says_why_the_run_cannot_start() {
    let directory = Directory::new("unready");
    let bus = LocalBus::new();
    let coordinator = coordinator(&directory, &bus);
    let mut node = ScriptedNode::new(&bus, "local");
    node.renew();
    let run = coordinator.submit(test(2)).await.unwrap();
    node.wait_for(DesiredState::Prepared).await;
    let problem = Problem {
        code: "port_in_use".to_owned(),
        sentence: "Port 5060 is in use.".to_owned(),
        limit: None,
    };
    node.prepared(run, vec![problem.clone()]);
    coordinator.finished(run).await.unwrap();
    let result = coordinator.result(run, true).await.unwrap();
    assert_eq!(result.status, RunStatus::CannotRunForNow);
    assert_eq!(result.verdict, Verdict::Failed);
    assert_eq!(result.problems, [problem]);
    assert_eq!(result.history.last().unwrap().reason, "port_in_use");
    assert!(result.endpoints.is_empty());
}

#[actix::test]
async fn an_interrupted_run_keeps_what_it_measured() {
    let directory = Directory::new("interrupted");
    let bus = LocalBus::new();
    let coordinator = coordinator(&directory, &bus);
    let mut node = ScriptedNode::new(&bus, "local");
    node.renew();
    let run = coordinator.submit(test(2)).await.unwrap();
    node.wait_for(DesiredState::Prepared).await;
    node.prepared(run, Vec::new());
    let desired = node.wait_for(DesiredState::Running).await;
    play(&mut node, &desired, 2);
    coordinator
        .stop(run, StopReason::Interrupted)
        .await
        .unwrap();
    node.wait_for(DesiredState::Stopped).await;
    coordinator.stop(run, StopReason::Requested).await.unwrap();
    for endpoint in 0..4 {
        node.endpoint(&desired, endpoint, Outcome::Success, 200);
    }
    node.ended(run, EndCause::Finished);
    coordinator.finished(run).await.unwrap();
    let result = coordinator.result(run, true).await.unwrap();
    assert_eq!(result.status, RunStatus::Completed);
    assert_eq!(result.verdict, Verdict::Interrupted);
    assert_eq!(result.endpoints.len(), 4);
    assert_eq!(result.seconds.len(), 3);
    let reasons: Vec<_> = result.history.iter().map(|s| s.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "submitted",
            "validated",
            "started",
            "stop_interrupted",
            "stopped"
        ]
    );
    assert_eq!(
        coordinator.stop(RunId(1), StopReason::Requested).await,
        Err(RequestError::UnknownRun(RunId(1)))
    );
}

#[actix::test]
async fn a_second_coordinator_on_the_same_directory_is_told_so() {
    let directory = Directory::new("locked");
    let bus = LocalBus::new();
    let _first = coordinator(&directory, &bus);
    let second = start(
        CoordinatorConfig::new(directory.0.clone(), "0.1.0"),
        Arc::new(bus.clone()),
    );
    let error = second.unwrap_err().to_string();
    assert!(error.contains("in use by another carillon"), "{error}");
}

#[actix::test]
async fn passwords_are_not_stored() {
    let directory = Directory::new("secrets");
    let bus = LocalBus::new();
    let coordinator = coordinator(&directory, &bus);
    let run = coordinator.submit(test(2)).await.unwrap();
    coordinator.stop(run, StopReason::Requested).await.unwrap();
    coordinator.finished(run).await.unwrap();
    let result = coordinator.result(run, false).await.unwrap();
    assert_eq!(result.status, RunStatus::Completed);
    let mut folders = vec![directory.0.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let octets = std::fs::read(&path).unwrap();
                let found = octets.windows(11).any(|window| window == b"very-secret");
                assert!(!found, "{}", path.display());
            }
        }
    }
}
