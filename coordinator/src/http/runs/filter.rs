//! Query parameters of the lists of runs and of endpoints, as conditions.

use serde::Deserialize;
use shared::api::Role;
use shared::id::{ProjectId, TestId};
use shared::phase::RunStatus;
use shared::result::Verdict;

use crate::core::record::RunRecord;
use crate::http::auth::Caller;
use crate::http::page::Query;
use crate::http::problem::ApiError;

/// Which runs a list has.
#[derive(Clone, Debug, Default)]
pub(super) struct RunFilter {
    project: Option<ProjectId>,
    test: Option<TestId>,
    statuses: Vec<RunStatus>,
    verdicts: Vec<Verdict>,
    label: Option<String>,
    pinned: Option<bool>,
    from_unix_ms: Option<u64>,
    to_unix_ms: Option<u64>,
}

/// The parameters of [`RunFilter`]; lists of one test have all but the first.
pub(super) const RUN_FILTERS: [&str; 7] =
    ["test", "status", "verdict", "label", "pinned", "from", "to"];

impl RunFilter {
    /// Reads the parameters. Errors: 400 naming the parameter.
    pub(super) fn of(query: &Query) -> Result<Self, ApiError> {
        let moment = "milliseconds since 1970";
        Ok(Self {
            project: None,
            test: query.parsed("test", "the id of a test")?,
            statuses: names(
                query,
                "status",
                "names of statuses, such as RUNNING,STOPPING",
            )?,
            verdicts: names(query, "verdict", "names of verdicts, such as passed,failed")?,
            label: query.text("label").map(str::to_lowercase),
            pinned: query.parsed("pinned", "true or false")?,
            from_unix_ms: query.parsed("from", moment)?,
            to_unix_ms: query.parsed("to", moment)?,
        })
    }

    /// The same, only of a project, or of one of its tests.
    pub(super) fn within(mut self, project: ProjectId, test: Option<TestId>) -> Self {
        self.project = Some(project);
        self.test = test.or(self.test);
        self
    }

    /// Whether a run is asked for and may be seen.
    pub(super) fn takes(&self, caller: &Caller, run: &RunRecord) -> bool {
        self.project.is_none_or(|project| project == run.project)
            && self.test.is_none_or(|test| test == run.test)
            && (self.statuses.is_empty() || self.statuses.contains(&run.status()))
            && (self.verdicts.is_empty()
                || run
                    .verdict
                    .is_some_and(|verdict| self.verdicts.contains(&verdict)))
            && self.pinned.is_none_or(|pinned| pinned == run.pinned)
            && self
                .from_unix_ms
                .is_none_or(|from| run.created_unix_ms >= from)
            && self.to_unix_ms.is_none_or(|to| run.created_unix_ms < to)
            && self
                .label
                .as_ref()
                .is_none_or(|label| run.label.to_lowercase().contains(label))
            && caller.role_in(run.project) >= Some(Role::Viewer)
    }
}

/// A parameter that lists names of an enum, with commas between them.
///
/// Errors: 400 where one of them is unknown; `what` says what would be right.
pub(super) fn names<T: for<'a> Deserialize<'a>>(
    query: &Query,
    name: &'static str,
    what: &str,
) -> Result<Vec<T>, ApiError> {
    list(query, name)
        .map(|text| {
            serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
                let detail = format!("`{name}` has to be {what}; it has `{text}`");
                ApiError::bad_field("bad_parameter", name, detail)
            })
        })
        .collect()
}

/// What a parameter lists, with commas between. At most [`LISTED_MAX`] are looked at.
pub(super) fn list<'a>(query: &'a Query, name: &str) -> impl Iterator<Item = &'a str> {
    let text = query.text(name).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .take(LISTED_MAX)
}

/// Names in one parameter; more than any of our enums, groups or metrics have is no use.
const LISTED_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::api::{ApiKey, ProjectRole};
    use shared::id::{KeyId, OrganizationId, RunId};
    use shared::result::StatusMove;

    use super::*;
    use crate::{objects, testing};

    fn caller() -> Caller {
        Caller::new(Arc::new(objects::Caller::of(ApiKey {
            id: KeyId(1),
            organization: OrganizationId(1),
            name: "key".to_owned(),
            role: Some(Role::Viewer),
            projects: vec![ProjectRole {
                project: ProjectId(9),
                role: None,
            }],
            operator: false,
            expires_unix_ms: None,
            revoked_unix_ms: None,
            last_used_unix_ms: None,
            revision: 1,
            created_unix_ms: 0,
            updated_unix_ms: 0,
        })))
    }

    fn run() -> RunRecord {
        RunRecord {
            project: ProjectId(3),
            test: TestId(4),
            label: "Build 77".to_owned(),
            pinned: true,
            started_by: KeyId(1),
            history: vec![StatusMove {
                status: RunStatus::Completed,
                at_unix_ms: 1,
                reason: String::new(),
                sentence: String::new(),
            }],
            verdict: Some(Verdict::Passed),
            ..testing::record(RunId(1))
        }
    }

    fn filter(text: &str) -> Result<RunFilter, ApiError> {
        RunFilter::of(&Query::parse(text, &RUN_FILTERS)?)
    }

    #[test]
    fn each_filter_takes_what_it_says() {
        for (text, takes) in [
            ("", true),
            ("status=COMPLETED", true),
            ("status=RUNNING,COMPLETED", true),
            ("status=RUNNING", false),
            ("verdict=passed", true),
            ("verdict=failed,threshold_crossed", false),
            ("label=build", true),
            ("label=78", false),
            ("pinned=true", true),
            ("pinned=false", false),
            ("from=1000&to=1001", true),
            ("from=1001", false),
            ("to=1000", false),
            ("test=0000000000000004", true),
            ("test=0000000000000005", false),
        ] {
            assert_eq!(
                filter(text).unwrap().takes(&caller(), &run()),
                takes,
                "{text}"
            );
        }
    }

    #[test]
    fn a_project_that_is_not_seen_has_no_runs() {
        let hidden = RunRecord {
            project: ProjectId(9),
            ..run()
        };
        let all = filter("").unwrap();
        assert!(!all.takes(&caller(), &hidden));
        let project = |id| all.clone().within(ProjectId(id), None);
        assert!(project(3).takes(&caller(), &run()));
        assert!(!project(2).takes(&caller(), &run()));
        let other = all.within(ProjectId(3), Some(TestId(5)));
        assert!(!other.takes(&caller(), &run()));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, field) in [
            ("status=running", "status"),
            ("verdict=good", "verdict"),
            ("pinned=yes", "pinned"),
            ("from=-1", "from"),
            ("test=x", "test"),
        ] {
            let error = filter(text).unwrap_err();
            assert_eq!(error.errors[0].field, field, "{text}");
            assert_eq!(error.status.as_u16(), 400);
        }
    }
}
