//! What the coordinator stores of a run beside endpoints: aggregate seconds and the final summary.
//!
//! These types are stored as bincode, so none of their fields may be left out when written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::id::NodeId;
use shared::metric::{Better, CATALOGUE, Kind, Metric, MetricId};
use shared::phase::Phase;
use shared::result::{
    FailureRow, GeneratorHealth, MissingShare, Part, SecondValues, SeriesSecond, ThresholdResult,
    Verdict,
};
use shared::wire::{GeneratorSecond, Problem, Share};

use super::generator::at_ms;
use super::part::Sketches;

/// The whole run in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AggregateSecond {
    /// Seconds since the run's begin.
    pub(crate) second: u32,
    gauges: Vec<(MetricId, GaugeSecond)>,
    sums: Vec<(MetricId, f64)>,
    phases: [u32; 8],
    generator: Option<GeneratorFigures>,
}

/// A gauge or events in one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GaugeSecond {
    pub(crate) avg: f64,
    pub(crate) p50: f64,
    /// p95, or p5 where high is good.
    pub(crate) tail: f64,
    /// p99, or p1 where high is good.
    pub(crate) far: f64,
    pub(crate) worst: f64,
}

/// One metric of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// Of a counter.
    Sum(f64),
    /// Of a gauge or of events.
    Gauge(GaugeSecond),
}

/// The generator in one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GeneratorFigures {
    /// p99 of RTP send lateness.
    pub(crate) send_late_p99_ms: Option<f64>,
    /// p99 of the lateness of SIP timers and planned starts.
    pub(crate) timer_late_p99_ms: Option<f64>,
    /// Cores busy, summed over the nodes.
    pub(crate) cpu_cores: f64,
}

impl AggregateSecond {
    /// Reads the figures of a complete second out of its sketches.
    pub(crate) fn new(
        second: u32,
        all: &Sketches,
        phases: [u32; 8],
        generator: Option<&GeneratorSecond>,
    ) -> Self {
        let mut gauges = Vec::new();
        let mut sums = Vec::new();
        for (id, sketch) in all.iter() {
            let metric = id.metric();
            if metric.kind == Kind::Counter {
                sums.push((id, sketch.sum()));
                continue;
            }
            let [tail, far, worst] = if metric.better == Better::Higher {
                [0.05, 0.01, 0.0]
            } else {
                [0.95, 0.99, 1.0]
            };
            if let (Some(avg), Some(p50), Some(tail), Some(far), Some(worst)) = (
                sketch.mean(),
                sketch.quantile(0.5),
                sketch.quantile(tail),
                sketch.quantile(far),
                sketch.quantile(worst),
            ) {
                let gauge = GaugeSecond {
                    avg,
                    p50,
                    tail,
                    far,
                    worst,
                };
                gauges.push((id, gauge));
            }
        }
        Self {
            second,
            gauges,
            sums,
            phases,
            generator: generator.map(|second| GeneratorFigures {
                send_late_p99_ms: at_ms(&second.send_late_us, 0.99),
                timer_late_p99_ms: at_ms(&second.timer_late_us, 0.99),
                cpu_cores: f64::from(second.cpu_cores),
            }),
        }
    }

    /// The generator's figures of this second.
    pub(crate) fn generator(&self) -> Option<GeneratorFigures> {
        self.generator
    }

    /// Endpoints in each phase at its end, in the order of [`Phase::ALL`].
    pub(crate) fn phases(&self) -> [u32; 8] {
        self.phases
    }

    /// What was measured, by metric of the catalogue.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&'static Metric, Figure)> {
        let gauges = self.gauges.iter();
        let gauges = gauges.map(|(id, gauge)| (*id, Figure::Gauge(*gauge)));
        let sums = self.sums.iter().map(|(id, sum)| (*id, Figure::Sum(*sum)));
        gauges.chain(sums).filter_map(|(id, figure)| {
            let metric = CATALOGUE.get(usize::from(id.0))?;
            Some((metric, figure))
        })
    }

    /// As results show it: `mos.avg`, `mos.p50`, `mos.p5`, `mos.p1`, `mos.worst` for gauges and events (p95
    /// and p99 where low is good); the sum under the plain key for counters; endpoints in each
    /// phase as `phase.incall`; the generator as `generator.*`.
    pub(crate) fn series(&self) -> SeriesSecond {
        let mut values: SecondValues = BTreeMap::new();
        for (id, gauge) in &self.gauges {
            let Some(metric) = CATALOGUE.get(usize::from(id.0)) else {
                continue;
            };
            let (tail, far) = if metric.better == Better::Higher {
                ("p5", "p1")
            } else {
                ("p95", "p99")
            };
            for (name, value) in [
                ("avg", gauge.avg),
                ("p50", gauge.p50),
                (tail, gauge.tail),
                (far, gauge.far),
                ("worst", gauge.worst),
            ] {
                values.insert(format!("{}.{name}", metric.key), value);
            }
        }
        for (id, sum) in &self.sums {
            if let Some(metric) = CATALOGUE.get(usize::from(id.0)) {
                values.insert(metric.key.to_owned(), *sum);
            }
        }
        for (phase, count) in Phase::ALL.iter().zip(self.phases) {
            let key = format!("phase.{}", phase.name().to_lowercase());
            values.insert(key, f64::from(count));
        }
        if let Some(generator) = self.generator {
            values.insert("generator.cpu_cores".to_owned(), generator.cpu_cores);
            for (key, value) in [
                ("generator.send_late_p99_ms", generator.send_late_p99_ms),
                ("generator.timer_late_p99_ms", generator.timer_late_p99_ms),
            ] {
                if let Some(value) = value {
                    values.insert(key.to_owned(), value);
                }
            }
        }
        SeriesSecond {
            second: self.second,
            phase: None,
            values,
        }
    }
}

/// A run's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// When it went RUNNING.
    pub(crate) began_unix_ms: Option<u64>,
    /// From RUNNING to its end.
    pub(crate) elapsed_ms: u64,
    /// What prevented it.
    pub(crate) problems: Vec<Problem>,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// Whole run.
    pub(crate) all: Part,
    /// Groups.
    pub(crate) groups: Vec<Part>,
    /// By outcome and code.
    pub(crate) failures: Vec<FailureRow>,
    /// The generator.
    pub(crate) generator: GeneratorHealth,
    /// Thresholds.
    pub(crate) thresholds: Vec<ThresholdResult>,
    /// Shares of lost nodes.
    pub(crate) missing: Vec<MissingShare>,
    /// Who carried what: reports tell it of endpoints that ended, nothing else of the others.
    pub(crate) nodes: Vec<(NodeId, Vec<Share>)>,
}
