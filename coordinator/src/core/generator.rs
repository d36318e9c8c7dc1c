//! The generator's own health, and the rule by which its figures are not valid (exit code 98).
//!
//! The rule must not cry wolf on a busy two-core machine with 200 calls, where single seconds are
//! late, and must not miss an overload that falsified the figures. So it looks at shares of the
//! whole run, and at several late seconds, never at one.

use serde::{Deserialize, Serialize};
use shared::result::{Distribution, GeneratorHealth};
use shared::stat::Histogram;
use shared::wire::GeneratorSecond;

use super::counts::percent;

/// Sums of all generator seconds of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generator {
    send_late_us: Histogram,
    timer_late_us: Histogram,
    cpu_max: f64,
    cpu_sum: f64,
    seconds: u32,
    media_seconds: u32,
    late_seconds: u32,
    /// Seconds in which slots were skipped.
    skipped_seconds: u32,
    /// The largest share of one second's packets that was skipped.
    skipped_pct_max: f64,
    socket_drops: u64,
    skipped_packets: u64,
    refused: u64,
    strangers: u64,
    panics: u64,
    resident_max: u64,
}

/// RTP packets of the run, for the shares of the rule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Sent.
    pub(crate) sent: u64,
    /// Received.
    pub(crate) received: u64,
}

impl Generator {
    /// Takes a second: of one node, or of all nodes of a run merged.
    pub(crate) fn add(&mut self, second: &GeneratorSecond) {
        self.send_late_us.merge(&second.send_late_us);
        self.timer_late_us.merge(&second.timer_late_us);
        let cpu = f64::from(second.cpu_cores);
        self.cpu_max = self.cpu_max.max(cpu);
        self.cpu_sum += cpu;
        self.seconds = self.seconds.saturating_add(1);
        if second.send_late_us.count() >= PACKETS_IN_A_MEDIA_SECOND {
            self.media_seconds = self.media_seconds.saturating_add(1);
            if at_ms(&second.send_late_us, 0.95).is_some_and(|late| late > LATE_SECOND_P95_MS) {
                self.late_seconds = self.late_seconds.saturating_add(1);
            }
        }
        if second.skipped_packets > 0 {
            self.skipped_seconds = self.skipped_seconds.saturating_add(1);
            let due = second.send_late_us.count() + second.skipped_packets;
            let pct = percent(second.skipped_packets, due).unwrap_or(0.0);
            self.skipped_pct_max = self.skipped_pct_max.max(pct);
        }
        self.socket_drops = self.socket_drops.saturating_add(second.socket_drops);
        self.skipped_packets = self.skipped_packets.saturating_add(second.skipped_packets);
        self.refused = self.refused.saturating_add(second.refused);
        self.strangers = self.strangers.saturating_add(second.strangers);
        self.panics = self.panics.saturating_add(second.panics);
        self.resident_max = self.resident_max.max(second.resident_bytes);
    }

    /// The run's health, judged.
    pub(crate) fn health(&self, traffic: Traffic) -> GeneratorHealth {
        let reasons = self.reasons(traffic);
        GeneratorHealth {
            send_late_ms: distribution_ms(&self.send_late_us),
            timer_late_ms: distribution_ms(&self.timer_late_us),
            cpu_cores_max: self.cpu_max,
            cpu_cores_mean: if self.seconds == 0 {
                0.0
            } else {
                self.cpu_sum / f64::from(self.seconds)
            },
            socket_drops: self.socket_drops,
            skipped_packets: self.skipped_packets,
            refused: self.refused,
            strangers: self.strangers,
            panics: self.panics,
            resident_bytes_max: self.resident_max,
            saturated: !reasons.is_empty(),
            reasons,
        }
    }

