//! `carillon tests`.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use shared::api::{
    BulkResult, CreateRegistrar, MediaFile, Project, Registrar, SavedTest, UpdateRegistrar,
};
use shared::definition::{self, Test};
use ureq::http::Method;

use super::api::{Api, encoded};
use super::args::{TestsArguments, TestsCommand};
use super::definition::{accounts_csv, media_files, saved};
use super::find;
use super::table::{self, cell};
use crate::exit::Exit;
use crate::screen::draw::{Cell, Table};
use crate::screen::figure::count;
use crate::show::say;
use crate::test_file;

pub(super) fn run(api: &Api, arguments: &TestsArguments) -> anyhow::Result<Exit> {
    let project = find::project(api, arguments.project.project.as_deref())?;
    match &arguments.command {
        None | Some(TestsCommand::List) => list(api, &project)?,
        Some(TestsCommand::Show { test }) => {
            let test = find::test(api, &project, test)?;
            table::lines(&[serde_json::to_string_pretty(&test.definition)?])?;
        }
        Some(TestsCommand::Create { file, replace }) => {
            return create(api, &project, file, *replace);
        }
        Some(TestsCommand::Delete { test }) => {
            let test = find::test(api, &project, test)?;
            api.delete(&format!("projects/{}/tests/{}", project.id, test.id))?;
            table::lines(&[format!("deleted {}; its runs stay", test.definition.name)])?;
        }
    }
    Ok(Exit::Passed)
}

fn list(api: &Api, project: &Project) -> anyhow::Result<()> {
    let path = format!("projects/{}/tests", project.id);
    let tests: Vec<SavedTest> = api.list(&path, TESTS_MAX)?;
    let header = ["test", "id", "duration", "changed", "groups", "endpoints"];
    let mut table = Table::new(0..4, &header);
    for test in &tests {
        let duration = test.definition.duration.as_deref().unwrap_or("60s");
        table.row(vec![
            cell(&test.definition.name),
            Cell::new(test.id.to_string()),
            cell(duration),
            Cell::new(table::time(test.updated_unix_ms)),
            Cell::new(test.definition.groups.len().to_string()),
            Cell::new(count(u64::from(test.endpoints))),
        ]);
    }
    table::print(&table)
}

/// Saves a test file: what it needs first, the test itself last.
fn create(api: &Api, project: &Project, file: &Path, replace: bool) -> anyhow::Result<Exit> {
    let test = match test_file::load(file) {
        Ok(test) => test,
        Err(bad) => {
            bad.print(&mut std::io::stderr().lock())?;
            return Ok(Exit::BadInput);
        }
    };
    let present = find::test_named(api, project, &test.name)?;
    if let (Some(present), false) = (&present, replace) {
        bail!(
            "there is a test `{}` already ({}); --replace replaces it",
            test.name,
            present.id
        );
    }
    let text = std::fs::read_to_string(file)?;
    let definition = saved(&text, &test)?;
    let folder = test_file::folder(file);
    for media in media_files(&test) {
        upload_media(api, project, &folder.join(&media.path), &media.name)?;
    }
    for (index, registrar) in test.registrars.iter().enumerate() {
        let kept = keep_registrar(api, project, registrar)?;
        keep_accounts(api, project, &kept, &test, index)?;
    }
    let path = format!("projects/{}/tests", project.id);
    let saved: SavedTest = match present {
        Some(present) => api.send(Method::PUT, &format!("{path}/{}", present.id), &definition)?,
        None => api.send(Method::POST, &path, &definition)?,
    };
    table::lines(&[format!(
        "saved the test {} ({}): {} endpoints; start it: carillon start {}",
        saved.definition.name,
        saved.id,
        count(u64::from(saved.endpoints)),
        shell(&saved.definition.name),
    )])?;
    Ok(Exit::Passed)
}

