//! Figures of one group (or of all): a sketch per metric, and what its calls add up to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::metric::{self, CATALOGUE, MetricId};
use shared::phase::Outcome;
use shared::result::{Counts, Distribution, LivePart, MetricSummary, Part};
use shared::stat::Sketch;
use shared::wire::{CALLS_PER_ENDPOINT_MAX, CallReport, EndpointReport, MediaReport};

use super::counts::{percent, ratios};

/// One sketch for each metric that has a sample. Merging is exact in any order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sketches {
    by_metric: Vec<Option<Box<Sketch>>>,
}

impl Sketches {
    /// The sketch of a metric, made when it is first asked for; none for an unknown metric.
    pub(crate) fn of(&mut self, id: MetricId) -> Option<&mut Sketch> {
        let index = usize::from(id.0);
        let metric = CATALOGUE.get(index)?;
        if self.by_metric.len() <= index {
            self.by_metric.resize_with(index + 1, || None);
        }
        let slot = self.by_metric.get_mut(index)?;
        Some(slot.get_or_insert_with(|| Box::new(Sketch::new(metric.unit))))
    }

    /// The sketch of a metric that has one.
    pub(crate) fn get(&self, id: MetricId) -> Option<&Sketch> {
        self.by_metric.get(usize::from(id.0))?.as_deref()
    }

    /// Adds all samples of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (id, theirs) in other.iter() {
            if let Some(mine) = self.of(id) {
                mine.merge(theirs);
            }
        }
    }

    /// Metrics with a sample, in the catalogue's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MetricId, &Sketch)> {
        self.by_metric
            .iter()
            .enumerate()
            .filter_map(|(index, sketch)| {
                let id = MetricId(u16::try_from(index).ok()?);
                let sketch = sketch.as_deref()?;
                (!sketch.is_empty()).then_some((id, sketch))
            })
    }

    /// The distribution of a metric that has a sample.
    pub(crate) fn distribution(&self, id: MetricId) -> Option<Distribution> {
        let better = CATALOGUE.get(usize::from(id.0))?.better;
        self.get(id)?.distribution(better)
    }

    /// MOS on the narrowband scale; on the fullband or wideband scale where no call was narrowband.
    pub(crate) fn mos(&self) -> Option<Distribution> {
        [metric::MOS, metric::MOS_FB, metric::MOS_WB]
            .into_iter()
            .find_map(|id| self.distribution(id))
    }

    /// What a live update shows of them.
    pub(crate) fn live(&self) -> LivePart {
        LivePart {
            mos: self.mos(),
            jitter_ms: self.distribution(metric::JITTER),
            loss_pct: self.distribution(metric::LOSS),
            rtt_ms: self.distribution(metric::RTT),
            ..LivePart::default()
        }
    }

    /// Every metric with its distribution, for a result.
    pub(crate) fn summaries(&self) -> Vec<MetricSummary> {
        self.iter()
            .filter_map(|(id, sketch)| {
                let metric = CATALOGUE.get(usize::from(id.0))?;
                Some(MetricSummary {
                    metric: metric.key.to_owned(),
                    distribution: sketch.distribution(metric.better)?,
                })
            })
            .collect()
    }
}

/// What the endpoints of a part reported at their ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallTotals {
    /// Final codes of the INVITEs that our callers sent; none where no final answer came.
    pub(crate) codes: BTreeMap<Option<u16>, u64>,
    /// Registrations that failed by RFC 6076 §4.2.
    pub(crate) registrations_ineffective: u64,
    /// RTP packets sent.
    pub(crate) packets_sent: u64,
    /// RTP packets received.
    pub(crate) packets_received: u64,
    /// Expected by sequence numbers.
    pub(crate) packets_expected: u64,
    /// Sequence numbers that never came; unlike expected minus received, duplicates do not hide them.
    pub(crate) packets_lost: u64,
    /// False where any MOS came from a codec without published values.
    pub(crate) mos_grounded: bool,
    /// Codecs agreed on.
    pub(crate) codecs: BTreeSet<String>,
    /// An endpoint made more calls than its report details: the sums above are not all.
    pub(crate) cut: bool,
}

