//! What the suites of the control plane begin with: an organization of its own, tests that need no
//! system under test, and the books as they must be.

use std::time::Duration;

use serde_json::{Value, json};
use shared::api::{
    CreatePlan, CreatedApiKey, LedgerEntry, Organization, Page, Plan, Project, Run, SavedTest,
    TransferKind,
};
use tests::{Api, Service, wait_for};

/// An organization with a plan, credits, an owner's key and a project.
pub(crate) struct Tenant {
    /// The API with the owner's key.
    pub(crate) api: Api,
    /// The organization.
    pub(crate) organization: Organization,
    /// Its project.
    pub(crate) project: Project,
    /// Its plan.
    pub(crate) plan: Plan,
}

/// A plan that forbids nothing.
pub(crate) fn wide(name: &str) -> CreatePlan {
    CreatePlan {
        name: name.to_owned(),
        concurrent_runs_per_project: 1_000,
        concurrent_runs_per_organization: 1_000,
        concurrent_endpoints: 100_000,
        endpoints_per_run: 10_000,
        duration_max: "1h".to_owned(),
    }
}

impl Tenant {
    /// Makes one with this plan and so many credits.
    pub(crate) fn new(service: &Service, plan: &CreatePlan, credits: f64) -> Self {
        let admin = service.api();
        let name = plan.name.clone();
        let plan: Plan = admin.make("plans", plan);
        let organization: Organization =
            admin.make("organizations", &json!({ "name": name, "plan": plan.id }));
        let id = organization.id;
        let granted: LedgerEntry = admin.make(
            &format!("organizations/{id}/credits"),
            &json!({ "credits": credits, "note": "for the test" }),
        );
        assert_eq!(granted.kind, TransferKind::Grant);
        let key: CreatedApiKey = admin.make(
            &format!("keys?organization={id}"),
            &json!({ "name": "owner", "role": "owner" }),
        );
        let api = admin.with_key(&key.secret);
        let project = api.make("projects", &json!({ "name": "lab" }));
        Self {
            api,
            organization,
            project,
            plan,
        }
    }

    /// The same, at a coordinator that was restarted.
    pub(crate) fn at(&self, service: &Service) -> Self {
        Self {
            api: service.api().with_key(self.api.key()),
            organization: self.organization.clone(),
            project: self.project.clone(),
            plan: self.plan.clone(),
        }
    }

    /// A further project.
    pub(crate) fn project(&self, name: &str) -> Project {
        self.api.make("projects", &json!({ "name": name }))
    }

    /// A test of calls between two groups, without a registrar and without media: it holds its slot
    /// and needs nobody. `endpoints` is even.
    pub(crate) fn waiting(&self, project: &Project, endpoints: u32, duration: &str) -> SavedTest {
        let name = format!("waiting-{endpoints}-{duration}");
        self.api.make(
            &format!("projects/{}/tests", project.id),
            &json!({
                "name": name, "duration": duration, "buildup": "0s", "groups": pair(endpoints / 2),
            }),
        )
    }

    /// Starts a test; 202 whatever becomes of the run.
    pub(crate) fn start(&self, test: &SavedTest) -> Run {
        let path = format!("projects/{}/tests/{}/runs", test.project, test.id);
        self.api.post(&path, &json!({})).expect(202).read()
    }

    /// The run, once it is there.
    pub(crate) fn wait(&self, run: &Run, done: impl Fn(&Run) -> bool) -> Run {
        wait_for(&self.api, &format!("runs/{}", run.id), PATIENCE, done)
    }

    /// The run at its end.
    pub(crate) fn ended(&self, run: &Run) -> Run {
        self.wait(run, |run| run.status.is_terminal() && run.used.is_some())
    }

    /// Asks for a stop.
    pub(crate) fn stop(&self, run: &Run) -> Run {
        let path = format!("runs/{}/stop", run.id);
        self.api.post(&path, &json!({})).expect(202).read()
    }

    /// The whole ledger, oldest first.
    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries: Vec<LedgerEntry> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<LedgerEntry> = self.api.read(&format!("ledger?limit=500{cursor}"));
            entries.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        entries.sort_by_key(|entry| entry.sequence);
        entries
    }

    /// The organization now.
    pub(crate) fn now(&self) -> Organization {
        self.api
            .read(&format!("organizations/{}", self.organization.id))
    }

    /// The books balance: no gap, one reserve and at most one settle a run, and each entry's balance
    /// is the one before it with this movement.
    pub(crate) fn books(&self) -> Vec<LedgerEntry> {
        let entries = self.ledger();
        let (mut available, mut reserved, mut spent) = (0_u64, 0_u64, 0_u64);
        let mut open = std::collections::BTreeMap::new();
        let mut closed = std::collections::BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            assert_eq!(entry.sequence, index as u64 + 1, "a gap: {entries:#?}");
            let amount = entry.amount.endpoint_ms;
            match (entry.kind, entry.run) {
                (TransferKind::Grant, None) => available += amount,
                (TransferKind::Reserve, Some(run)) => {
                    assert!(open.insert(run, amount).is_none(), "reserved twice: {run}");
                    available -= amount;
                    reserved += amount;
                }
                (TransferKind::Settle, Some(run)) => {
                    let held = open.get(&run).copied();
                    assert!(closed.insert(run), "settled twice: {run}");
                    let back = entry.returned.endpoint_ms;
                    assert_eq!(held, Some(amount + back), "{entry:#?}");
                    reserved -= amount + back;
                    spent += amount;
                    available += back;
                }
                other => panic!("{other:?} in the ledger"),
            }
            let balance = entry.balance;
            assert_eq!(
                (available, reserved, spent),
                (
                    balance.available.endpoint_ms,
                    balance.reserved.endpoint_ms,
                    balance.spent.endpoint_ms
                ),
                "{entry:#?}"
            );
        }
        let now = self.now().balance;
        assert_eq!(
            (available, reserved, spent),
            (
                now.available.endpoint_ms,
                now.reserved.endpoint_ms,
                now.spent.endpoint_ms
            ),
            "the balance shown is not that of the ledger"
        );
        entries
    }
}

/// Groups of so many callers and callees.
pub(crate) fn pair(calls: u32) -> Value {
    json!({
        "callers": { "count": calls, "media": "none", "calls": { "group": "callees" } },
        "callees": { "count": calls, "media": "none", "receives": true },
    })
}

/// Every invariant of the installation's books holds.
pub(crate) fn audit_holds(service: &Service) {
    let audit: Value = service.api().read("audit");
    let invariants = audit["invariants"].as_array().expect("invariants");
    assert!(invariants.len() >= 8, "{audit:#}");
    for invariant in invariants {
        assert_eq!(invariant["holds"], true, "{audit:#}");
    }
}

/// What a run on a machine that builds beside may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
