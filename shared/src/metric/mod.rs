//! The metric catalogue: every figure Carillon measures, once. Documents, labels, exports,
//! thresholds and storage are derived from it (PRODUCT §5).

mod catalogue;
mod document;

pub use catalogue::*;
pub use document::document;

use serde::{Deserialize, Serialize};

/// A metric's position in [`CATALOGUE`]. Stable within one version of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricId(pub u16);

impl MetricId {
    /// What the catalogue says about it.
    #[must_use]
    pub fn metric(self) -> &'static Metric {
        &CATALOGUE[usize::from(self.0)]
    }

    /// Finds a metric by its key.
    #[must_use]
    pub fn by_key(key: &str) -> Option<Self> {
        CATALOGUE
            .iter()
            .position(|metric| metric.key == key)
            .and_then(|index| u16::try_from(index).ok())
            .map(MetricId)
    }
}

/// The unit a metric's values are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 1 to 5 (4.5 at most from the E-model).
    Mos,
    /// 0 to 100 (129 wideband, 148 fullband).
    RFactor,
    /// Milliseconds.
    Milliseconds,
    /// Per cent, 0 to 100.
    Percent,
    /// A count.
    Count,
    /// Octets.
    Bytes,
    /// Bits per second.
    BitsPerSecond,
    /// Packets per second.
    PacketsPerSecond,
    /// Parts per million.
    Ppm,
    /// dBov (0 is the loudest).
    Dbov,
    /// A pure number.
    Ratio,
}

impl Unit {
    /// Short form beside a figure.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Mos | Self::RFactor | Self::Count | Self::Ratio => "",
            Self::Milliseconds => "ms",
            Self::Percent => "%",
            Self::Bytes => "B",
            Self::BitsPerSecond => "bit/s",
            Self::PacketsPerSecond => "packets/s",
            Self::Ppm => "ppm",
            Self::Dbov => "dBov",
        }
    }
}

impl Unit {
    /// Steps of an endpoint-second's value within one unit: what is measured is rounded to the
    /// nearest step. Finer than any of it can be known: the kernel's time stamps wander by
    /// microseconds, G.107 gives R to one decimal.
    #[must_use]
    pub const fn steps(self) -> f64 {
        match self {
            Self::Milliseconds | Self::Mos | Self::Percent | Self::Ratio => 1_000.0,
            Self::RFactor | Self::Dbov => 100.0,
            Self::PacketsPerSecond | Self::Ppm => 10.0,
            Self::Count | Self::Bytes | Self::BitsPerSecond => 1.0,
        }
    }

    /// The nearest step: what a frame holds of a measured value, so that every reader of a second
    /// (terminal, subscriber, storage) has the same figure. NaN stays NaN; -0 becomes 0.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        self.value((f64::from(value) * self.steps()).round())
    }

    /// The value of a number of steps.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the nearest f32 is what is meant"
    )]
    pub fn value(self, steps: f64) -> f32 {
        // + 0: of -0 and 0 only one is kept.
        (steps / self.steps() + 0.0) as f32
    }
}

/// How a metric's values of several seconds go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A value of that second: averaged, percentiles.
    Gauge,
    /// What that second added: summed.
    Counter,
    /// A measured delay or value of an event that happened in that second.
    Event,
}

/// Whose measurement of which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Of what the endpoint received.
    Rx,
    /// Of what the endpoint sent (its own count, or what the far end reported by RTCP).
    Tx,
    /// Of the endpoint or both directions together.
    Both,
}

/// Which values are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// High is good.
    Higher,
    /// Low is good.
    Lower,
    /// Neither.
    Neither,
}

/// Which part of PRODUCT §5 a metric belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// MOS, R and the E-model's terms, jitter, loss, RTT, burst and gap.
    Quality,
    /// Packets, bytes, rates, sequence and spacing.
    Network,
    /// The playout buffer.
    JitterBuffer,
    /// Reports sent and received.
    Rtcp,
    /// Level, silence, one-way audio.
    Audio,
    /// Registration and call timing.
    Call,
    /// The generator's own health.
    Generator,
}

/// One metric of the catalogue.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// `mos`, `tx.loss_pct`, `call.setup_ms`.
    pub key: &'static str,
    /// Unit of its values.
    pub unit: Unit,
    /// How seconds go together.
    pub kind: Kind,
    /// Direction.
    pub direction: Direction,
    /// Which values are good.
    pub better: Better,
    /// Family.
    pub family: Family,
    /// What it says, for people.
    pub help: &'static str,
    /// The standard it follows.
    pub source: &'static str,
}
