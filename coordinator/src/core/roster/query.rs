//! Filter, order and page of a run's endpoints.

use shared::phase::{Outcome, Phase};

use super::{Row, Snapshot};

/// What is asked for; an empty filter takes everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Any of these phases.
    pub(crate) phases: Vec<Phase>,
    /// Any of these outcomes.
    pub(crate) outcomes: Vec<Outcome>,
    /// Any of these groups, by name.
    pub(crate) groups: Vec<String>,
    /// A part of the account's user name, in any case of ASCII letters.
    pub(crate) account: Option<String>,
    /// Last code of the registration or of the call.
    pub(crate) code: Option<u16>,
    /// The node's name.
    pub(crate) node: Option<String>,
    /// Whether a SIP trace is stored.
    pub(crate) has_trace: Option<bool>,
    /// In this order.
    pub(crate) sort: Sort,
    /// Only what comes after this place in that order.
    pub(crate) after: Option<Place>,
    /// At most so many.
    pub(crate) limit: usize,
}

/// An order of endpoints. Those without the figure come last either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    /// By what; ties by the endpoint's number, ascending.
    pub(crate) key: SortKey,
    /// The largest first.
    pub(crate) descending: bool,
}

/// What endpoints can be ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SortKey {
    /// Its number.
    #[default]
    Endpoint,
    /// MOS.
    Mos,
    /// Jitter.
    Jitter,
    /// Loss.
    Loss,
    /// Round trip.
    Rtt,
    /// In the order of phases.
    Phase,
    /// By severity, then in the order of outcomes; those that have not ended last.
    Outcome,
}

/// A place in an order: what the last row of a page was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its rank in that order.
    pub(crate) rank: u64,
    /// Its number.
    pub(crate) endpoint: u32,
}

impl Sort {
    /// Ascending in the order that was asked for.
    fn rank(self, endpoint: u32, row: &Row) -> u64 {
        let value = match self.key {
            SortKey::Endpoint => Some(endpoint),
            SortKey::Mos => ordered(row.figures.mos),
            SortKey::Jitter => ordered(row.figures.jitter_ms),
            SortKey::Loss => ordered(row.figures.loss_pct),
            SortKey::Rtt => ordered(row.figures.rtt_ms),
            SortKey::Phase => Some(row.phase as u32),
            SortKey::Outcome => row
                .outcome
                .map(|outcome| u32::from(outcome.severity()) << 8 | outcome_place(outcome)),
        };
        match value {
            None => u64::MAX,
            Some(value) if self.descending => u64::from(u32::MAX - value),
            Some(value) => u64::from(value),
        }
    }
}

/// The order of [`Outcome::ALL`].
fn outcome_place(outcome: Outcome) -> u32 {
    let place = Outcome::ALL.iter().position(|other| *other == outcome);
    place
        .and_then(|place| u32::try_from(place).ok())
        .unwrap_or(u32::MAX)
}

/// Floats as numbers of the same order; none for an absent one.
fn ordered(value: f32) -> Option<u32> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    Some(if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    })
}

impl Snapshot {
    /// The endpoints that a query asks for, in its order, each with its place.
    ///
    /// One pass over the rows; only those of the page are put in order.
    pub(crate) fn select(&self, query: &Query) -> Vec<Place> {
        let mut wanted: Vec<Place> = (0u32..)
            .zip(&self.rows)
            .filter(|(endpoint, row)| self.matches(*endpoint, row, query))
            .map(|(endpoint, row)| Place {
                rank: query.sort.rank(endpoint, row),
                endpoint,
            })
            .filter(|place| query.after.is_none_or(|after| *place > after))
            .collect();
        if query.limit < wanted.len() {
            wanted.select_nth_unstable(query.limit);
            wanted.truncate(query.limit);
        }
        wanted.sort_unstable();
        wanted
    }

    fn matches(&self, endpoint: u32, row: &Row, query: &Query) -> bool {
        let any = |code: Option<u16>| query.code.is_none_or(|wanted| code == Some(wanted));
        (query.phases.is_empty() || query.phases.contains(&row.phase))
            && (query.outcomes.is_empty()
                || row
                    .outcome
                    .is_some_and(|outcome| query.outcomes.contains(&outcome)))
            && (any(row.registration_code) || any(row.call_code))
            && query.has_trace.is_none_or(|has| has == row.has_trace)
            && query.node.as_ref().is_none_or(|wanted| {
                let node = self.nodes.get(usize::from(row.node));
                node.is_some_and(|node| node.0 == *wanted)
            })
            && (query.groups.is_empty()
                || query
                    .groups
                    .iter()
                    .any(|group| group == self.cast.group_name(endpoint)))
            && query
                .account
                .as_ref()
                .is_none_or(|part| contains(self.cast.account(endpoint), part))
    }
}

/// True where `part` stands in `text`, in any case of ASCII letters.
fn contains(text: &str, part: &str) -> bool {
    part.is_empty()
        || text
            .as_bytes()
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}
