//! A saved test made runnable: its registrars, the accounts it may take, the files it plays, the
//! networks it may send to; all as they are now.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use shared::api::{Problem, Registrar, TestDefinition};
use shared::definition::{
    Account, Media, Network, SavedDefinition, Target, Test, field, read_saved,
};
use shared::id::{AccountId, OrganizationId, ProjectId, RegistrarId};

use super::account::{ACCOUNTS_MAX, AccountRecord, Home};
use super::pool::Pool;
use super::repository::Answer;
use super::{Objects, now};

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

impl Objects {
    /// Makes a definition runnable with what the project has now. What is wrong is in
    /// [`Assembled::problems`]: it is a run's end, not an error.
    ///
    /// `operator_allow`: the networks that the operator lets runs send to, besides loopback.
    pub(crate) async fn assemble(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: &TestDefinition,
        operator_allow: &[Network],
    ) -> Answer<Assembled> {
        self.project(organization, project).await?;
        let objects = self.clone();
        let (definition, allow) = (definition.clone(), operator_allow.to_vec());
        self.blocking(move || objects.assembled(organization, project, &definition, &allow))
            .await
    }

    fn assembled(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        definition: &TestDefinition,
        operator_allow: &[Network],
    ) -> Answer<Assembled> {
        let registrars = self.every_registrar(organization, project)?;
        let files = self.every_media_file(organization, project)?;
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let (saved, faults) = read_saved(definition, &registrars, &names);
        let mut problems: Vec<Problem> = faults
            .into_iter()
            .map(|fault| {
                let sentence = format!("{}: {}.", fault.field, fault.detail);
                Problem::new(run_code(&fault.code), sentence)
            })
            .collect();
        let SavedDefinition {
            mut test,
            account_patterns,
        } = saved;
        allow_targets(&mut test, definition, operator_allow, &mut problems);
        for group in &mut test.groups {
            if let Media::Wav { path } = &mut group.media
                && let Some(file) = files.iter().find(|file| file.name == *path)
            {
                *path = self.media_path(project, file.id).display().to_string();
            }
        }
        // The same for all groups of a registrar, also where it is too large to be kept.
        let mut whole: HashMap<RegistrarId, Pool> = HashMap::new();
        let mut pools = Vec::new();
        for (index, group) in test.groups.iter().enumerate() {
            let name = group
                .registrar
                .and_then(|at| test.registrars.get(usize::from(at)));
            let registrar = name.and_then(|used| registrars.iter().find(|r| r.name == used.name));
            let Some(registrar) = registrar else { continue };
            let home = Home {
                organization,
                project,
                registrar: registrar.id,
            };
            let candidates = match account_patterns.get(index).and_then(Option::as_ref) {
                Some(names) => self.picked(home, names)?,
                None => match whole.get(&registrar.id) {
                    Some(pool) => Pool::clone(pool),
                    None => {
                        let pool = self.every_account(home)?;
                        whole.insert(registrar.id, Pool::clone(&pool));
                        pool
                    }
                },
            };
            pools.push(GroupPool {
                group: u16::try_from(index).unwrap_or(u16::MAX),
                registrar: registrar.id,
                candidates,
            });
        }
        Ok(Assembled {
            document: document(definition, &registrars, &test),
            test,
            pools,
            problems,
        })
    }

    fn picked(&self, home: Home, names: &[String]) -> Answer<Pool> {
        let mut picked = Vec::with_capacity(names.len());
        for name in names {
            if let Some(found) = self.find::<AccountRecord>(&home.account(name))? {
                picked.push((
                    found.record.id,
                    found.record.open(&self.inner.sealer, home)?,
                ));
            }
        }
        picked.sort_by(|(_, left), (_, right)| left.username.cmp(&right.username));
        Ok(picked.into())
    }

    fn every_account(&self, home: Home) -> Answer<Pool> {
        let (pools, key) = (&self.inner.pools, (home.organization, home.registrar));
        let before = match pools.get(key, now()) {
            Ok(pool) => return Ok(pool),
            Err(before) => before,
        };
        let records = self.all::<AccountRecord>(&home.accounts(), ACCOUNTS_MAX)?;
        let sealer = &self.inner.sealer;
        let accounts: Answer<Vec<(AccountId, Account)>> = records
            .iter()
            .map(|record| Ok((record.id, record.open(sealer, home)?)))
            .collect();
        let pool = Pool::from(accounts?);
        pools.keep(key, &pool, before, now());
        Ok(pool)
    }
}

