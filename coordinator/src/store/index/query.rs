//! Pages of the list of runs: a condition, an order, and where the page before ended.
//!
//! A cursor is the last item's place in the order, not a number: runs that come or go in between
//! neither repeat nor hide others.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{OrganizationId, RunId};

use super::RunIndex;
use crate::core::record::RunRecord;

/// The orders of the list. Runs that are equal in it stand in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RunSort {
    /// When they were made.
    Created,
    /// When they went RUNNING; those that never did come first.
    Began,
    /// When they ended; those that have not come first.
    Ended,
    /// The test's name, in the order of its characters.
    Test,
    /// The label, in the order of its characters.
    Label,
    /// The status, in the order of a run's life.
    Status,
    /// Endpoints.
    Endpoints,
    /// The configured duration.
    Duration,
    /// From RUNNING to its end; those that have not ended come first.
    Elapsed,
    /// Median MOS; those without one come first.
    Mos,
}

impl RunSort {
    fn place(self, run: &RunRecord) -> Place {
        match self {
            Self::Created => Place::Number(run.created_unix_ms),
            Self::Began => Place::Number(run.began_unix_ms.unwrap_or(0)),
            Self::Ended => Place::Number(run.ended_unix_ms.unwrap_or(0)),
            Self::Test => Place::Text(run.test_name.clone()),
            Self::Label => Place::Text(run.label.clone()),
            Self::Status => Place::Number(run.status() as u64),
            Self::Endpoints => Place::Number(run.endpoints.into()),
            Self::Duration => Place::Number(run.duration_ms),
            Self::Elapsed => Place::Number(run.elapsed_ms),
            Self::Mos => Place::Number(mos(run)),
        }
    }

    fn compare(self, a: &RunRecord, b: &RunRecord) -> Ordering {
        match self {
            // Without a copy of the text.
            Self::Test => a.test_name.cmp(&b.test_name),
            Self::Label => a.label.cmp(&b.label),
            _ => self.place(a).cmp(&self.place(b)),
        }
        .then_with(|| a.id.cmp(&b.id))
    }
}

/// Median MOS as a number of the same order; MOS is never below 0, where the octets of floats sort.
fn mos(run: &RunRecord) -> u64 {
    let mos = run.headline.as_ref().and_then(|headline| headline.mos_p50);
    mos.map_or(0, |mos| mos.max(0.0).to_bits())
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Place {
    Number(u64),
    Text(String),
}

/// Where a page ended. Serializable, for the API's opaque `cursor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunCursor {
    place: Place,
    id: RunId,
}

impl RunCursor {
    /// Whether the cursor was made for this order: a text for a text, a number for a number.
    pub(crate) fn fits(&self, sort: RunSort) -> bool {
        let text = matches!(sort, RunSort::Test | RunSort::Label);
        matches!(self.place, Place::Text(_)) == text
    }

    fn compare(&self, sort: RunSort, run: &RunRecord) -> Ordering {
        let place = match (&self.place, sort) {
            (Place::Text(text), RunSort::Test) => text.as_str().cmp(&run.test_name),
            (Place::Text(text), RunSort::Label) => text.as_str().cmp(&run.label),
            (place, _) => place.cmp(&sort.place(run)),
        };
        place.then_with(|| self.id.cmp(&run.id))
    }
}

/// Which runs, in which order.
pub(crate) struct RunQuery<'a> {
    /// Whose.
    pub(crate) organization: OrganizationId,
    /// Which of them.
    pub(crate) condition: &'a (dyn Fn(&RunRecord) -> bool + Sync),
    /// In which order.
    pub(crate) sort: RunSort,
    /// True: largest, newest or last first.
    pub(crate) descending: bool,
    /// Where the page before ended.
    pub(crate) after: Option<&'a RunCursor>,
    /// Items of the page, at least 1.
    pub(crate) limit: usize,
}

/// A page.
#[derive(Clone, Debug)]
pub(crate) struct RunPage {
    /// Its runs.
    pub(crate) runs: Vec<Arc<RunRecord>>,
    /// What to hand over for the next page; none on the last one.
    pub(crate) next: Option<RunCursor>,
}

impl RunIndex {
    /// A page of an organization's runs.
    ///
    /// Costs: one pass over the organization's runs, and sorting the page itself.
    pub(crate) fn page(&self, query: &RunQuery<'_>) -> RunPage {
        let order = |a: &Arc<RunRecord>, b: &Arc<RunRecord>| {
            let order = query.sort.compare(a, b);
            if query.descending {
                order.reverse()
            } else {
                order
            }
        };
        let limit = query.limit.max(1);
        let mut found: Vec<Arc<RunRecord>> = {
            let table = self.read();
            let runs = table.organizations.get(&query.organization);
            runs.into_iter()
                .flat_map(|runs| runs.values())
                .filter(|run| query.is_after(run) && (query.condition)(run))
                .cloned()
                .collect()
        };
        let more = found.len() > limit;
        if more {
            found.select_nth_unstable_by(limit - 1, order);
            found.truncate(limit);
        }
        found.sort_unstable_by(order);
        let next = found.last().filter(|_| more).map(|last| RunCursor {
            place: query.sort.place(last),
            id: last.id,
        });
        RunPage { runs: found, next }
    }
}

impl RunQuery<'_> {
    fn is_after(&self, run: &RunRecord) -> bool {
        let Some(cursor) = self.after else {
            return true;
        };
        let order = cursor.compare(self.sort, run);
        order
            == if self.descending {
                Ordering::Greater
            } else {
                Ordering::Less
            }
    }
}

/// The order itself, for a test's own sorted list.
#[cfg(test)]
pub(super) fn compare_for_tests(sort: RunSort, a: &RunRecord, b: &RunRecord) -> Ordering {
    sort.compare(a, b)
}