impl Default for CallTotals {
    fn default() -> Self {
        Self {
            codes: BTreeMap::new(),
            registrations_ineffective: 0,
            packets_sent: 0,
            packets_received: 0,
            packets_expected: 0,
            packets_lost: 0,
            mos_grounded: true,
            codecs: BTreeSet::new(),
            cut: false,
        }
    }
}

impl CallTotals {
    /// Takes one endpoint's report.
    pub(crate) fn add(&mut self, report: &EndpointReport) {
        // RFC 6076 §4.2: a 401, 402 or 407 is no failed registration in its sense.
        if report.outcome == Outcome::RegistrationFailed
            && !matches!(report.registration_code, Some(401 | 402 | 407))
        {
            self.registrations_ineffective += 1;
        }
        self.cut |= report.calls.len() >= CALLS_PER_ENDPOINT_MAX;
        for call in &report.calls {
            self.add_call(call);
        }
    }

    fn add_call(&mut self, call: &CallReport) {
        if call.caller {
            *self.codes.entry(call.code).or_default() += 1;
        }
        if let Some(media) = &call.media {
            self.add_media(media);
        }
    }

    fn add_media(&mut self, media: &MediaReport) {
        self.packets_sent = self.packets_sent.saturating_add(media.tx_packets);
        self.packets_received = self.packets_received.saturating_add(media.rx_packets);
        self.packets_expected = self.packets_expected.saturating_add(media.rx_expected);
        self.packets_lost = self.packets_lost.saturating_add(media.rx_missing);
        self.mos_grounded &= media.grounded || media.mos.is_none();
        if self.codecs.len() < CODECS_MAX && !media.codec.is_empty() {
            self.codecs.insert(media.codec.clone());
        }
    }

    /// Adds another part's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        self.registrations_ineffective += other.registrations_ineffective;
        self.packets_sent = self.packets_sent.saturating_add(other.packets_sent);
        self.packets_received = self.packets_received.saturating_add(other.packets_received);
        self.packets_expected = self.packets_expected.saturating_add(other.packets_expected);
        self.packets_lost = self.packets_lost.saturating_add(other.packets_lost);
        self.mos_grounded &= other.mos_grounded;
        self.cut |= other.cut;
        for codec in &other.codecs {
            if self.codecs.len() < CODECS_MAX {
                self.codecs.insert(codec.clone());
            }
        }
    }
}

/// A part of a result. Packet figures come from the calls' own whole-call counts; where an endpoint made more calls than
/// its report details, from the seconds' counters.
pub(crate) fn part(name: &str, counts: &Counts, whole: &Sketches, calls: &CallTotals) -> Part {
    use shared::metric::{RX_EXPECTED, RX_LOST, RX_PACKETS, TX_PACKETS};
    let (sent, received, expected, lost) = if calls.cut {
        let sum = |id| whole.get(id).map_or(0.0, Sketch::sum);
        (
            whole_number(sum(TX_PACKETS)),
            whole_number(sum(RX_PACKETS)),
            whole_number(sum(RX_EXPECTED)),
            whole_number(sum(RX_LOST)),
        )
    } else {
        (
            calls.packets_sent,
            calls.packets_received,
            calls.packets_expected,
            calls.packets_lost,
        )
    };
    Part {
        name: name.to_owned(),
        counts: counts.clone(),
        ratios: ratios(counts, calls),
        metrics: whole.summaries(),
        packets_sent: sent,
        packets_received: received,
        packets_lost: i64::try_from(lost).unwrap_or(i64::MAX),
        loss_pct: percent(lost, expected),
        mos_grounded: calls.mos_grounded,
        codecs: calls.codecs.iter().cloned().collect(),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates; sums of counts
fn whole_number(sum: f64) -> u64 {
    sum.max(0.0).round() as u64
}

/// Codec names listed for a part; this engine has four.
const CODECS_MAX: usize = 16;