/// The reason code of a run that a fault of its test prevents.
fn run_code(fault: &str) -> &str {
    match fault {
        "media_missing" => "media_file_missing",
        "registrar_missing" => "registrar_missing",
        "target_not_allowed" => "target_not_allowed",
        _ => "test_invalid",
    }
}

/// Gives the test the networks it may send to: its own, each inside the operator's, or all of them;
/// and says which addresses it names lie outside.
fn allow_targets(
    test: &mut Test,
    definition: &TestDefinition,
    operator: &[Network],
    problems: &mut Vec<Problem>,
) {
    let refused = |sentence: String| Problem::new("target_not_allowed", sentence);
    if definition.allow_targets.is_some() {
        for own in &test.allow_targets {
            if !operator.iter().any(|network| covers(network, own)) && !is_loopback(own) {
                problems.push(refused(format!(
                    "The test's allow_targets holds {}/{}, which the operator does not allow; allowed are {}.",
                    own.address,
                    own.prefix,
                    list(operator)
                )));
            }
        }
        let allowed =
            |own: &Network| is_loopback(own) || operator.iter().any(|network| covers(network, own));
        test.allow_targets.retain(allowed);
    } else {
        test.allow_targets = operator.to_vec();
    }
    if definition
        .allow_targets
        .as_ref()
        .is_some_and(|own| !own.is_empty())
    {
        // What the test names was held against its own list when it was read.
        return;
    }
    let mut named: Vec<(String, String)> = Vec::new();
    for registrar in &test.registrars {
        let host = match &registrar.outbound_proxy {
            Some(proxy) => proxy
                .rsplit_once(':')
                .map_or(proxy.as_str(), |(host, _)| host),
            None => &registrar.host,
        };
        named.push((
            format!("The registrar `{}`", registrar.name),
            host.to_owned(),
        ));
    }
    for group in &test.groups {
        if let (Target::Uri(uri), None) = (&group.target, group.registrar)
            && let Some(host) = field::uri_host(uri)
        {
            named.push((format!("The group `{}`", group.name), host));
        }
    }
    for (who, host) in named {
        let Some(address) = field::literal(&host).map(|address| address.to_canonical()) else {
            // A name is checked when it is resolved, at the socket.
            continue;
        };
        let inside = |network: &Network| network.contains(address);
        if !address.is_loopback() && !test.allow_targets.iter().any(inside) {
            problems.push(refused(format!(
                "{who} sends to {address}, which is not an allowed target; allowed are {}. The operator lists networks in the configuration of the coordinator.",
                list(&test.allow_targets)
            )));
        }
    }
}

fn list(networks: &[Network]) -> String {
    let mut text = String::from("loopback");
    for network in networks {
        text.push_str(&format!(", {}/{}", network.address, network.prefix));
    }
    text
}

/// True where every address of `inner` is one of `outer`.
fn covers(outer: &Network, inner: &Network) -> bool {
    let prefix = |network: &Network| match network.address.to_canonical() {
        IpAddr::V4(_) => network.prefix.min(32),
        IpAddr::V6(_) => network.prefix.min(128),
    };
    prefix(outer) <= prefix(inner) && outer.contains(inner.address)
}

fn is_loopback(network: &Network) -> bool {
    match network.address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() && network.prefix >= 8,
        IpAddr::V6(address) => address.is_loopback() && network.prefix >= 128,
    }
}

/// The frozen copy: what was asked for and the registrars as they were.
fn document(definition: &TestDefinition, registrars: &[Registrar], test: &Test) -> Value {
    let mut document = match serde_json::to_value(definition) {
        Ok(Value::Object(document)) => document,
        // A definition is an object with text keys, so this is never taken.
        _ => Map::new(),
    };
    let used = |registrar: &&Registrar| {
        test.registrars
            .iter()
            .any(|used| used.name == registrar.name)
    };
    let copies: Map<String, Value> = registrars
        .iter()
        .filter(used)
        .map(|registrar| {
            let copy = json!({
                "id": registrar.id,
                "revision": registrar.revision,
                "domain": registrar.domain,
                "host": registrar.host,
                "port": registrar.port,
                "transport": registrar.transport,
                "outbound_proxy": registrar.outbound_proxy,
                "expires_s": registrar.expires_s,
            });
            (registrar.name.clone(), copy)
        })
        .collect();
    document.insert("registrars".to_owned(), Value::Object(copies));
    Value::Object(document)
}
