//! What the service asks a coordinator: runs of saved tests, credits, nodes, audits.

use std::sync::Arc;
use std::time::Duration;

use shared::api::{self, Balance, Checked, LedgerEntry, UpdateRun, Usage};
use shared::id::{NodeId, OrganizationId, RunId};

use super::{Handle, RequestError, random};
use crate::actor::{
    Audit, Check, Drain, GrantCredits, ListNodes, StartRun, Started, Update as Change,
};
use crate::core::audit::AuditReport;
use crate::core::record::RunRecord;
use crate::core::request::StartRequest;
use crate::live::Update;
use crate::outward::OutwardCounts;
use crate::store::{Control, keys};

impl Handle {
    /// Starts a run of a saved test: answers once it has left PENDING, or after 2 s, with all of it
    /// stored and flushed. What the limits or anything else forbid is a run that ended
    /// CANNOT_RUN_FOR_NOW, not an error.
    ///
    /// Errors: [`RequestError::StorageFull`] where it cannot be stored.
    pub(crate) async fn start_run(
        &self,
        request: StartRequest,
    ) -> Result<Arc<RunRecord>, RequestError> {
        let planned = request.id;
        let document = serde_json::to_string(&request.assembled.document).map_err(|error| {
            RequestError::Storage(format!("the test cannot be frozen: {error}"))
        })?;
        let mut answer = self
            .actor
            .send(StartRun {
                request: Box::new(request),
                document: document.into(),
                random: random(),
            })
            .await
            .map_err(|_| RequestError::Gone)?;
        let given = |answer: Result<Started, _>| answer.map_err(|_| RequestError::Gone)?;
        if let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, &mut answer.answer).await {
            return given(answer);
        }
        // Still PENDING: it waits for a node. It is shown as soon as it is stored.
        match self.control.runs().find(planned.unwrap_or(answer.run)) {
            Some(stored) => Ok(stored),
            None => given(answer.answer.await),
        }
    }

    /// Everything that would speak against a run now; nothing is stored or reserved.
    pub(crate) async fn check(&self, request: StartRequest) -> Result<Checked, RequestError> {
        let check = Check(Box::new(request));
        self.actor.send(check).await.map_err(|_| RequestError::Gone)
    }

    /// Changes what people say about a run; with `revision`, only where it is still that one.
    ///
    /// The only way to change a record of a run: one that lives is in the actor's hands.
    pub(crate) async fn update_run(
        &self,
        run: RunId,
        change: UpdateRun,
        revision: Option<u64>,
    ) -> Result<Arc<RunRecord>, RequestError> {
        let change = Change {
            run,
            change,
            revision,
        };
        let answer = self.actor.send(change).await;
        let answer = answer.map_err(|_| RequestError::Gone)?;
        answer.await.map_err(|_| RequestError::Gone)?
    }

    /// The control records.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// How a live run stands now; none where it has ended or is unknown. Never waits.
    pub(crate) fn live(&self, run: RunId) -> Option<Arc<Update>> {
        let latest = self.board.get(run)?.latest()?;
        (!latest.live.status.is_terminal()).then_some(latest)
    }

    /// The place of a run among those that wait for a start slot, from 1. Never waits.
    pub(crate) fn queue_position(&self, run: RunId) -> Option<u32> {
        self.published.position(run)
    }

    /// Adds credits. `id`: 32 hexadecimal digits; a second call with it is answered as the first.
    pub(crate) async fn grant(
        &self,
        organization: OrganizationId,
        endpoint_ms: u64,
        note: String,
        id: String,
    ) -> Result<LedgerEntry, RequestError> {
        let place = keys::ledger_id(&id);
        let known = self.stored_entry(organization, place).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let grant = GrantCredits {
            organization,
            amount: endpoint_ms,
            note,
            id,
        };
        let answer = self.actor.send(grant).await;
        let answer = answer.map_err(|_| RequestError::Gone)?;
        answer.await.map_err(|_| RequestError::Gone)?
    }

    /// An organization's credits; nothing where it has no entry. Never waits.
    pub(crate) fn balance(&self, organization: OrganizationId) -> Balance {
        self.published.figures(organization).balance
    }

    /// What an organization's live runs use; the limits are its plan's. Never waits.
    pub(crate) fn usage(&self, organization: OrganizationId, plan: &api::Plan) -> Usage {
        let figures = self.published.figures(organization);
        Usage {
            concurrent_runs: figures.runs,
            concurrent_runs_limit: plan.concurrent_runs_per_organization,
            concurrent_endpoints: figures.endpoints,
            concurrent_endpoints_limit: plan.concurrent_endpoints,
        }
    }

    /// Checks every invariant of the books now, against all that is stored.
    pub(crate) async fn audit(&self) -> Result<AuditReport, RequestError> {
        let answer = self.actor.send(Audit).await;
        let answer = answer.map_err(|_| RequestError::Gone)?;
        answer.await.map_err(|_| RequestError::Gone)?
    }

    /// Every node that ever reported, by name.
    pub(crate) async fn nodes(&self) -> Result<Vec<api::Node>, RequestError> {
        let nodes = self.actor.send(ListNodes).await;
        nodes.map_err(|_| RequestError::Gone)
    }

    /// Has a node take no new runs, or take them again; none where no such node is known.
    pub(crate) async fn drain(
        &self,
        node: NodeId,
        drain: bool,
    ) -> Result<Option<api::Node>, RequestError> {
        let answer = self.actor.send(Drain { node, drain }).await;
        let answer = answer.map_err(|_| RequestError::Gone)?;
        answer.await.map_err(|_| RequestError::Gone)?
    }

    /// False while the bus to the nodes is cut off. Never waits.
    pub(crate) fn bus_is_connected(&self) -> bool {
        self.bus.is_connected()
    }

    /// What became of messages for subscribers. Never waits.
    pub(crate) fn outward_counts(&self) -> OutwardCounts {
        self.outward.counts()
    }

    async fn stored_entry(
        &self,
        organization: OrganizationId,
        place: keys::Key,
    ) -> Result<Option<LedgerEntry>, RequestError> {
        let control = self.control.clone();
        let read = tokio::task::spawn_blocking(move || {
            let Some((sequence, _)) = control.get::<u64>(&place)? else {
                return Ok(None);
            };
            let entry = control.get::<LedgerEntry>(&keys::ledger(organization, sequence))?;
            Ok(entry.map(|(entry, _)| entry))
        });
        let read = read.await.map_err(|_| RequestError::Gone)?;
        read.map_err(|error: crate::store::StoreError| RequestError::Storage(error.to_string()))
    }
}

/// A run that waits for its first node is answered as PENDING after this.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