    fn reasons(&self, traffic: Traffic) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(late) = at_ms(&self.send_late_us, 0.95)
            && late > RUN_P95_MS
            && self.media_seconds >= JUDGED_SECONDS_MIN
        {
            reasons.push(format!(
                "RTP packets left late: p95 {late:.1} ms over the whole run, {RUN_P95_MS} ms is the limit; use fewer endpoints or more cores"
            ));
        }
        let share = percent(u64::from(self.late_seconds), u64::from(self.media_seconds));
        if self.late_seconds >= LATE_SECONDS && share.is_some_and(|pct| pct >= LATE_SECONDS_PCT) {
            reasons.push(format!(
                "in {} of {} seconds with media the p95 of send lateness was above {LATE_SECOND_P95_MS} ms; use fewer endpoints or more cores",
                self.late_seconds, self.media_seconds
            ));
        }
        let due = traffic.sent.saturating_add(self.skipped_packets);
        if let Some(pct) = percent(self.skipped_packets, due)
            && pct > SKIPPED_PCT
            && (self.skipped_seconds >= LATE_SECONDS || self.skipped_pct_max > STALL_PCT)
        {
            reasons.push(format!(
                "{} RTP packets ({pct:.2} % of those due) were not sent because the engine was late",
                self.skipped_packets
            ));
        }
        let dropped = percent(self.socket_drops, traffic.received.max(1)).unwrap_or(0.0);
        if dropped > SOCKET_DROPS_PCT {
            reasons.push(format!(
                "our own socket buffers dropped {} datagrams; raise net.core.rmem_max or use fewer endpoints",
                self.socket_drops
            ));
        }
        if self.timer_late_us.count() >= TIMERS_MIN
            && let Some(late) = at_ms(&self.timer_late_us, 0.99)
            && late > TIMER_P99_MS
        {
            reasons.push(format!(
                "SIP timers and planned starts ran late: p99 {late:.0} ms, {TIMER_P99_MS} ms is the limit; use a longer buildup or more cores"
            ));
        }
        if self.refused > 0 {
            reasons.push(format!(
                "{} messages were refused by a full queue of the generator",
                self.refused
            ));
        }
        if self.panics > 0 {
            reasons.push(format!(
                "{} endpoints broke down inside Carillon; this is a fault of Carillon, please report it",
                self.panics
            ));
        }
        reasons
    }
}

/// The value at quantile `q` of a histogram of microseconds, in milliseconds.
#[allow(clippy::cast_precision_loss)] // microseconds of lateness
pub(crate) fn at_ms(micros: &Histogram, q: f64) -> Option<f64> {
    micros.quantile(q).map(|value| value as f64 / 1_000.0)
}

#[allow(clippy::cast_precision_loss)] // as above
fn distribution_ms(micros: &Histogram) -> Option<Distribution> {
    let at = |q: f64| micros.quantile(q).unwrap_or(0) as f64 / 1_000.0;
    (!micros.is_empty()).then(|| Distribution {
        count: micros.count(),
        mean: micros.mean().unwrap_or(0.0) / 1_000.0,
        min: at(0.0),
        p1: at(0.01),
        p5: at(0.05),
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
        max: at(1.0),
        worst: at(1.0),
    })
}

