//! The public face of this module while its parts are being filled.

#![allow(dead_code, unused_variables, clippy::unused_async)]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::api::{
    ApiKey, BulkAccounts, BulkResult, CreateAccount, CreateApiKey, CreateOrganization, CreatePlan,
    CreateProject, CreateRegistrar, CreatedApiKey, MediaFile, Organization, Page, Plan, Problem,
    Project, Registrar, SavedTest, SipAccount, TestDefinition, UpdateAccount, UpdateOrganization,
    UpdatePlan, UpdateProject, UpdateRegistrar,
};
use shared::definition::{Account, Network, Test};
use shared::id::{
    AccountId, KeyId, MediaId, OrganizationId, PlanId, ProjectId, RegistrarId, TestId,
};

use super::{AuthError, Caller, ListQuery, ObjectError};

type Answer<T> = Result<T, ObjectError>;

/// The typed repository. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    inner: Arc<()>,
}

/// A test made runnable, or what speaks against it.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    /// The test: groups have no accounts yet, media paths are absolute, registrars are those used.
    /// Where `problems` is not empty it is good for counting and limits only.
    pub(crate) test: Test,
    /// The frozen copy: the definition and its registrars, without passwords.
    pub(crate) document: Value,
    /// One for each group that registers, in the order of the groups.
    pub(crate) pools: Vec<GroupPool>,
    /// What is missing for it here: media files, registrars, targets outside the allow-list.
    pub(crate) problems: Vec<Problem>,
}

/// The accounts that a group may take.
#[derive(Clone, Debug)]
pub(crate) struct GroupPool {
    /// The group's position in the test.
    pub(crate) group: u16,
    /// Whose accounts.
    pub(crate) registrar: RegistrarId,
    /// In the order of their user names. Groups of one registrar share them.
    pub(crate) candidates: Arc<[(AccountId, Account)]>,
}

/// The id that an object is to get, chosen before the work so that a repeat makes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedId(pub(crate) u64);

/// What the idempotency records say about a request.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Do the work with this id, then call [`Objects::finish`]. Also after a crash between the work
    /// and its record: the same id again.
    New(InFlight),
    /// It was done: answer this.
    Replay(StoredAnswer),
    /// It is being done by another request right now: 409.
    Conflict,
    /// The key was used for another request: 422.
    Mismatch,
}

/// A request that is being done. Dropping it without [`Objects::finish`] lets a repeat do it again.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The id of what it makes.
    pub(crate) planned: PlannedId,
}

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; sealed at rest.
    pub(crate) body: Vec<u8>,
}

/// What the first start made.
pub(crate) struct FirstStart {
    /// The organization `default`.
    pub(crate) organization: OrganizationId,
    /// The operator's key.
    pub(crate) key: KeyId,
    /// Its secret, to be shown this once.
    pub(crate) secret: String,
}

fn not_yet<T>() -> Answer<T> {
    Err(ObjectError::Storage("not yet".to_owned()))
}

/// Every create takes the id that the object is to get (none: a new one). Where an object with this
/// id is there already, it is answered as if it had just been made. `expected`: the revision that the
/// caller has read; none: whatever it is.
impl Objects {
    pub(crate) async fn create_plan(&self, new: CreatePlan, id: Option<PlanId>) -> Answer<Plan> {
        not_yet()
    }
    pub(crate) async fn plan(&self, plan: PlanId) -> Answer<Plan> {
        not_yet()
    }
    pub(crate) async fn plans(&self, query: &ListQuery) -> Answer<Page<Plan>> {
        not_yet()
    }
    pub(crate) async fn update_plan(
        &self,
        plan: PlanId,
        change: UpdatePlan,
        expected: Option<u64>,
    ) -> Answer<Plan> {
        not_yet()
    }
    /// [`ObjectError::InUse`] where an organization has it.
    pub(crate) async fn delete_plan(&self, plan: PlanId, expected: Option<u64>) -> Answer<()> {
        not_yet()
    }

