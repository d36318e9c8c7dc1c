//! Bursts and gaps of loss, by the definition of RFC 3611 and by its streaming counters.
//!
//! Owns: what follows from the fates of packets in sequence order. Never: decides a fate.
//! The streaming counters of §A.2 miss the tail and take the first loss for a burst, so they are
//! for the wire only, where the peer expects them; our own figures are by definition.
//! Source: RFC 3611 §4.7.2, §A.2; ITU-T G.107 §3.5 for BurstR.

/// What became of one expected packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can be played.
    Good,
    /// It did not come.
    Lost,
    /// It came, and the playout buffer had to drop it.
    Discarded,
}

/// Burst and gap state; one `push` per expected packet in sequence order.
#[derive(Clone, Debug, Default)]
pub struct Bursts {
    packets: u64,
    bad: u64,
    runs: u64,
    lost_run: u32,
    lost_run_max: u32,
    was_bad: bool,
    /// Good packets since the last bad one, or since the beginning.
    good_run: u64,
    /// From the first to the last bad packet of the cluster that may still grow.
    cluster: Cluster,
    bursts: u32,
    burst_packets: u64,
    burst_bad: u64,
    starts_with_burst: bool,
    wire: WireCounters,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    first: u64,
    length: u64,
    bad: u64,
}

/// Bursts and gaps by definition: a burst begins and ends with a bad packet, has at least two, and
/// no [`GMIN`] good ones in a row; everything else is gap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BurstFigures {
    /// Bursts.
    pub bursts: u32,
    /// Bad in bursts of all in bursts, 0 to 1; none without a burst.
    pub burst_density: Option<f64>,
    /// Mean packets in a burst; none without a burst.
    pub burst_packets: Option<f64>,
    /// Bad in gaps of all in gaps, 0 to 1; none without a gap.
    pub gap_density: Option<f64>,
    /// Mean packets in a gap; none without a gap.
    pub gap_packets: Option<f64>,
    /// Longest run of lost packets.
    pub lost_run_max: u32,
    /// Mean bad run against the mean run of random loss; none without a bad packet.
    pub burst_ratio: Option<f64>,
}

/// The counters of RFC 3611 §A.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounters {
    pkt: u64,
    lost: u64,
    /// Gap to gap: good packets in gaps.
    pub c11: u64,
    /// Gap to burst.
    pub c13: u64,
    /// Isolated loss in a gap.
    pub c14: u64,
    /// Burst, good to good.
    pub c22: u64,
    /// Burst, good to bad.
    pub c23: u64,
    /// Burst, bad to bad.
    pub c33: u64,
}

/// The fields of the VoIP metrics block that the counters give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WireFigures {
    /// In 1/256; up to 256, to be cut at 255 on the wire.
    pub burst_density: f64,
    /// In 1/256.
    pub gap_density: f64,
    /// Mean.
    pub burst_ms: f64,
    /// Mean.
    pub gap_ms: f64,
}

impl Bursts {
    /// Takes the next expected packet.
    #[inline]
    pub fn push(&mut self, fate: Fate) {
        if fate == Fate::Good {
            self.push_good(1);
        } else {
            self.packets += 1;
            self.push_bad(fate);
        }
    }

    /// Takes `count` good packets in a row.
    pub fn push_good(&mut self, count: u64) {
        if count > 0 {
            self.was_bad = false;
            self.lost_run = 0;
        }
        self.packets += count;
        self.good_run += count;
        self.wire.pkt += count;
    }

    /// The §A.2 counters.
    #[must_use]
    pub fn wire(&self) -> WireCounters {
        self.wire
    }

