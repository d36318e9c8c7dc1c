//! Saved tests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::api::{Page, Project, SavedTest, TestDefinition};
use shared::definition::{read_saved, saved_from_json};
use shared::id::{OrganizationId, ProjectId, TestId};

use super::check::Check;
use super::list::Place;
use super::repository::{Answer, Owner, Record, unchanged};
use super::{ListQuery, ObjectError, Objects, now};
use crate::store::Commit;
use crate::store::keys::{self, NameKind};

/// A test as it is stored. bincode cannot hold free JSON, so the definition is text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TestRecord {
    pub(super) id: TestId,
    pub(super) project: ProjectId,
    pub(super) name: String,
    pub(super) endpoints: u32,
    pub(super) revision: u64,
    pub(super) created_unix_ms: u64,
    pub(super) updated_unix_ms: u64,
    /// [`TestDefinition`] as JSON.
    pub(super) definition: String,
}

impl Record for TestRecord {
    const KIND: NameKind = NameKind::Test;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl TestRecord {
    fn to_api(&self) -> Answer<SavedTest> {
        let definition = serde_json::from_str(&self.definition)
            .map_err(|error| ObjectError::Storage(format!("test {}: {error}", self.id)))?;
        Ok(SavedTest {
            id: self.id,
            project: self.project,
            endpoints: self.endpoints,
            revision: self.revision,
            created_unix_ms: self.created_unix_ms,
            updated_unix_ms: self.updated_unix_ms,
            definition,
        })
    }
}

fn owner(organization: OrganizationId, project: ProjectId) -> Owner {
    Owner {
        organization,
        parent: project.0,
    }
}

impl Objects {
    /// Saves a test with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Errors: as [`Self::create_registrar`]; every fault of the definition at once.
    pub(crate) async fn create_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: TestDefinition,
        id: Option<TestId>,
    ) -> Answer<SavedTest> {
        let planned = id.is_some();
        let id = TestId(self.id(id.map(|id| id.0))?);
        let key = keys::test(organization, project, id);
        if planned && let Some(found) = self.find::<TestRecord>(&key)? {
            return found.record.to_api();
        }
        self.project(organization, project).await?;
        let (endpoints, text) = self.checked(organization, project, &definition)?;
        let at = now();
        let record = TestRecord {
            id,
            project,
            name: definition.name,
            endpoints,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
            definition: text,
        };
        self.attempt(async || {
            self.read::<Project>(&keys::project(organization, project))?;
            let owner = owner(organization, project);
            self.room(NameKind::Test, owner, "tests", TESTS_MAX)?;
            let commit = Commit::new().expect_present(keys::project(organization, project));
            self.insert(commit, key.clone(), owner, &record).await
        })
        .await?;
        record.to_api()
    }

    /// A saved test.
    pub(crate) async fn test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
    ) -> Answer<SavedTest> {
        let key = keys::test(organization, project, test);
        self.read::<TestRecord>(&key)?.record.to_api()
    }

    /// A project's tests.
    pub(crate) async fn tests(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        query: &ListQuery,
    ) -> Answer<Page<SavedTest>> {
        let (objects, query) = (self.clone(), query.clone());
        self.blocking(move || {
            let prefix = keys::tests(organization, project);
            let records = objects.all::<TestRecord>(&prefix, TESTS_MAX)?;
            let place = |own: &TestRecord| Place::new(own.id.0, &own.name);
            let Page { items, next_cursor } = query.page(records, place)?;
            let items: Answer<Vec<SavedTest>> = items.iter().map(TestRecord::to_api).collect();
            items.map(|items| Page { items, next_cursor })
        })
        .await
    }

    /// Puts another definition in a test's place.
    pub(crate) async fn replace_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        definition: TestDefinition,
        expected: Option<u64>,
    ) -> Answer<SavedTest> {
        self.change_test(organization, project, test, expected, |_| {
            Ok(definition.clone())
        })
        .await
    }

    /// Changes the keys that are there; null takes one away. `groups` is replaced whole.
    pub(crate) async fn patch_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        change: Map<String, Value>,
        expected: Option<u64>,
    ) -> Answer<SavedTest> {
        self.change_test(organization, project, test, expected, |old| {
            patched(old, &change)
        })
        .await
    }

    /// Deletes a test; its runs stay.
    pub(crate) async fn delete_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        expected: Option<u64>,
    ) -> Answer<()> {
        self.attempt(async || {
            let key = keys::test(organization, project, test);
            let old = self.read::<TestRecord>(&key)?;
            unchanged(expected, old.record.revision)?;
            let owner = owner(organization, project);
            self.remove(Commit::new(), key, owner, old).await
        })
        .await
    }

    async fn change_test(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        test: TestId,
        expected: Option<u64>,
        changed: impl Fn(TestDefinition) -> Answer<TestDefinition>,
    ) -> Answer<SavedTest> {
        self.attempt(async || {
            let key = keys::test(organization, project, test);
            let old = self.read::<TestRecord>(&key)?;
            unchanged(expected, old.record.revision)?;
            let definition = changed(old.record.to_api()?.definition)?;
            let (endpoints, text) = self.checked(organization, project, &definition)?;
            let new = TestRecord {
                name: definition.name,
                endpoints,
                revision: old.record.revision + 1,
                updated_unix_ms: now(),
                definition: text,
                ..old.record.clone()
            };
            let owner = owner(organization, project);
            self.replace(Commit::new(), key, owner, old, &new).await?;
            Ok(new.to_api()?)
        })
        .await
    }

    /// The number of endpoints and the text to store, or everything that is wrong.
    fn checked(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: &TestDefinition,
    ) -> Answer<(u32, String)> {
        let mut check = Check::default();
        check.name("name", &definition.name);
        for group in definition.groups.keys() {
            check.name(&format!("groups.{group}"), group);
        }
        let text = serde_json::to_string(definition)
            .map_err(|error| ObjectError::Storage(error.to_string()))?;
        if text.len() > DEFINITION_MAX {
            let detail = format!(
                "the test has {} octets; at most {DEFINITION_MAX} are kept",
                text.len()
            );
            check.add("groups", "too_long", detail);
            return check.done().map(|()| (0, text));
        }
        let registrars = self.every_registrar(organization, project)?;
        let media = self.every_media_file(organization, project)?;
        let media: Vec<&str> = media.iter().map(|file| file.name.as_str()).collect();
        let (saved, problems) = read_saved(definition, &registrars, &media);
        check.extend(problems);
        check.done()?;
        Ok((saved.test.endpoint_count(), text))
    }
}

fn patched(old: TestDefinition, change: &Map<String, Value>) -> Answer<TestDefinition> {
    let whole = serde_json::to_value(old);
    let mut whole = whole.map_err(|error| ObjectError::Storage(error.to_string()))?;
    if let Some(keys) = whole.as_object_mut() {
        for (key, value) in change {
            match value {
                Value::Null => keys.shift_remove(key),
                value => keys.insert(key.clone(), value.clone()),
            };
        }
    }
    saved_from_json(whole).map_err(ObjectError::Invalid)
}

/// Octets of a definition as JSON: 100 groups with everything said.
const DEFINITION_MAX: usize = 256 << 10;
/// Tests of a project.
const TESTS_MAX: usize = 5_000;
