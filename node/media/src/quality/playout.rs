//! A model of the listener's playout (de-jitter) buffer: which packets would have been played.
//!
//! Owns: the playout delay, discards and fill, fixed or adaptive. Never: holds a packet.
//! The fastest recent transit is the reference; a packet whose transit exceeds it by more than the
//! playout delay comes too late. The adaptive delay follows mean plus four mean deviations, as
//! R. Ramjee et al., "Adaptive playout mechanisms", INFOCOM 1994, algorithm 1, but moves on every
//! packet in bounded steps, as buffers with time scaling do.
//! Source: RFC 3611 §4.7.1, §4.7.7.

/// What the buffer does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Played.
    Play,
    /// Its moment was over.
    Late,
    /// The buffer was full.
    Early,
}

/// The buffer's state. Units: milliseconds. Bounds: constant size, O(1) per packet, deterministic.
#[derive(Clone, Debug)]
pub struct PlayoutBuffer {
    min: f64,
    max: f64,
    delay: f64,
    /// Fastest transit of the running window and of the one before.
    window: Option<(f64, f64)>,
    window_packets: u32,
    mean: f64,
    deviation: f64,
    late_run: u32,
    late_run_fastest: f64,
    second: Sums,
    closed: Sums,
}

/// Running sums of a second or of the call.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    delay: f64,
    fill: f64,
    packets: u64,
    played: u64,
    late: u64,
    early: u64,
}

/// Figures of a second or of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutFigures {
    /// Mean playout delay over the packets that came.
    pub delay_ms: Option<f64>,
    /// Mean time that the packets played waited in the buffer.
    pub fill_ms: Option<f64>,
    /// Discarded because late.
    pub late: u64,
    /// Discarded because the buffer was full.
    pub early: u64,
}

impl PlayoutBuffer {
    /// A constant delay.
    #[must_use]
    pub fn fixed(delay_ms: u32) -> Self {
        Self::adaptive(delay_ms, delay_ms)
    }

    /// A delay between two bounds, beginning at the lower. Swapped bounds are put in order.
    #[must_use]
    pub fn adaptive(min_ms: u32, max_ms: u32) -> Self {
        let (min, max) = (f64::from(min_ms.min(max_ms)), f64::from(min_ms.max(max_ms)));
        Self {
            min,
            max,
            delay: min,
            window: None,
            window_packets: 0,
            mean: 0.0,
            deviation: 0.0,
            late_run: 0,
            late_run_fastest: 0.0,
            second: Sums::default(),
            closed: Sums::default(),
        }
    }

    /// Takes a packet's transit: arrival minus timestamp, in milliseconds on any constant offset.
    pub fn offer(&mut self, transit: f64) -> Verdict {
        let (running, before) = self.window.unwrap_or((transit, transit));
        let reference = running.min(before);
        let wait = transit - reference;
        self.slide_window(transit, running, before);
        self.second.packets += 1;
        self.second.delay += self.delay;
        let verdict = if wait > self.delay {
            self.second.late += 1;
            Verdict::Late
        } else if self.delay - wait > self.max + EARLY_ROOM_MS {
            self.second.early += 1;
            Verdict::Early
        } else {
            self.second.played += 1;
            self.second.fill += self.delay - wait;
            Verdict::Play
        };
        self.resynchronise(verdict, transit);
        self.adapt(wait.max(0.0));
        verdict
    }

    /// The next packet begins a new reference: new source, restart, resume.
    pub fn forget_reference(&mut self) {
        self.window = None;
        self.late_run = 0;
    }

    /// Bounds of the delay and of what the buffer holds, in milliseconds: nominal, maximum, limit.
    #[must_use]
    pub fn limits_ms(&self) -> (f64, f64, f64) {
        (self.delay, self.max, self.max + EARLY_ROOM_MS)
    }

    /// True where the delay can move.
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        self.max > self.min
    }

    /// Figures since the last call of this.
    pub fn close_second(&mut self) -> PlayoutFigures {
        let figures = self.second.figures();
        self.closed = self.closed.plus(&self.second);
        self.second = Sums::default();
        figures
    }

    /// Figures of the whole call.
    #[must_use]
    pub fn total(&self) -> PlayoutFigures {
        self.closed.plus(&self.second).figures()
    }

    fn slide_window(&mut self, transit: f64, running: f64, before: f64) {
        self.window_packets += 1;
        self.window = if self.window_packets >= WINDOW_PACKETS {
            self.window_packets = 0;
            Some((transit, running.min(transit)))
        } else {
            Some((running.min(transit), before))
        };
    }

    /// A path that became slower for good would make every packet late: real buffers move over.
    fn resynchronise(&mut self, verdict: Verdict, transit: f64) {
        if verdict != Verdict::Late {
            self.late_run = 0;
            return;
        }
        self.late_run_fastest = if self.late_run == 0 {
            transit
        } else {
            self.late_run_fastest.min(transit)
        };
        self.late_run += 1;
        if self.late_run >= RESYNC_PACKETS {
            self.window = Some((self.late_run_fastest, self.late_run_fastest));
            self.window_packets = 0;
            self.late_run = 0;
        }
    }

    fn adapt(&mut self, wait: f64) {
        if !self.is_adaptive() {
            return;
        }
        let wait = wait.min(2.0 * self.max);
        self.mean += (wait - self.mean) * GAIN;
        self.deviation += ((wait - self.mean).abs() - self.deviation) * GAIN;
        let target = (self.mean + 4.0 * self.deviation).clamp(self.min, self.max);
        let step = (target - self.delay).clamp(-STEP_DOWN_MS, STEP_UP_MS);
        self.delay = (self.delay + step).clamp(self.min, self.max);
    }
}

