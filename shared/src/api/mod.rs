//! The objects of the HTTP API, `/api/v1` (PRODUCT §8): what the coordinator serves and what the
//! command line reads. The OpenAPI document is derived from these types.
//!
//! Shape of every object: `id` (16 hexadecimal digits), `revision` (its ETag: 1, then one more with
//! each change), `created_unix_ms` and `updated_unix_ms` (milliseconds since 1970). Requests refuse
//! unknown fields. In a PATCH, a field that is not there stays as it is.

mod credit;
mod key;
mod media;
mod node;
mod organization;
mod page;
mod problem;
mod project;
mod registrar;
mod run;
mod test;

pub use crate::result::LimitDetail;
pub use crate::wire::Problem;
pub use credit::{Balance, Credits, Grant, LedgerEntry, TransferKind, Usage};
pub use key::{ApiKey, CreateApiKey, CreatedApiKey, ProjectRole, Role, WhoAmI};
pub use media::MediaFile;
pub use node::{Node, NodeState};
pub use organization::{
    CreateOrganization, CreatePlan, Organization, Plan, UpdateOrganization, UpdatePlan,
};
pub use page::Page;
pub use problem::{FieldProblem, ProblemDocument};
pub use project::{CreateProject, Project, Retention, UpdateProject};
pub use registrar::{
    BulkAccounts, BulkResult, CreateAccount, CreateRegistrar, Registrar, SipAccount, UpdateAccount,
    UpdateRegistrar,
};
pub use run::{
    Comparison, Endpoint, EndpointMetrics, EndpointRow, Headline, Run, Skipped, StartRun, Trace,
    TraceMessage, UpdateRun,
};
pub use test::{Checked, SavedTest, TestDefinition};

/// Octets of a name of an object, at most.
pub const NAME_MAX: usize = 128;
