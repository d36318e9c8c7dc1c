//! `docs/METRICS.md`, printed from the catalogue so that the two can never differ.

use std::fmt::Write as _;

use super::{Better, CATALOGUE, Direction, Family, Kind, Metric};

/// The whole document as Markdown.
#[must_use]
pub fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    for (family, title) in FAMILIES {
        let metrics: Vec<&Metric> = CATALOGUE
            .iter()
            .filter(|metric| metric.family == family)
            .collect();
        if metrics.is_empty() {
            continue;
        }
        // Writing into a String cannot fail.
        let _ = write!(out, "\n## {title}\n\n{HEAD}");
        for metric in metrics {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} | {} | {} |",
                metric.key,
                metric.unit.symbol(),
                kind(metric.kind),
                direction(metric.direction),
                better(metric.better),
                metric.help,
                metric.source
            );
        }
    }
    out.push_str(RATIOS);
    out.push_str(SERIES);
    out.push_str(SATURATION);
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Event => "event",
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Rx => "received",
        Direction::Tx => "sent",
        Direction::Both => "both",
    }
}

fn better(better: Better) -> &'static str {
    match better {
        Better::Higher => "high",
        Better::Lower => "low",
        Better::Neither => "",
    }
}

const FAMILIES: [(Family, &str); 7] = [
    (Family::Quality, "Quality"),
    (Family::Network, "Network"),
    (Family::JitterBuffer, "Jitter buffer"),
    (Family::Rtcp, "RTCP"),
    (Family::Audio, "Audio"),
    (Family::Call, "Registration and calls"),
    (Family::Generator, "Generator"),
];

const HEAD: &str = "\
| key | unit | kind | direction | good | meaning | source |
|---|---|---|---|---|---|---|
";

const INTRODUCTION: &str = "\
# Metrics

Printed from the metric catalogue (`shared/src/metric/catalogue.rs`) by a test of the crate `shared`;
`UPDATE=1 cargo test -p shared` writes it anew. Do not edit it by hand.

Every metric is measured for each endpoint, each second. A metric with no data is absent, never 0. A call's first
and last second are cut short: below 500 ms they have counts, but no loss share and no MOS of their own.

- **gauge**: the value of that second. Over several seconds and endpoints: mean, percentiles, worst.
- **counter**: what that second added. Over several seconds and endpoints: summed.
- **event**: a delay or value of something that happened in that second (a registration, a call).
- **direction**: whether it tells of the stream the endpoint received or of the one it sent (its own count, or
  what the far end reported by RTCP).

What an endpoint measured in a second is rounded once, where its second is closed: times to 0.001 ms, MOS, per cent
and ratios to 0.001, R and dBov to 0.01, ppm to 0.1, counts, octets and bit/s to 1. Every reader has that figure, and it is
stored without further loss. Percentiles are taken of all endpoint-seconds or events, merged, never of averages; they are
kept to 0.001 for MOS, to 0.1 % or better for all others; least, largest and mean values are exact.

In thresholds a metric is written with an aggregate: `mos.p5 >= 3.8`, `jitter_ms.p95 < 30`. Aggregates are `p5`, `p50`,
`p95`, `p99`, `avg`, `worst`, `min` and `max`. `mos` and `r` mean the narrowband scale; where no call was
narrowband, the fullband or else the wideband figure stands in for them. A threshold without data has failed.
";

const RATIOS: &str = "
## Ratios

Of a whole run or group, in per cent; absent where the denominator is 0. Thresholds name them without an aggregate:
`call_success >= 99.5%`. An attempt is one INVITE dialog attempt: a challenge is not a second one. An attempt
without a final answer counts as 408 (RFC 3261 §8.1.3.1). A call between two groups of the test counts once, at its caller.

| key | definition | source |
|---|---|---|
| `registration_success` | registrations that succeeded, of those begun | |
| `ira` | registrations that failed (401, 402 and 407 left out), of those begun | RFC 6076 §4.2 |
| `call_success` | calls answered with 200 and confirmed with ACK, of those attempted | |
| `ser` | 200, of all attempts without those answered 3xx | RFC 6076 §4.6 |
| `seer` | 200, 480, 486, 600 and 603, of all attempts without those answered 3xx | RFC 6076 §4.7 |
| `isa` | 408, 500, 503 and 504, of all attempts | RFC 6076 §4.8 |
| `scr` | calls that ended with BYE and its answer, of all attempts | RFC 6076 §4.9 |

A test that names no threshold at all is judged by `registration_success >= 100%` where its endpoints register and
`call_success >= 99%` where they call.
";

const SERIES: &str = "
## The whole run's seconds

In `seconds` of a result each gauge and event has five keys: `mos.avg`, `mos.p50`, `mos.p5`, `mos.p1` (`.p95`, `.p99` where low is good)
and `mos.worst`; each counter its sum under its plain key. Beside them stand:

| key | meaning |
|---|---|
| `phase.initializing` … `phase.closed` | endpoints in that phase at the end of the second |
| `generator.send_late_p99_ms` | RTP packets sent against their schedule, p99 |
| `generator.timer_late_p99_ms` | SIP timers and planned starts, lateness, p99 |
| `generator.cpu_cores` | cores that the generator kept busy |
";

const SATURATION: &str = "
## When the generator was the bottleneck

A run is marked saturated (exit code 98), with the reason, where any of these held:

- the p95 of RTP send lateness over the whole run was above 10 ms (runs with at least 5 seconds of media);
- in at least 3 seconds, and 10 % of the seconds with media, the p95 of send lateness was above 20 ms;
- more than 2 % of the RTP packets due were skipped because the engine was late, in at least 3 seconds or more than
  half of one second's;
- our own socket buffers dropped more than 0.01 % of the packets received;
- the p99 of the lateness of SIP timers and planned starts was above 100 ms (of at least 100);
- a full queue of the generator refused a message, or an endpoint broke down inside Carillon.
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_metric_is_in_the_document_once() {
        let document = document();
        for metric in CATALOGUE {
            let row = format!("| `{}` |", metric.key);
            assert_eq!(document.matches(&row).count(), 1, "{row}");
        }
    }

    #[test]
    fn the_committed_document_is_what_the_catalogue_prints() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, document()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == document(),
            "docs/METRICS.md differs from the catalogue; UPDATE=1 cargo test -p shared writes it anew"
        );
    }
}