    /// `balance` and `usage` are zero here: the ledger's owner fills them.
    pub(crate) async fn create_organization(
        &self,
        new: CreateOrganization,
        id: Option<OrganizationId>,
    ) -> Answer<Organization> {
        not_yet()
    }
    pub(crate) async fn organization(&self, organization: OrganizationId) -> Answer<Organization> {
        not_yet()
    }
    pub(crate) async fn organizations(&self, query: &ListQuery) -> Answer<Page<Organization>> {
        not_yet()
    }
    pub(crate) async fn update_organization(
        &self,
        organization: OrganizationId,
        change: UpdateOrganization,
        expected: Option<u64>,
    ) -> Answer<Organization> {
        not_yet()
    }
    /// [`ObjectError::InUse`] where it has projects. Its keys go with it.
    pub(crate) async fn delete_organization(
        &self,
        organization: OrganizationId,
        expected: Option<u64>,
    ) -> Answer<()> {
        not_yet()
    }

    /// The caller has checked that the maker may give these rights.
    pub(crate) async fn create_key(
        &self,
        organization: OrganizationId,
        new: CreateApiKey,
        id: Option<KeyId>,
    ) -> Answer<CreatedApiKey> {
        not_yet()
    }
    pub(crate) async fn key(&self, organization: OrganizationId, key: KeyId) -> Answer<ApiKey> {
        not_yet()
    }
    pub(crate) async fn keys(
        &self,
        organization: OrganizationId,
        query: &ListQuery,
    ) -> Answer<Page<ApiKey>> {
        not_yet()
    }
    /// Holds when this returns; twice changes nothing.
    pub(crate) async fn revoke_key(
        &self,
        organization: OrganizationId,
        key: KeyId,
        expected: Option<u64>,
    ) -> Answer<ApiKey> {
        not_yet()
    }
    /// Takes the text behind `Bearer `. Never waits for the disk.
    pub(crate) fn authenticate(&self, secret: &str) -> Result<Arc<Caller>, AuthError> {
        Err(AuthError::Unknown)
    }

