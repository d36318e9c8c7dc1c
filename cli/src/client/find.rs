//! Finds objects by what people call them.

use anyhow::bail;
use serde::de::DeserializeOwned;
use shared::api::{Project, Registrar, SavedTest};

use super::api::{Api, encoded};
use crate::screen::figure::printable;

/// Something with an id and a name.
trait Named {
    fn id(&self) -> String;
    fn name(&self) -> &str;
}

impl Named for Project {
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for SavedTest {
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn name(&self) -> &str {
        &self.definition.name
    }
}

impl Named for Registrar {
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// The project that was named, or the only one.
pub(super) fn project(api: &Api, given: Option<&str>) -> anyhow::Result<Project> {
    if let Some(given) = given {
        return named(api, "projects", "project", given);
    }
    let mut projects: Vec<Project> = api.list("projects", SHOWN_MAX)?;
    match (projects.pop(), projects.len()) {
        (None, _) => bail!("there is no project yet: carillon projects create NAME"),
        (Some(only), 0) => Ok(only),
        (Some(last), _) => {
            projects.push(last);
            let names = projects.iter().map(|project| printable(&project.name));
            let names = names.collect::<Vec<_>>().join(", ");
            bail!("there are several projects; say which with --project: {names}")
        }
    }
}

/// A test of a project by its name or id.
pub(super) fn test(api: &Api, project: &Project, given: &str) -> anyhow::Result<SavedTest> {
    named(
        api,
        &format!("projects/{}/tests", project.id),
        "test",
        given,
    )
}

/// The test of this name, if there is one.
pub(super) fn test_named(
    api: &Api,
    project: &Project,
    name: &str,
) -> anyhow::Result<Option<SavedTest>> {
    exact(api, &format!("projects/{}/tests", project.id), name)
}

/// A registrar of a project by its name or id.
pub(super) fn registrar(api: &Api, project: &Project, given: &str) -> anyhow::Result<Registrar> {
    let path = format!("projects/{}/registrars", project.id);
    named(api, &path, "registrar", given)
}

/// The registrar of this name, if there is one.
pub(super) fn registrar_named(
    api: &Api,
    project: &Project,
    name: &str,
) -> anyhow::Result<Option<Registrar>> {
    exact(api, &format!("projects/{}/registrars", project.id), name)
}

fn named<T: Named + DeserializeOwned>(
    api: &Api,
    path: &str,
    kind: &str,
    given: &str,
) -> anyhow::Result<T> {
    if let Some(found) = exact::<T>(api, path, given)? {
        return Ok(found);
    }
    let is_id = given.len() == 16 && given.bytes().all(|octet| octet.is_ascii_hexdigit());
    if is_id {
        return Ok(api.get(&format!("{path}/{given}"))?);
    }
    let all: Vec<T> = api.list(path, SHOWN_MAX)?;
    if all.is_empty() {
        bail!("there is no {kind} `{given}`; there is none at all");
    }
    let names = all.iter().map(|object| printable(object.name()));
    let names = names.collect::<Vec<_>>().join(", ");
    bail!("there is no {kind} `{given}`; there are {names}")
}

/// The API finds names that hold a text; this is the one that is it.
fn exact<T: Named + DeserializeOwned>(
    api: &Api,
    path: &str,
    name: &str,
) -> anyhow::Result<Option<T>> {
    let found: Vec<T> = api.list(&format!("{path}?name={}", encoded(name)), FOUND_MAX)?;
    let mut same = found.into_iter().filter(|object| object.name() == name);
    let first = same.next();
    if let (Some(first), Some(second)) = (&first, same.next()) {
        bail!(
            "`{name}` is the name of {} and {}; give the id",
            first.id(),
            second.id()
        );
    }
    Ok(first)
}

/// Names listed in a message.
const SHOWN_MAX: usize = 20;
/// Objects whose names hold a text.
const FOUND_MAX: usize = 10_000;