impl Sums {
    fn plus(&self, other: &Self) -> Self {
        Self {
            delay: self.delay + other.delay,
            fill: self.fill + other.fill,
            packets: self.packets + other.packets,
            played: self.played + other.played,
            late: self.late + other.late,
            early: self.early + other.early,
        }
    }

    fn figures(&self) -> PlayoutFigures {
        PlayoutFigures {
            delay_ms: (self.packets > 0).then(|| self.delay / self.packets as f64),
            fill_ms: (self.played > 0).then(|| self.fill / self.played as f64),
            late: self.late,
            early: self.early,
        }
    }
}

/// What the buffer can hold above its largest delay before it must throw packets away.
pub const EARLY_ROOM_MS: f64 = 200.0;
/// The reference is the fastest of this many to twice as many packets: about 10 s at 20 ms.
const WINDOW_PACKETS: u32 = 500;
/// Late packets in a row that make the buffer take a new reference: 1 s at 20 ms.
const RESYNC_PACKETS: u32 = 50;
/// Smoothing of mean and deviation.
const GAIN: f64 = 1.0 / 64.0;
/// Largest growth and shrinkage of the delay on one packet.
const STEP_UP_MS: f64 = 2.0;
const STEP_DOWN_MS: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_buffer_discards_what_exceeds_its_delay() {
        let mut buffer = PlayoutBuffer::fixed(60);
        assert_eq!(buffer.offer(10.0), Verdict::Play);
        assert_eq!(buffer.offer(70.0), Verdict::Play);
        assert_eq!(buffer.offer(70.1), Verdict::Late);
        assert_eq!(buffer.offer(10.0), Verdict::Play);
        let second = buffer.close_second();
        assert_eq!(
            (second.late, second.early, second.delay_ms),
            (1, 0, Some(60.0))
        );
        assert_eq!(second.fill_ms, Some(40.0), "waits of 60, 0 and 60");
        assert_eq!(buffer.close_second(), PlayoutFigures::default());
        assert_eq!(buffer.total().late, 1);
    }

    #[test]
    fn a_path_that_jumps_faster_overruns_the_buffer_once() {
        let mut buffer = PlayoutBuffer::fixed(60);
        buffer.offer(500.0);
        assert_eq!(buffer.offer(100.0), Verdict::Early);
        assert_eq!(buffer.offer(100.0), Verdict::Play);
    }

    #[test]
    fn a_path_that_becomes_slower_for_good_costs_a_second() {
        let mut buffer = PlayoutBuffer::fixed(60);
        for _ in 0..100 {
            buffer.offer(10.0);
        }
        for _ in 0..200 {
            buffer.offer(110.0);
        }
        assert_eq!(buffer.total().late, u64::from(RESYNC_PACKETS));
    }

    #[test]
    fn an_adaptive_buffer_grows_with_jitter_and_stays_within_bounds() {
        for seed in 0..20_u64 {
            let mut random = crate::seeded::Random::new(seed);
            let mut buffer = PlayoutBuffer::adaptive(20, 120);
            for _ in 0..2_000 {
                buffer.offer(random.unit() * 40.0);
                let (delay, max, _) = buffer.limits_ms();
                assert!((20.0..=max).contains(&delay), "seed {seed}: {delay}");
            }
            buffer.close_second();
            for _ in 0..2_000 {
                buffer.offer(random.unit() * 40.0);
            }
            let calm = buffer.close_second();
            assert_eq!((calm.late, calm.early), (0, 0), "seed {seed}");
            for _ in 0..4_000 {
                buffer.offer(5.0);
            }
            assert!(buffer.limits_ms().0 < 21.0, "seed {seed}: shrinks again");
        }
    }

    #[test]
    fn the_same_packets_give_the_same_verdicts() {
        let run = || {
            let mut random = crate::seeded::Random::new(7);
            let mut buffer = PlayoutBuffer::adaptive(20, 80);
            (0..5_000)
                .map(|_| buffer.offer(random.unit() * 90.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