fn keep_registrar(
    api: &Api,
    project: &Project,
    wanted: &definition::Registrar,
) -> anyhow::Result<Registrar> {
    let path = format!("projects/{}/registrars", project.id);
    let host = Some(&wanted.host)
        .filter(|host| **host != wanted.domain)
        .cloned();
    let Some(present) = find::registrar_named(api, project, &wanted.name)? else {
        let new = CreateRegistrar {
            name: wanted.name.clone(),
            domain: wanted.domain.clone(),
            host,
            port: Some(wanted.port),
            transport: wanted.transport,
            outbound_proxy: wanted.outbound_proxy.clone(),
            expires_s: wanted.expires_s,
        };
        let made = api.send(Method::POST, &path, &new)?;
        say(&format!("made the registrar {}", wanted.name));
        return Ok(made);
    };
    let same = present.domain == wanted.domain
        && present.host.as_ref().unwrap_or(&present.domain) == &wanted.host
        && present.port.unwrap_or(SIP_PORT) == wanted.port
        && present.transport == wanted.transport
        && present.outbound_proxy == wanted.outbound_proxy
        && present.expires_s == wanted.expires_s;
    if same {
        return Ok(present);
    }
    let change = UpdateRegistrar {
        name: None,
        domain: Some(wanted.domain.clone()),
        // Blank takes a value away.
        host: Some(host.unwrap_or_default()),
        port: Some(wanted.port),
        transport: Some(wanted.transport),
        outbound_proxy: Some(wanted.outbound_proxy.clone().unwrap_or_default()),
        expires_s: Some(wanted.expires_s),
    };
    let changed = api.send(Method::PATCH, &format!("{path}/{}", present.id), &change)?;
    say(&format!("changed the registrar {}", wanted.name));
    Ok(changed)
}

fn keep_accounts(
    api: &Api,
    project: &Project,
    registrar: &Registrar,
    test: &Test,
    index: usize,
) -> anyhow::Result<()> {
    let csv = accounts_csv(test, index);
    if csv.is_empty() {
        return Ok(());
    }
    let path = format!(
        "projects/{}/registrars/{}/accounts/bulk",
        project.id, registrar.id
    );
    let length = csv.len() as u64;
    let result: BulkResult = api.upload(&path, "text/csv", length, Cursor::new(csv), BULK_WAIT)?;
    say(&format!(
        "accounts at {}: {} new, {} updated",
        registrar.name,
        count(u64::from(result.created)),
        count(u64::from(result.updated)),
    ));
    Ok(())
}

/// A media file never changes: one of the same name must be the same.
fn upload_media(api: &Api, project: &Project, path: &Path, name: &str) -> anyhow::Result<()> {
    let octets = std::fs::read(path)?;
    let at = format!("projects/{}/media", project.id);
    let files: Vec<MediaFile> = api.list(&format!("{at}?name={}", encoded(name)), MEDIA_MAX)?;
    if let Some(present) = files.iter().find(|file| file.name == name) {
        let mut kept = Vec::new();
        let content = format!("{at}/{}/content", present.id);
        std::io::Read::read_to_end(&mut api.stream(&content, "audio/wav", None)?, &mut kept)?;
        if kept == octets {
            return Ok(());
        }
        bail!(
            "the project has another media file `{name}`; rename {} and what names it, or delete \
             that one first",
            path.display()
        );
    }
    let length = octets.len() as u64;
    let body = Cursor::new(octets);
    let to = format!("{at}?name={}", encoded(name));
    let _: MediaFile = api.upload(&to, "audio/wav", length, body, BULK_WAIT)?;
    say(&format!("uploaded {name}"));
    Ok(())
}

/// A name as it is typed into a shell.
fn shell(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

/// What the test file has where it names no port (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;
/// Listed at once.
const TESTS_MAX: usize = 10_000;
const MEDIA_MAX: usize = 10_000;
/// 100,000 accounts are stored in some seconds.
pub(super) const BULK_WAIT: Duration = Duration::from_secs(300);
