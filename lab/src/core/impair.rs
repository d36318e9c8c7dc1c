//! The network that the relay plays: one path's loss, delay, jitter, duplication, reordering.
//!
//! Owns the draws and the order of one direction of one media line. Each kind of decision has a
//! generator of its own, so changing the jitter leaves the loss pattern of a seed as it was.

use std::time::{Duration, Instant};

use crate::config::{Impairment, Loss};

use super::random::{Random, hash};

/// What happens to one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is lost.
    Lost,
    /// It leaves at `release`.
    Pass {
        /// Never before the arrival.
        release: Instant,
        /// A copy leaves right behind it.
        duplicate: bool,
        /// It changes places with its successor.
        swap: bool,
    },
}

/// One direction of one media line.
#[derive(Debug)]
pub(crate) struct Path {
    impair: Impairment,
    loss: Random,
    jitter: Random,
    duplicate: Random,
    reorder: Random,
    losing: bool,
    last_release: Option<Instant>,
}

impl Path {
    /// A path whose draws depend on `key` alone.
    pub(crate) fn new(impair: Impairment, key: u64) -> Self {
        let stream = |name: &str| Random::new(hash(key, &[name.as_bytes()]));
        Self {
            impair,
            loss: stream("loss"),
            jitter: stream("jitter"),
            duplicate: stream("duplicate"),
            reorder: stream("reorder"),
            losing: false,
            last_release: None,
        }
    }

    /// Decides about the next packet, which arrived at `now`.
    pub(crate) fn decide(&mut self, now: Instant) -> Verdict {
        let lost = self.draw_loss();
        let jitter_ms = self.jitter.unit() * self.impair.jitter_ms;
        let duplicate = self.duplicate.percent(self.impair.duplicate_pct);
        let swap = self.reorder.percent(self.impair.reorder_pct);
        if lost {
            return Verdict::Lost;
        }
        let mut release = now + milliseconds(self.impair.delay_ms + jitter_ms);
        if self.impair.preserve_order
            && let Some(last) = self.last_release
        {
            release = release.max(last);
        }
        self.last_release = Some(release);
        Verdict::Pass {
            release,
            duplicate,
            swap,
        }
    }

    /// When a packet that suffers only the constant delay leaves.
    pub(crate) fn delayed(&self, now: Instant) -> Instant {
        now + milliseconds(self.impair.delay_ms)
    }

    fn draw_loss(&mut self) -> bool {
        match self.impair.loss {
            Loss::None => false,
            Loss::Random { percent } => self.loss.percent(percent),
            Loss::Gilbert { p, q } => {
                self.losing = if self.losing {
                    !self.loss.percent(q)
                } else {
                    self.loss.percent(p)
                };
                self.losing
            }
        }
    }
}

/// Milliseconds with their fraction; what is not a sensible number is no time at all.
fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(impair: Impairment, key: u64, count: u32) -> Vec<Verdict> {
        let start = Instant::now();
        let mut path = Path::new(impair, key);
        (0..count)
            .map(|n| path.decide(start + Duration::from_millis(20) * n))
            .collect()
    }

    fn lost(verdicts: &[Verdict]) -> usize {
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Lost)
            .count()
    }

    #[test]
    fn random_loss_keeps_its_share_and_repeats_by_seed() {
        for percent in [1.0, 2.0, 5.0] {
            let impair = Impairment {
                loss: Loss::Random { percent },
                ..Default::default()
            };
            let pattern = |key| {
                verdicts(impair, key, 50_000)
                    .iter()
                    .map(|verdict| *verdict == Verdict::Lost)
                    .collect::<Vec<_>>()
            };
            let share = pattern(11).iter().filter(|lost| **lost).count() as f64 / 500.0;
            assert!(
                (share - percent).abs() < 0.3,
                "key 11: {share} for {percent}"
            );
            assert_eq!(pattern(11), pattern(11));
            assert_ne!(pattern(11), pattern(12));
        }
    }

    #[test]
    fn gilbert_loss_has_its_mean_and_its_bursts() {
        let impair = Impairment {
            loss: Loss::Gilbert { p: 1.0, q: 25.0 },
            ..Default::default()
        };
        let all = verdicts(impair, 5, 400_000);
        let share = lost(&all) as f64 / 4000.0;
        assert!((share - 100.0 / 26.0).abs() < 0.25, "key 5: {share}");
        let bursts = all
            .windows(2)
            .filter(|pair| pair[0] != Verdict::Lost && pair[1] == Verdict::Lost)
            .count();
        let burst = lost(&all) as f64 / bursts as f64;
        assert!((burst - 4.0).abs() < 0.2, "key 5: {burst}");
    }

    #[test]
    fn jitter_does_not_change_the_loss_pattern() {
        let calm = Impairment {
            loss: Loss::Random { percent: 5.0 },
            ..Default::default()
        };
        let shaky = Impairment {
            jitter_ms: 40.0,
            reorder_pct: 3.0,
            ..calm
        };
        let pattern = |impair| {
            verdicts(impair, 9, 5000)
                .iter()
                .map(|v| *v == Verdict::Lost)
                .collect::<Vec<_>>()
        };
        assert_eq!(pattern(calm), pattern(shaky));
    }

    #[test]
    fn order_is_preserved_when_asked() {
        let impair = Impairment {
            delay_ms: 80.0,
            jitter_ms: 60.0,
            ..Default::default()
        };
        let releases = |impair| {
            verdicts(impair, 2, 1000)
                .into_iter()
                .filter_map(|verdict| match verdict {
                    Verdict::Pass { release, .. } => Some(release),
                    Verdict::Lost => None,
                })
                .collect::<Vec<_>>()
        };
        assert!(releases(impair).is_sorted());
        assert!(
            !releases(Impairment {
                preserve_order: false,
                ..impair
            })
            .is_sorted()
        );
    }

    #[test]
    fn delay_and_jitter_stay_in_their_bounds() {
        let start = Instant::now();
        let impair = Impairment {
            delay_ms: 80.0,
            jitter_ms: 40.0,
            preserve_order: false,
            ..Default::default()
        };
        let mut path = Path::new(impair, 3);
        let mut sum = 0.0;
        for _ in 0..10_000 {
            let Verdict::Pass { release, .. } = path.decide(start) else {
                panic!("lost")
            };
            let ms = release.duration_since(start).as_secs_f64() * 1000.0;
            assert!((80.0..=120.0).contains(&ms));
            sum += ms;
        }
        assert!((sum / 10_000.0 - 100.0).abs() < 0.5);
    }

    #[test]
    fn an_untouched_path_lets_packets_through_at_once() {
        let now = Instant::now();
        let verdict = Path::new(Impairment::default(), 1).decide(now);
        assert_eq!(
            verdict,
            Verdict::Pass {
                release: now,
                duplicate: false,
                swap: false
            }
        );
    }
}
