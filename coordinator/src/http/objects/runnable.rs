//! From a saved test to what the coordinator starts.

use shared::api::SavedTest;
use shared::id::{ProjectId, RunId, TestId};

use crate::core::request::{Assembled, GroupPool, StartRequest};
use crate::http::auth::Caller;
use crate::http::problem::ApiError;
use crate::http::state::Service;

/// Reads a saved test and makes it ready to run with what its project has now. The caller has the
/// role for it. `label`, `rerun_of` and `id` are blank: set them.
///
/// Errors: 404. What is wrong with the test is in the request's problems.
pub(crate) async fn runnable(
    service: &Service,
    caller: &Caller,
    project: ProjectId,
    test: TestId,
) -> Result<StartRequest, ApiError> {
    let objects = service.objects();
    let organization = caller.organization();
    let SavedTest {
        id,
        revision,
        definition,
        ..
    } = objects.test(organization, project, test).await?;
    let assembled = objects
        .assemble(organization, project, &definition, service.allow())
        .await?;
    let owner = objects.organization(organization).await?;
    let plan = objects.plan(owner.plan).await?;
    let pools = assembled.pools.into_iter().map(|pool| GroupPool {
        group: pool.group,
        registrar: pool.registrar,
        candidates: pool.candidates.to_vec(),
    });
    Ok(StartRequest {
        organization,
        project,
        test_id: id,
        test_revision: revision,
        test_name: definition.name,
        label: String::new(),
        rerun_of: None::<RunId>,
        started_by: caller.id(),
        plan,
        assembled: Assembled {
            test: assembled.test,
            document: assembled.document,
            pools: pools.collect(),
            problems: assembled.problems,
        },
        id: None,
    })
}
