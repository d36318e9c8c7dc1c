//! What a run is started from: who asks, which test, under which plan.

use serde_json::Value;
use shared::api::Plan;
use shared::definition::{Account, Test};
use shared::id::{AccountId, KeyId, OrganizationId, ProjectId, RegistrarId, RunId, TestId};
use shared::wire::Problem;

/// A request to start, or only to check, a run of a saved test.
#[derive(Clone, Debug)]
pub(crate) struct StartRequest {
    /// Whose.
    pub(crate) organization: OrganizationId,
    /// Where it belongs.
    pub(crate) project: ProjectId,
    /// Of which test.
    pub(crate) test_id: TestId,
    /// The revision that `assembled` was made from.
    pub(crate) test_revision: u64,
    /// The test's name.
    pub(crate) test_name: String,
    /// For people; at most 200 characters.
    pub(crate) label: String,
    /// The run that it repeats.
    pub(crate) rerun_of: Option<RunId>,
    /// The key that asks.
    pub(crate) started_by: KeyId,
    /// The limits of the organization now.
    pub(crate) plan: Plan,
    /// The test, ready to run.
    pub(crate) assembled: Assembled,
    /// The id that the run must get; none: a new one. A run that has it already is answered as it is.
    pub(crate) id: Option<RunId>,
}

/// A saved test made ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    /// The whole test. Groups that have a pool have no accounts: they are picked when it starts.
    pub(crate) test: Test,
    /// What is frozen and shown: the test with its registrars, without passwords.
    pub(crate) document: Value,
    /// Accounts to pick from, at most one pool a group.
    pub(crate) pools: Vec<GroupPool>,
    /// What was missing when it was made ready: media files, registrars, targets.
    pub(crate) problems: Vec<Problem>,
}

/// The accounts that a group may use.
#[derive(Clone, Debug)]
pub(crate) struct GroupPool {
    /// The group's position in the test.
    pub(crate) group: u16,
    /// Where they register.
    pub(crate) registrar: RegistrarId,
    /// In the order in which they are taken.
    pub(crate) candidates: Vec<(AccountId, Account)>,
}