    /// Figures by definition over everything pushed.
    #[must_use]
    pub fn figures(&self) -> BurstFigures {
        let mut end = self.clone();
        end.close_cluster();
        let gap_packets = end.packets - end.burst_packets;
        let gap_bad = end.bad - end.burst_bad;
        let trailing = end.good_run > 0 || end.cluster.bad < BURST_BAD_MIN;
        let gaps = if end.bursts == 0 {
            u64::from(end.packets > 0)
        } else {
            u64::from(end.bursts) - 1 + u64::from(!end.starts_with_burst) + u64::from(trailing)
        };
        let ppl = ratio(end.bad, end.packets).unwrap_or(0.0);
        BurstFigures {
            bursts: end.bursts,
            burst_density: ratio(end.burst_bad, end.burst_packets),
            burst_packets: ratio(end.burst_packets, u64::from(end.bursts)),
            gap_density: ratio(gap_bad, gap_packets),
            gap_packets: ratio(gap_packets, gaps),
            lost_run_max: end.lost_run_max,
            burst_ratio: ratio(end.bad, end.runs).map(|mean_run| mean_run * (1.0 - ppl)),
        }
    }

    fn push_bad(&mut self, fate: Fate) {
        self.bad += 1;
        self.runs += u64::from(!self.was_bad);
        self.was_bad = true;
        self.lost_run = if fate == Fate::Lost {
            self.lost_run + 1
        } else {
            0
        };
        self.lost_run_max = self.lost_run_max.max(self.lost_run);
        if self.cluster.bad == 0 || self.good_run >= GMIN {
            self.close_cluster();
            self.cluster = Cluster {
                first: self.packets - 1,
                length: 1,
                bad: 1,
            };
        } else {
            self.cluster.length += self.good_run + 1;
            self.cluster.bad += 1;
        }
        self.good_run = 0;
        self.wire.push_bad();
    }

    fn close_cluster(&mut self) {
        if self.cluster.bad >= BURST_BAD_MIN {
            self.bursts += 1;
            self.burst_packets += self.cluster.length;
            self.burst_bad += self.cluster.bad;
            self.starts_with_burst |= self.cluster.first == 0;
        }
    }
}

impl WireCounters {
    fn push_bad(&mut self) {
        if self.pkt >= GMIN {
            if self.lost == 1 {
                self.c14 += 1;
            } else {
                self.c13 += 1;
            }
            self.lost = 1;
            self.c11 += self.pkt;
        } else {
            self.lost += 1;
            if self.pkt == 0 {
                self.c33 += 1;
            } else {
                self.c23 += 1;
                self.c22 += self.pkt - 1;
            }
        }
        self.pkt = 0;
    }

    /// The block's fields for packets of `ptime_ms`; zeros before the first burst.
    #[must_use]
    pub fn figures(&self, ptime_ms: u32) -> WireFigures {
        let [c11, c13, c14] = [self.c11, self.c13, self.c14].map(|count| count as f64);
        let [c22, c23, c33] = [self.c22, self.c23, self.c33].map(|count| count as f64);
        let ptime = f64::from(ptime_ms);
        let (c31, c32) = (c13, c23);
        let total = c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33;
        let from_bad = c31 + c32 + c33;
        let p32 = if from_bad > 0.0 { c32 / from_bad } else { 0.0 };
        let p23 = if c22 + c23 < 1.0 {
            1.0
        } else {
            1.0 - c22 / (c22 + c23)
        };
        let gap_density = if c11 + c14 > 0.0 {
            256.0 * c14 / (c11 + c14)
        } else {
            0.0
        };
        if c13 < 1.0 {
            return WireFigures {
                gap_density,
                ..WireFigures::default()
            };
        }
        let gap_ms = (c11 + c14 + c13) * ptime / c13;
        WireFigures {
            burst_density: 256.0 * p23 / (p23 + p32),
            gap_density,
            burst_ms: total * ptime / c13 - gap_ms,
            gap_ms,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Good packets in a row that end a burst (RFC 3611 §4.7.2 recommends 16).
pub const GMIN: u64 = 16;
/// A single bad packet among good ones is an isolated loss of the gap.
const BURST_BAD_MIN: u64 = 2;

#[cfg(test)]
mod tests;
