//! Every endpoint of one run as a list shows it: where it is, how it ended, its newest figures.
//!
//! Fed from frames and reports while the run lives, from storage after its end; both give the same
//! rows. Bounded by the run's endpoints, not by time: 32 octets a row beside its account's name.

mod query;

pub(crate) use query::{Place, Query, Sort, SortKey};

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::api::EndpointRow;
use shared::definition::Test;
use shared::id::{EndpointIndex, GroupIndex, NodeId};
use shared::metric::{self, MetricId};
use shared::phase::{Outcome, Phase};
use shared::wire::{EndpointReport, Frame, MediaReport, Share};

/// Who takes part: what never changes in a run.
#[derive(Debug)]
pub(crate) struct Cast {
    /// Names of the groups, in the test's order, with the number of their first endpoint.
    groups: Vec<(u32, Box<str>)>,
    /// By endpoint; blank where its group has no account for it.
    accounts: Vec<Box<str>>,
}

/// One endpoint. NaN: absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    node: u16,
    phase: Phase,
    outcome: Option<Outcome>,
    registration_code: Option<u16>,
    call_code: Option<u16>,
    figures: Figures,
    has_trace: bool,
}

/// Of what the endpoint received.
#[derive(Clone, Copy, Debug)]
struct Figures {
    mos: f32,
    jitter_ms: f32,
    loss_pct: f32,
    rtt_ms: f32,
}

/// All endpoints of a run.
#[derive(Debug)]
pub(crate) struct Roster {
    cast: Arc<Cast>,
    nodes: Vec<NodeId>,
    rows: Vec<Row>,
    /// Of endpoints that ended; at most one each.
    reasons: BTreeMap<u32, Box<str>>,
    /// Rows, reports and traces of endpoints that the run does not have.
    strange: u64,
}

/// A copy of all rows, to be filtered and sorted while the run goes on.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    cast: Arc<Cast>,
    nodes: Vec<NodeId>,
    rows: Vec<Row>,
}

impl Cast {
    /// Who takes part in a test whose accounts are filled in.
    pub(crate) fn new(test: &Test) -> Self {
        let mut first = 0u32;
        let mut groups = Vec::with_capacity(test.groups.len());
        let mut accounts = Vec::with_capacity(test.endpoint_count() as usize);
        for group in &test.groups {
            groups.push((first, group.name.as_str().into()));
            first = first.saturating_add(group.count);
            let names = group
                .accounts
                .iter()
                .map(|account| account.username.as_str().into());
            accounts.extend(names.take(group.count as usize));
            accounts.resize_with(first as usize, Box::default);
        }
        Self { groups, accounts }
    }

    /// The position of an endpoint's group.
    fn group_of(&self, endpoint: u32) -> usize {
        let after = self.groups.partition_point(|(first, _)| *first <= endpoint);
        after.saturating_sub(1)
    }

    /// The position of an endpoint's group and its own in the group; none where the run has no groups.
    pub(crate) fn place(&self, endpoint: u32) -> Option<(GroupIndex, u32)> {
        let group = self.group_of(endpoint);
        let (first, _) = self.groups.get(group)?;
        Some((
            GroupIndex(u16::try_from(group).ok()?),
            endpoint.checked_sub(*first)?,
        ))
    }

    /// The name of an endpoint's group.
    pub(crate) fn group_name(&self, endpoint: u32) -> &str {
        let group = self.groups.get(self.group_of(endpoint));
        group.map_or("", |(_, name)| name)
    }

    /// An endpoint's account; blank where its group has none for it.
    pub(crate) fn account(&self, endpoint: u32) -> &str {
        self.accounts
            .get(endpoint as usize)
            .map_or("", |account| account)
    }
}

impl Figures {
    const NONE: Self = Self {
        mos: f32::NAN,
        jitter_ms: f32::NAN,
        loss_pct: f32::NAN,
        rtt_ms: f32::NAN,
    };

    /// The whole call's; MOS as the part's: on the scale of its codec.
    fn of_call(media: &MediaReport) -> Self {
        let or_nan = |value: Option<f32>| value.unwrap_or(f32::NAN);
        Self {
            mos: or_nan(media.mos),
            jitter_ms: or_nan(media.jitter_mean_ms),
            loss_pct: or_nan(media.loss_pct),
            rtt_ms: or_nan(media.rtt_mean_ms),
        }
    }
}

/// Where a second's metric goes; none for those that lists do not show.
fn figure(metric: MetricId) -> Option<fn(&mut Figures) -> &mut f32> {
    match metric {
        metric::MOS | metric::MOS_WB | metric::MOS_FB => Some(|figures| &mut figures.mos),
        metric::JITTER => Some(|figures| &mut figures.jitter_ms),
        metric::LOSS => Some(|figures| &mut figures.loss_pct),
        metric::RTT => Some(|figures| &mut figures.rtt_ms),
        _ => None,
    }
}

impl Roster {
    /// Nothing known of anybody yet.
    pub(crate) fn new(test: &Test) -> Self {
        let row = Row {
            node: NO_NODE,
            phase: Phase::Initializing,
            outcome: None,
            registration_code: None,
            call_code: None,
            figures: Figures::NONE,
            has_trace: false,
        };
        Self {
            cast: Arc::new(Cast::new(test)),
            nodes: Vec::new(),
            rows: vec![row; test.endpoint_count() as usize],
            reasons: BTreeMap::new(),
            strange: 0,
        }
    }

    /// The accounts are picked: the same endpoints, now with their names.
    pub(crate) fn recast(&mut self, test: &Test) {
        let cast = Cast::new(test);
        if cast.accounts.len() == self.rows.len() {
            self.cast = Arc::new(cast);
        } else {
            self.strange += 1;
        }
    }

