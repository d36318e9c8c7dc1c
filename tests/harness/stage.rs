//! What a run over the API needs: a project, a registrar with accounts, a test.

use std::time::Duration;

use serde_json::json;
use shared::api::{BulkResult, Project, Registrar, Run, SavedTest};
use shared::id::RunId;

use crate::{Api, wait_for};

/// A project with one registrar, on which tests are put.
#[derive(Clone, Debug)]
pub struct Stage {
    api: Api,
    /// The project.
    pub project: Project,
    /// Its registrar `pbx`.
    pub registrar: Registrar,
}

impl Stage {
    /// Makes the project, and the registrar `pbx` at this port of 127.0.0.1 with the accounts
    /// `user0001` to `userNNNN`, whose passwords are `pw-NAME`.
    ///
    /// # Panics
    /// Where one cannot be made.
    #[must_use]
    pub fn new(api: &Api, name: &str, port: u16, accounts: u32) -> Self {
        Self::at_host(api, name, "127.0.0.1", port, accounts)
    }

    /// The same with the registrar on another host.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn at_host(api: &Api, name: &str, host: &str, port: u16, accounts: u32) -> Self {
        let project: Project = api.make("projects", &json!({ "name": name }));
        let at = format!("projects/{}/registrars", project.id);
        let body = json!({ "name": "pbx", "domain": host, "port": port });
        let registrar: Registrar = api.make(&at, &body);
        let stage = Self {
            api: api.clone(),
            project,
            registrar,
        };
        if accounts > 0 {
            let pattern = format!("user{{0001..{accounts:04}}}");
            let body = json!({ "pattern": pattern, "password": "pw-{username}" });
            let made: BulkResult = api.make(&stage.path("accounts/bulk"), &body);
            assert_eq!(made.accounts, accounts);
        }
        stage
    }

    /// The same, at a coordinator that was restarted.
    #[must_use]
    pub fn at(&self, api: &Api) -> Self {
        Self {
            api: api.clone(),
            ..self.clone()
        }
    }

    /// A path below the registrar.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        let (project, registrar) = (self.project.id, self.registrar.id);
        format!("projects/{project}/registrars/{registrar}/{rest}")
    }

    /// A test of so many callers that each call a callee.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn pairs(&self, name: &str, pairs: u32, duration: &str) -> SavedTest {
        self.test(json!({
            "name": name,
            "duration": duration,
            "buildup": "1s",
            "groups": {
                "callers": { "count": pairs, "registrar": "pbx", "calls": { "group": "callees" } },
                "callees": { "count": pairs, "registrar": "pbx", "receives": true },
            },
        }))
    }

    /// Any test.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn test(&self, definition: serde_json::Value) -> SavedTest {
        let at = format!("projects/{}/tests", self.project.id);
        self.api.make(&at, &definition)
    }

    /// Starts a run, which the answer shows in whatever status.
    ///
    /// # Panics
    /// Where it is not answered with 202.
    #[must_use]
    pub fn start(&self, test: &SavedTest) -> Run {
        let at = format!("projects/{}/tests/{}/runs", self.project.id, test.id);
        self.api.post(&at, &json!({})).expect(202).read()
    }

    /// Waits for a status of a run that `done` accepts.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait(&self, run: RunId, within: Duration, done: impl Fn(&Run) -> bool) -> Run {
        wait_for(&self.api, &format!("runs/{run}"), within, done)
    }

    /// Waits for a run's end.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_for_end(&self, run: RunId, within: Duration) -> Run {
        self.wait(run, within, |run| run.status.is_terminal())
    }
}