/// p95 of send lateness over the whole run: half a packet time of 20 ms. Not p99: a machine that
/// stalls once for 300 ms in a run of 20 s has 1.5 % late packets and is not overloaded.
const RUN_P95_MS: f64 = 10.0;
/// Below so many seconds with media one stall is already 5 % of all packets.
const JUDGED_SECONDS_MIN: u32 = 5;
/// A late second: one packet in twenty left more than a packet time late.
const LATE_SECOND_P95_MS: f64 = 20.0;
/// So many late seconds, …
const LATE_SECONDS: u32 = 3;
/// … and at least this share of the seconds with media.
const LATE_SECONDS_PCT: f64 = 10.0;
/// Fewer packets say nothing about a second.
const PACKETS_IN_A_MEDIA_SECOND: u64 = 100;
/// Slots that were skipped, of packets due: a stall of 200 ms in a call of 20 s is half of it. They
/// count where they are spread over [`LATE_SECONDS`] seconds, …
const SKIPPED_PCT: f64 = 2.0;
/// … or where one second lost so much: a stall of half a second is more than a busy machine.
const STALL_PCT: f64 = 50.0;
/// Own drops look like the target's loss; 0.01 % is the finest loss anyone reads.
const SOCKET_DROPS_PCT: f64 = 0.01;
/// p99 of timer lateness: a fifth of T1.
const TIMER_P99_MS: f64 = 100.0;
/// Fewer timers say nothing about a run.
const TIMERS_MIN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn second(late_us: u64, packets: u64) -> GeneratorSecond {
        let mut send_late_us = Histogram::new();
        send_late_us.record_n(late_us, packets);
        GeneratorSecond {
            send_late_us,
            timer_late_us: Histogram::new(),
            cpu_cores: 0.5,
            socket_drops: 0,
            skipped_packets: 0,
            refused: 0,
            strangers: 0,
            panics: 0,
            resident_bytes: 1 << 20,
        }
    }

    const TRAFFIC: Traffic = Traffic {
        sent: 600_000,
        received: 600_000,
    };

    /// A run of 60 s with 10,000 packets a second, `late` of them seconds of 40 ms.
    fn run(late: u32) -> Generator {
        let mut generator = Generator::default();
        for n in 0..60 {
            generator.add(&second(if n < late { 40_000 } else { 300 }, 10_000));
        }
        generator
    }

    #[test]
    fn a_quiet_run_is_valid_and_its_figures_are_kept() {
        let health = run(0).health(TRAFFIC);
        assert!(!health.saturated, "{:?}", health.reasons);
        let late = health.send_late_ms.expect("packets were sent");
        assert!((late.p99 - 0.3).abs() < 0.001);
        assert_eq!(late.count, 600_000);
        assert!((health.cpu_cores_mean - 0.5).abs() < 1e-9);
        assert_eq!(health.resident_bytes_max, 1 << 20);
    }

    #[test]
    fn a_stall_of_the_machine_is_no_alarm() {
        let mut generator = Generator::default();
        for n in 0..20 {
            let mut second = second(300, 10_000);
            if n == 7 {
                // 100 ms without the processor: 200 streams skip five slots each.
                second.send_late_us.record_n(100_000, 50);
                second.skipped_packets = 1_000;
            }
            generator.add(&second);
        }
        let health = generator.health(Traffic {
            sent: 200_000,
            received: 200_000,
        });
        assert!(!health.saturated, "{:?}", health.reasons);
    }

    #[test]
    fn a_stall_in_a_short_run_is_no_alarm_but_many_are() {
        let short = |stalls: u32| {
            let mut generator = Generator::default();
            for n in 0..8 {
                let mut second = second(300, 200);
                if n < stalls {
                    second.skipped_packets = 46;
                }
                generator.add(&second);
            }
            generator.health(Traffic {
                sent: 1_600,
                received: 1_600,
            })
        };
        assert!(!short(1).saturated, "{:?}", short(1).reasons);
        assert!(short(3).saturated);
    }

    #[test]
    fn lateness_over_the_run_or_in_many_seconds_is_saturation() {
        assert!(!run(0).health(TRAFFIC).saturated);
        assert!(!run(2).health(TRAFFIC).saturated, "two late seconds of 60");
        assert!(run(4).health(TRAFFIC).saturated, "p95 of the run is 40 ms");
        let mut generator = run(0);
        for _ in 0..7 {
            let mut late = second(300, 100);
            late.send_late_us.record_n(30_000, 10);
            generator.add(&late);
        }
        let reasons = generator.health(TRAFFIC).reasons;
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].starts_with("in 7 of 67 seconds"), "{reasons:?}");
    }

    type Spoil = fn(&mut GeneratorSecond);

    #[test]
    fn each_fault_of_our_own_is_named() {
        let faults: [(Spoil, &str); 5] = [
            (|s| s.skipped_packets = 13_000, "not sent"),
            (|s| s.socket_drops = 100, "socket buffers"),
            (|s| s.refused = 1, "full queue"),
            (|s| s.panics = 1, "fault of Carillon"),
            (|s| s.timer_late_us.record_n(150_000, 100), "timers"),
        ];
        for (spoil, word) in faults {
            let mut generator = run(0);
            let mut bad = second(300, 10_000);
            spoil(&mut bad);
            generator.add(&bad);
            let reasons = generator.health(TRAFFIC).reasons;
            assert_eq!(reasons.len(), 1, "{word}: {reasons:?}");
            assert!(reasons[0].contains(word), "{word}: {reasons:?}");
        }
    }

    #[test]
    fn a_few_drops_below_what_anyone_reads_are_no_alarm() {
        let mut generator = run(0);
        let mut bad = second(300, 10_000);
        bad.socket_drops = 50;
        generator.add(&bad);
        assert!(!generator.health(TRAFFIC).saturated);
    }
}