    /// A node carries these endpoints.
    pub(crate) fn assign(&mut self, node: &NodeId, shares: &[Share]) {
        let number = self.node(node);
        for share in shares {
            let Some((first, _)) = self.cast.groups.get(share.group.index()) else {
                self.strange += 1;
                continue;
            };
            let start = first.saturating_add(share.first) as usize;
            let rows = self.rows.iter_mut().skip(start).take(share.count as usize);
            rows.for_each(|row| row.node = number);
        }
    }

    /// A second of some endpoints. A figure that is absent in it stays as it was.
    pub(crate) fn frame(&mut self, frame: &Frame) {
        for (endpoint, phase) in frame.endpoints.iter().zip(&frame.phases) {
            self.phase(*endpoint, *phase);
        }
        for column in &frame.columns {
            let Some(figure) = figure(column.metric) else {
                continue;
            };
            for (endpoint, value) in frame.endpoints.iter().zip(&column.values) {
                let row = self.rows.get_mut(endpoint.index());
                if value.is_finite()
                    && let Some(row) = row.filter(|row| row.outcome.is_none())
                {
                    *figure(&mut row.figures) = *value;
                }
            }
        }
    }

    /// An endpoint was seen in a phase. Phases only go forward.
    pub(crate) fn phase(&mut self, endpoint: EndpointIndex, phase: Phase) {
        match self.rows.get_mut(endpoint.index()) {
            Some(row) => row.phase = row.phase.max(phase),
            None => self.strange += 1,
        }
    }

    /// An endpoint ended: from now on its figures are those of its newest whole call.
    pub(crate) fn report(&mut self, report: &EndpointReport) {
        let node = self.node(&report.node);
        let Some(row) = self.rows.get_mut(report.endpoint.index()) else {
            self.strange += 1;
            return;
        };
        row.node = node;
        row.phase = row.phase.max(report.phase);
        row.outcome = Some(report.outcome);
        row.registration_code = report.registration_code;
        row.call_code = report.call_code;
        let newest = report
            .calls
            .iter()
            .rev()
            .find_map(|call| call.media.as_ref());
        row.figures = newest.map_or(Figures::NONE, Figures::of_call);
        if !report.reason.is_empty() {
            let reason = report.reason.as_str().into();
            self.reasons.insert(report.endpoint.0, reason);
        }
    }

    /// A SIP trace of an endpoint is stored.
    pub(crate) fn trace(&mut self, endpoint: EndpointIndex) {
        match self.rows.get_mut(endpoint.index()) {
            Some(row) => row.has_trace = true,
            None => self.strange += 1,
        }
    }

    /// Endpoints that have not ended.
    pub(crate) fn without_outcome(&self) -> impl Iterator<Item = EndpointIndex> {
        (0u32..)
            .zip(&self.rows)
            .filter(|(_, row)| row.outcome.is_none())
            .map(|(endpoint, _)| EndpointIndex(endpoint))
    }

    /// All rows as they stand.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            cast: Arc::clone(&self.cast),
            nodes: self.nodes.clone(),
            rows: self.rows.clone(),
        }
    }

    /// Why endpoints ended as they did, in the order asked for; blank where nothing was said.
    pub(crate) fn reasons(&self, endpoints: &[u32]) -> Vec<String> {
        let reason = |endpoint: &u32| {
            let reason = self.reasons.get(endpoint);
            reason.map_or_else(String::new, |reason| String::from(&**reason))
        };
        endpoints.iter().map(reason).collect()
    }

    /// Endpoints of the run.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Its number among the nodes; those above the bound stay without a name.
    fn node(&mut self, node: &NodeId) -> u16 {
        if let Some(number) = self.nodes.iter().position(|known| known == node) {
            return u16::try_from(number).unwrap_or(NO_NODE);
        }
        if self.nodes.len() >= NODES_MAX {
            self.strange += 1;
            return NO_NODE;
        }
        self.nodes.push(node.clone());
        u16::try_from(self.nodes.len() - 1).unwrap_or(NO_NODE)
    }
}

impl Snapshot {
    /// One endpoint as lists show it, without its reason; none where the run has no such endpoint.
    pub(crate) fn row(&self, endpoint: u32) -> Option<EndpointRow> {
        let row = self.rows.get(endpoint as usize)?;
        let node = self.nodes.get(usize::from(row.node));
        Some(EndpointRow {
            endpoint,
            group: self.cast.group_name(endpoint).to_owned(),
            account: self.cast.account(endpoint).to_owned(),
            node: node.cloned().unwrap_or(NodeId(String::new())),
            phase: row.phase,
            outcome: row.outcome,
            reason: String::new(),
            registration_code: row.registration_code,
            call_code: row.call_code,
            mos: present(row.figures.mos),
            jitter_ms: present(row.figures.jitter_ms),
            loss_pct: present(row.figures.loss_pct),
            rtt_ms: present(row.figures.rtt_ms),
            has_trace: row.has_trace,
        })
    }
}

/// The double that prints as the float does: 4.41, not 4.409999847412109.
fn present(value: f32) -> Option<f64> {
    value
        .is_finite()
        .then(|| value.to_string().parse().unwrap_or(f64::from(value)))
}

/// Of an endpoint whose node nobody named.
const NO_NODE: u16 = u16::MAX;
/// Nodes of one run; as many as the coordinator remembers.
const NODES_MAX: usize = 1_000;

#[cfg(test)]
#[path = "roster/tests.rs"]
mod tests;
