use shared::phase::Outcome;
use shared::phase::RunStatus;
use shared::result::StatusMove;
use shared::result::{
    Counts, Distribution, FailureRow, GeneratorHealth, MetricSummary, MissingShare, Part, Ratios,
    SCHEMA_VERSION, SeriesSecond, ThresholdResult, Verdict,
};

use super::*;

fn distribution(middle: f64, spread: f64) -> Distribution {
    Distribution {
        count: 400,
        mean: middle,
        min: middle - spread,
        p1: middle - spread * 0.9,
        p5: middle - spread * 0.5,
        p50: middle,
        p95: middle + spread * 0.5,
        p99: middle + spread * 0.9,
        max: middle + spread,
        worst: middle + spread,
    }
}

fn part(name: &str, endpoints: u32, callers: u64) -> Part {
    let metric = |key: &str, distribution| MetricSummary {
        metric: key.to_owned(),
        distribution,
    };
    Part {
        name: name.to_owned(),
        counts: Counts {
            endpoints,
            registrations_attempted: u64::from(endpoints),
            registrations_succeeded: u64::from(endpoints),
            unregistered: u64::from(endpoints),
            calls_attempted: callers,
            calls_established: callers,
            calls_completed: callers,
            ..Counts::default()
        },
        ratios: Ratios {
            registration_success: Some(100.0),
            call_success: Some(99.999),
            isa: Some(0.001),
            ..Ratios::default()
        },
        metrics: vec![
            metric(
                "mos",
                Distribution {
                    worst: 3.9,
                    ..distribution(4.2, 0.3)
                },
            ),
            metric("jitter_ms", distribution(31.0, 24.0)),
            metric("call.setup_ms", distribution(1_800.0, 900.0)),
        ],
        packets_sent: 20_000,
        packets_received: 19_990,
        packets_lost: 10,
        loss_pct: Some(0.05),
        mos_grounded: true,
        codecs: vec!["PCMU".to_owned()],
    }
}

pub(crate) fn result(verdict: Verdict) -> RunResult {
    let second = |second: u32| SeriesSecond {
        second,
        phase: None,
        values: [
            ("mos.p5", 4.1),
            ("jitter_ms.p95", f64::from(second)),
            ("phase.incall", 20.0),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    };
    RunResult {
        schema_version: SCHEMA_VERSION,
        carillon_version: "0.1.0".to_owned(),
        run: "0198c0ffee000001".to_owned(),
        test: "lab pairs".to_owned(),
        status: RunStatus::Completed,
        history: vec![StatusMove {
            status: RunStatus::Completed,
            at_unix_ms: 1,
            reason: "ended".to_owned(),
            sentence: "every endpoint reached its end".to_owned(),
        }],
        problems: Vec::new(),
        verdict,
        began_unix_ms: Some(1),
        elapsed_ms: 20_000,
        all: part("all", 20, 10),
        groups: vec![part("callers", 10, 10), part("callees", 10, 0)],
        failures: vec![FailureRow {
            outcome: Outcome::CallFailed,
            code: Some(486),
            reason: "486 Busy\u{1b}[2J Here".to_owned(),
            count: 3,
            example_endpoint: 17,
            example_account: "user0018".to_owned(),
        }],
        generator: GeneratorHealth {
            send_late_ms: Some(distribution(0.2, 0.1)),
            timer_late_ms: Some(distribution(1.0, 0.4)),
            cpu_cores_max: 0.4,
            cpu_cores_mean: 0.3,
            resident_bytes_max: 40 << 20,
            skipped_packets: 2,
            ..GeneratorHealth::default()
        },
        thresholds: vec![
            ThresholdResult {
                text: "mos.p5 >= 4.3".into(),
                measured: Some(4.05),
                passed: false,
            },
            ThresholdResult {
                text: "callers: call_success >= 99%".into(),
                measured: Some(99.999),
                passed: true,
            },
            ThresholdResult {
                text: "rtt.p95 < 1s".into(),
                measured: None,
                passed: false,
            },
        ],
        missing: Vec::new(),
        seconds: (0..20).filter(|n| *n != 7).map(second).collect(),
        endpoints: Vec::new(),
    }
}

fn page(width: usize) -> Page<'static> {
    Page {
        ink: Ink::plain(),
        width,
        data_dir: None,
    }
}

#[test]
fn a_summary_is_exact_and_stays_inside_its_width() {
    for width in [80, 100, 120] {
        let lines = lines(&result(Verdict::ThresholdCrossed), page(width));
        let text = lines.join("\n");
        for part in [
            "jitter ms  all        31.0       43.0       52.6   55.0",
            "callers: call_success >= 99%   99.99 %",
            "✗ rtt.p95 < 1s                   nothing was measured",
            "486",
            "Busy[2J Here",
            "exit 99",
            "2 packets not sent in time",
        ] {
            assert!(text.contains(part), "{width}: {part}\n{text}");
        }
        let wide = |line: &&String| console::measure_text_width(line) > width;
        assert_eq!(lines.iter().find(wide), None);
    }
}

#[test]
fn what_a_lost_node_did_not_deliver_is_told_before_the_figures() {
    let mut result = result(Verdict::Passed);
    result.missing = vec![MissingShare {
        node: "fra-2".to_owned(),
        last_seen_unix_ms: 1,
        from_second: 72,
        endpoints: 1_200,
        unreported: 1_199,
    }];
    let text = lines(&result, page(120)).join("\n");
    let told = "The figures are without node `fra-2` from 01:12 on: it carried";
    let at = text.find(told).unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains("199 of them never told"), "{text}");
    assert!(at < text.find("endpoints  registered").unwrap(), "{text}");
}

#[test]
fn a_second_without_a_report_is_a_gap() {
    let text = lines(&result(Verdict::Passed), page(80)).join("\n");
    assert!(text.contains("▆▆▆▆··▆▆▆▆"), "{text}");
}

#[test]
fn an_invalid_result_says_so_first() {
    let lines = lines(&result(Verdict::Invalid), page(80));
    assert!(lines[0].contains("NOT VALID"), "{}", lines[0]);
}
