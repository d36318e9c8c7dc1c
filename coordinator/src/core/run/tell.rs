//! What a run tells: its watchers how it stands, storage how it ended.

use std::time::Instant;

use shared::phase::RunStatus;
use shared::result::{LivePart, LiveUpdate};

use super::{Output, Run};
use crate::core::summary::{GeneratorFigures, Summary};
use crate::core::{Now, counts, verdict};

/// What was shown last, and the newest complete second.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) shown: Option<Instant>,
    pub(super) parts: Vec<LivePart>,
    pub(super) generator: Option<GeneratorFigures>,
}

impl Run {
    pub(super) fn summary(&self, now: Now, status: RunStatus) -> Summary {
        let (all, groups, traffic) = self.aggregate.parts();
        let generator = self.aggregate.generator().health(traffic);
        let test = &self.frozen.test;
        let thresholds = if self.began.is_some() {
            let wanted = verdict::thresholds(test, &counts::roles(test));
            verdict::judge(&wanted, &all, &groups)
        } else {
            Vec::new()
        };
        Summary {
            began_unix_ms: self.began.map(|began| began.unix_ms),
            elapsed_ms: self.elapsed_ms(now),
            problems: self.problems.clone(),
            verdict: verdict::verdict(status, self.interrupted, generator.saturated, &thresholds),
            all,
            groups,
            failures: self.aggregate.failures(),
            generator,
            thresholds,
            missing: self.missing.clone(),
            nodes: self
                .shares()
                .map(|(node, shares)| (node.clone(), shares.to_vec()))
                .collect(),
        }
    }

    pub(super) fn show(&mut self, now: Now) {
        self.live.shown = Some(now.instant);
        let (new_failures, failures_left_out) = self.aggregate.take_new_failures(NEW_FAILURES_MAX);
        let second = |index: usize| self.live.parts.get(index).cloned().unwrap_or_default();
        let all = LivePart {
            name: "all".to_owned(),
            counts: self.aggregate.all_counts(),
            ..second(0)
        };
        let groups = self
            .aggregate
            .group_counts()
            .enumerate()
            .map(|(index, (name, counts))| LivePart {
                name: name.to_owned(),
                counts: counts.clone(),
                ..second(index + 1)
            })
            .collect();
        let update = LiveUpdate {
            run: self.frozen.id.to_string(),
            status: self.status(),
            last_move: self.status.last(),
            elapsed_ms: self.elapsed_ms(now),
            duration_ms: self.frozen.test.duration.0,
            all,
            groups,
            new_failures,
            failures_left_out,
            send_late_p99_ms: self
                .live
                .generator
                .and_then(|figures| figures.send_late_p99_ms),
            cpu_cores: self.live.generator.map(|figures| figures.cpu_cores),
        };
        self.outputs.push_back(Output::Live(Box::new(update)));
    }
}

/// As [`LiveUpdate::new_failures`] promises.
const NEW_FAILURES_MAX: usize = 20;
