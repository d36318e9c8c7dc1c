//! Which ended runs a project no longer keeps. Pure: the storage thread deletes what this names.

use shared::api::Retention;
use shared::id::RunId;

use crate::core::record::RunRecord;

/// The runs of one project that go: ended, not pinned, and too old or too many.
///
/// Pinned runs and runs that have not ended stay and do not count.
pub(super) fn expired<'a>(
    runs: impl IntoIterator<Item = &'a RunRecord>,
    retention: Retention,
    now_unix_ms: u64,
) -> Vec<RunId> {
    let mut ended: Vec<(u64, RunId)> = runs
        .into_iter()
        .filter(|run| !run.holds() && !run.pinned)
        .map(|run| (run.ended_unix_ms.unwrap_or(run.created_unix_ms), run.id))
        .collect();
    // Newest first.
    ended.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = retention
        .days
        .map(|days| now_unix_ms.saturating_sub(u64::from(days) * DAY_MS));
    let kept = retention.runs.map_or(usize::MAX, |runs| {
        usize::try_from(runs).unwrap_or(usize::MAX)
    });
    ended
        .into_iter()
        .enumerate()
        .filter(|(place, (at, _))| *place >= kept || oldest.is_some_and(|oldest| *at < oldest))
        .map(|(_, (_, run))| run)
        .collect()
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use shared::phase::RunStatus;

    use super::*;
    use crate::store::index::tests::record;
    use crate::testing::Random;

    /// A run that ended so many days ago; none: it has not ended.
    fn run(id: u64, days_ago: Option<u64>, pinned: bool) -> RunRecord {
        let mut run = record(id, &mut Random::new(id));
        run.pinned = pinned;
        run.created_unix_ms = 0;
        run.ended_unix_ms = days_ago.map(|days| NOW - days * DAY_MS);
        run.history[0].status = match days_ago {
            Some(_) => RunStatus::Completed,
            None => RunStatus::Running,
        };
        run.settled = days_ago.is_some();
        run
    }

    const NOW: u64 = 1_000 * DAY_MS;

    #[test]
    fn by_age_and_by_count_but_never_pinned_or_live_ones() {
        let runs = [
            run(1, Some(90), false),
            run(2, Some(91), false),
            run(3, Some(200), true),
            run(4, None, false),
            run(5, Some(1), false),
            run(6, Some(0), false),
            run(7, Some(5), true),
        ];
        let rows: &[(Option<u32>, Option<u32>, &[u64])] = &[
            (None, None, &[]),
            (Some(90), None, &[2]),
            (Some(0), None, &[5, 1, 2]),
            (None, Some(4), &[]),
            (None, Some(3), &[2]),
            (None, Some(1), &[5, 1, 2]),
            (None, Some(0), &[6, 5, 1, 2]),
            (Some(30), Some(3), &[1, 2]),
            (Some(u32::MAX), None, &[]),
        ];
        for (days, count, want) in rows {
            let retention = Retention {
                days: *days,
                runs: *count,
            };
            let gone: Vec<u64> = expired(&runs, retention, NOW).iter().map(|r| r.0).collect();
            assert_eq!(gone, *want, "{retention:?}");
        }
    }

    #[test]
    fn what_stays_is_the_newest_and_fits() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let runs: Vec<RunRecord> = (0..u64::from(random.below(60)))
                .map(|id| {
                    let ended = (random.below(5) > 0).then(|| u64::from(random.below(100)));
                    run(id, ended, random.below(5) == 0)
                })
                .collect();
            let retention = Retention {
                days: (random.below(2) == 0).then(|| random.below(100)),
                runs: (random.below(2) == 0).then(|| random.below(30)),
            };
            let gone = expired(&runs, retention, NOW);
            let (out, stay): (Vec<&RunRecord>, Vec<&RunRecord>) =
                runs.iter().partition(|run| gone.contains(&run.id));
            let counts = |run: &&RunRecord| !run.pinned && run.ended_unix_ms.is_some();
            assert!(out.iter().all(counts), "seed {seed}");
            let kept: Vec<&RunRecord> = stay.into_iter().filter(counts).collect();
            if let Some(most) = retention.runs {
                assert!(kept.len() <= most as usize, "seed {seed}");
            }
            let oldest_kept = kept.iter().map(|run| run.ended_unix_ms).min();
            let newest_gone = out.iter().map(|run| run.ended_unix_ms).max();
            if let (Some(kept), Some(gone)) = (oldest_kept, newest_gone) {
                assert!(gone <= kept, "seed {seed}");
            }
            if let Some(days) = retention.days {
                let limit = NOW - u64::from(days) * DAY_MS;
                assert!(kept.iter().all(|run| run.ended_unix_ms >= Some(limit)));
            }
        }
    }
}
