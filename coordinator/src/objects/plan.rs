//! Plans: made, changed and deleted by operators, shared by organizations.

use serde::{Deserialize, Serialize};
use shared::api::{CreatePlan, Page, Plan, UpdatePlan};
use shared::id::PlanId;
use shared::units::Millis;

use super::check::Check;
use super::list::Place;
use super::repository::{Answer, Owner, Record, Stop, unchanged};
use super::{ListQuery, ObjectError, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

/// A plan as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    pub(super) plan: Plan,
    /// Organizations that have it; so that a deletion and a new organization cannot miss each other.
    pub(super) organizations: u32,
}

impl Record for PlanRecord {
    const KIND: NameKind = NameKind::Plan;

    fn id(&self) -> u64 {
        self.plan.id.0
    }

    fn name(&self) -> &str {
        &self.plan.name
    }
}

impl Objects {
    /// Makes a plan with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Errors: [`ObjectError::Invalid`], [`ObjectError::NameTaken`], [`ObjectError::TooMany`].
    pub(crate) async fn create_plan(&self, new: CreatePlan, id: Option<PlanId>) -> Answer<Plan> {
        let planned = id.is_some();
        let id = PlanId(self.id(id.map(|id| id.0))?);
        let at = now();
        let plan = Plan {
            id,
            name: new.name,
            concurrent_runs_per_project: new.concurrent_runs_per_project,
            concurrent_runs_per_organization: new.concurrent_runs_per_organization,
            concurrent_endpoints: new.concurrent_endpoints,
            endpoints_per_run: new.endpoints_per_run,
            duration_max: new.duration_max,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
        };
        check(&plan)?;
        let record = PlanRecord {
            plan,
            organizations: 0,
        };
        self.attempt(async || {
            let key = keys::plan(id);
            if planned && let Some(found) = self.find::<PlanRecord>(&key)? {
                return Ok(found.record.plan);
            }
            let owner = Owner::INSTALLATION;
            self.room(NameKind::Plan, owner, "plans", PLANS_MAX)?;
            self.insert(Commit::new(), key, owner, &record).await?;
            Ok(record.plan.clone())
        })
        .await
    }

    /// A plan.
    pub(crate) async fn plan(&self, plan: PlanId) -> Answer<Plan> {
        let found = self.read::<PlanRecord>(&keys::plan(plan))?;
        Ok(found.record.plan)
    }

    /// Plans.
    pub(crate) async fn plans(&self, query: &ListQuery) -> Answer<Page<Plan>> {
        let records = self.all::<PlanRecord>(&keys::plans(), PLANS_MAX)?;
        let plans = records.into_iter().map(|record| record.plan).collect();
        query.page(plans, |plan: &Plan| Place::new(plan.id.0, &plan.name))
    }

    /// Changes a plan; holds for runs that start afterwards.
    pub(crate) async fn update_plan(
        &self,
        plan: PlanId,
        change: UpdatePlan,
        expected: Option<u64>,
    ) -> Answer<Plan> {
        self.attempt(async || {
            let key = keys::plan(plan);
            let old = self.read::<PlanRecord>(&key)?;
            unchanged(expected, old.record.plan.revision)?;
            let mut new = old.record.clone();
            changed(&mut new.plan, change.clone());
            check(&new.plan)?;
            self.replace(Commit::new(), key, Owner::INSTALLATION, old, &new)
                .await?;
            Ok(new.plan)
        })
        .await
    }

    /// Deletes a plan.
    ///
    /// Errors: [`ObjectError::InUse`] where an organization has it.
    pub(crate) async fn delete_plan(&self, plan: PlanId, expected: Option<u64>) -> Answer<()> {
        self.attempt(async || {
            let key = keys::plan(plan);
            let old = self.read::<PlanRecord>(&key)?;
            unchanged(expected, old.record.plan.revision)?;
            let organizations = old.record.organizations;
            if organizations > 0 {
                let what = format!(
                    "{organizations} organizations have this plan; give them another one first"
                );
                return Err(ObjectError::InUse { what }.into());
            }
            self.remove(Commit::new(), key, Owner::INSTALLATION, old)
                .await
        })
        .await
    }

    /// Adds to `commit` that one organization more or less has a plan.
    pub(super) fn plan_use(
        &self,
        commit: Commit,
        plan: PlanId,
        more: bool,
    ) -> Result<Commit, Stop> {
        let key = keys::plan(plan);
        let Some(old) = self.find::<PlanRecord>(&key)? else {
            // What refers to a plan keeps it from being deleted, so only a new reference misses it.
            let detail = "there is no such plan; see GET /api/v1/plans";
            return Err(ObjectError::field("plan", "unknown", detail).into());
        };
        let mut new = old.record;
        new.organizations = if more {
            new.organizations.saturating_add(1)
        } else {
            new.organizations.saturating_sub(1)
        };
        Ok(commit
            .expect_unchanged(key.clone(), old.octets)
            .put(key, &new))
    }
}

fn changed(plan: &mut Plan, change: UpdatePlan) {
    let set = |field: &mut u32, new: Option<u32>| *field = new.unwrap_or(*field);
    set(
        &mut plan.concurrent_runs_per_project,
        change.concurrent_runs_per_project,
    );
    set(
        &mut plan.concurrent_runs_per_organization,
        change.concurrent_runs_per_organization,
    );
    set(&mut plan.concurrent_endpoints, change.concurrent_endpoints);
    set(&mut plan.endpoints_per_run, change.endpoints_per_run);
    plan.name = change.name.unwrap_or_else(|| plan.name.clone());
    plan.duration_max = change
        .duration_max
        .unwrap_or_else(|| plan.duration_max.clone());
    plan.revision += 1;
    plan.updated_unix_ms = now();
}

fn check(plan: &Plan) -> Answer<()> {
    let mut check = Check::default();
    check.name("name", &plan.name);
    check.duration(
        "duration_max",
        &plan.duration_max,
        DURATION_MIN,
        DURATION_MAX,
    );
    check.done()
}

/// Plans of an installation.
pub(super) const PLANS_MAX: usize = 1_000;
/// A test's own bounds: a second to a week.
const DURATION_MIN: Millis = Millis(1_000);
const DURATION_MAX: Millis = Millis(7 * 86_400_000);