    pub(crate) async fn create_project(
        &self,
        organization: OrganizationId,
        new: CreateProject,
        id: Option<ProjectId>,
    ) -> Answer<Project> {
        not_yet()
    }
    pub(crate) async fn project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Answer<Project> {
        not_yet()
    }
    /// Only those that `visible` lets pass: `|project| caller.role_in(project).is_some()`.
    pub(crate) async fn projects(
        &self,
        organization: OrganizationId,
        query: &ListQuery,
        visible: impl Fn(ProjectId) -> bool,
    ) -> Answer<Page<Project>> {
        not_yet()
    }
    pub(crate) async fn update_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        change: UpdateProject,
        expected: Option<u64>,
    ) -> Answer<Project> {
        not_yet()
    }
    /// [`ObjectError::InUse`] where `live_runs` is above 0. Registrars, accounts, media and tests go
    /// with it; its ended runs are the caller's to delete.
    pub(crate) async fn delete_project(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        expected: Option<u64>,
        live_runs: usize,
    ) -> Answer<()> {
        not_yet()
    }

    pub(crate) async fn create_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        new: CreateRegistrar,
        id: Option<RegistrarId>,
    ) -> Answer<Registrar> {
        not_yet()
    }
    pub(crate) async fn registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
    ) -> Answer<Registrar> {
        not_yet()
    }
    pub(crate) async fn registrars(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<Registrar>> {
        not_yet()
    }
    pub(crate) async fn update_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        change: UpdateRegistrar,
        expected: Option<u64>,
    ) -> Answer<Registrar> {
        not_yet()
    }
    /// Its accounts go with it.
    pub(crate) async fn delete_registrar(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        expected: Option<u64>,
    ) -> Answer<()> {
        not_yet()
    }

    pub(crate) async fn create_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        new: CreateAccount,
        id: Option<AccountId>,
    ) -> Answer<SipAccount> {
        not_yet()
    }
    /// All or nothing up to 10,000 accounts, above that in batches of that size. A repeat with the
    /// same body changes nothing but revisions.
    pub(crate) async fn bulk_accounts(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        bulk: BulkAccounts,
    ) -> Answer<BulkResult> {
        not_yet()
    }
    pub(crate) async fn account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
    ) -> Answer<SipAccount> {
        not_yet()
    }
    /// `name` of the query is the user name.
    pub(crate) async fn accounts(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        query: &ListQuery,
    ) -> Answer<Page<SipAccount>> {
        not_yet()
    }
    pub(crate) async fn update_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
        change: UpdateAccount,
        expected: Option<u64>,
    ) -> Answer<SipAccount> {
        not_yet()
    }
    pub(crate) async fn delete_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
        expected: Option<u64>,
    ) -> Answer<()> {
        not_yet()
    }

    /// `octets`: at most [`MEDIA_OCTETS_MAX`].
    pub(crate) async fn create_media(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        name: String,
        octets: Bytes,
        id: Option<MediaId>,
    ) -> Answer<MediaFile> {
        not_yet()
    }
    pub(crate) async fn media_file(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
    ) -> Answer<MediaFile> {
        not_yet()
    }
    pub(crate) async fn media_files(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<MediaFile>> {
        not_yet()
    }
    /// The stored file, to be served.
    pub(crate) async fn media_content(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
    ) -> Answer<PathBuf> {
        not_yet()
    }
    pub(crate) async fn delete_media(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        media: MediaId,
        expected: Option<u64>,
    ) -> Answer<()> {
        not_yet()
    }

    pub(crate) async fn create_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: TestDefinition,
        id: Option<TestId>,
    ) -> Answer<SavedTest> {
        not_yet()
    }
    pub(crate) async fn test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
    ) -> Answer<SavedTest> {
        not_yet()
    }
    pub(crate) async fn tests(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<SavedTest>> {
        not_yet()
    }
    /// PUT: the whole definition.
    pub(crate) async fn replace_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        definition: TestDefinition,
        expected: Option<u64>,
    ) -> Answer<SavedTest> {
        not_yet()
    }
    /// PATCH: the keys that are there; null takes one away. `groups` is replaced whole.
    pub(crate) async fn patch_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        change: Map<String, Value>,
        expected: Option<u64>,
    ) -> Answer<SavedTest> {
        not_yet()
    }
    pub(crate) async fn delete_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        expected: Option<u64>,
    ) -> Answer<()> {
        not_yet()
    }

    /// Makes a definition runnable with what the project has now. What is wrong is in
    /// [`Assembled::problems`]: it is a run's end, not an error.
    pub(crate) async fn assemble(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: &TestDefinition,
        operator_allow: &[Network],
    ) -> Answer<Assembled> {
        not_yet()
    }

    /// `key`: the header `Idempotency-Key`, of the API key `by`. `request_hash`: SHA-256 of method,
    /// path and body.
    pub(crate) async fn begin(
        &self,
        organization: OrganizationId,
        by: KeyId,
        key: &str,
        route: &str,
        request_hash: [u8; 32],
        now: u64,
    ) -> Answer<Begin> {
        not_yet()
    }
    /// Stores the answer, flushed, before it is given. Call it for answers that are final (2xx, 4xx
    /// but 401, 403, 408, 409, 412, 429); else drop the [`InFlight`].
    pub(crate) async fn finish(&self, request: InFlight, answer: StoredAnswer) -> Answer<()> {
        not_yet()
    }

    /// Makes plan, organization and operator's key on the first start, in one commit; none later.
    /// The secret is made anew as long as [`Objects::first_start_shown`] was not called. The grant of
    /// credits is the caller's: at every start, with an id derived from [`Objects::first_organization`].
    pub(crate) async fn first_start(&self, now: u64) -> Answer<Option<FirstStart>> {
        not_yet()
    }
    /// The secret was printed: it is not made anew.
    pub(crate) async fn first_start_shown(&self) -> Answer<()> {
        not_yet()
    }
    /// The organization that the first start made.
    pub(crate) async fn first_organization(&self) -> Answer<Option<OrganizationId>> {
        not_yet()
    }

    /// To be called each minute: writes last uses of keys, removes expired idempotency records,
    /// goes on with deletions.
    pub(crate) async fn maintain(&self, now: u64) -> Answer<()> {
        not_yet()
    }
}

/// Octets of a media file, at most.
pub(crate) const MEDIA_OCTETS_MAX: usize = 32 << 20;
/// Accounts of a bulk import that are stored all or not at all.
pub(crate) const BULK_ATOMIC: usize = 10_000;
