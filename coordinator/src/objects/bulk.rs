//! Many SIP accounts at once, from a pattern or a CSV file.
//!
//! Up to [`BULK_ATOMIC`] accounts are one commit: all or none. More are several such commits one
//! after the other; where one of them fails, the error says how many are stored, and a repeat of the
//! same request goes on, since existing user names get the new values.

use std::collections::HashSet;

use shared::api::{BulkAccounts, BulkResult, Registrar};
use shared::definition::{Account, field};
use shared::id::{AccountId, OrganizationId, ProjectId, RegistrarId};

use super::account::{AccountRecord, Home, check_account, count};
use super::check::Check;
use super::repository::Answer;
use super::{ObjectError, Objects, now};
use crate::store::Commit;

impl Objects {
    /// Imports accounts.
    ///
    /// Errors: [`ObjectError::Invalid`] with every fault (nothing was stored),
    /// [`ObjectError::TooMany`]. Bounds: 500,000 accounts at one registrar.
    pub(crate) async fn bulk_accounts(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        bulk: BulkAccounts,
    ) -> Answer<BulkResult> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        self.read::<Registrar>(&home.key())?;
        let mut rest = self.blocking(move || read(&bulk)).await?;
        let _one_at_a_time = self.lock_accounts(organization, registrar).await;
        let mut result = BulkResult::default();
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(BULK_ATOMIC));
            let batch = std::sync::Arc::new(std::mem::replace(&mut rest, later));
            let stored = self
                .attempt(async || {
                    let (objects, batch) = (self.clone(), std::sync::Arc::clone(&batch));
                    let written = self.blocking(move || objects.batch(home, &batch)).await?;
                    let (commit, counted) = written;
                    self.commit(commit).await?;
                    Ok(counted)
                })
                .await;
            let counted = stored.map_err(|error| partly(error, &result))?;
            result.created += counted.created;
            result.updated += counted.updated;
            result.accounts = counted.accounts;
        }
        Ok(result)
    }

    /// The commit of one batch, and what it makes.
    fn batch(&self, home: Home, accounts: &[Account]) -> Answer<(Commit, BulkResult)> {
        let owner = self.read::<Registrar>(&home.key())?;
        let sealer = &self.inner.sealer;
        let at = now();
        let mut commit = Commit::new();
        let mut result = BulkResult::default();
        for account in accounts {
            let place = home.account(&account.username);
            let record = match self.find::<AccountRecord>(&place)? {
                Some(old) => {
                    result.updated += 1;
                    let id = old.record.id;
                    AccountRecord {
                        revision: old.record.revision + 1,
                        created_unix_ms: old.record.created_unix_ms,
                        ..AccountRecord::new(sealer, home, id, account, at)?
                    }
                }
                None => {
                    result.created += 1;
                    let id = AccountId(self.id(None)?);
                    commit = commit.put(home.id(id), &account.username);
                    AccountRecord::new(sealer, home, id, account, at)?
                }
            };
            commit = commit.put(place, &record);
        }
        result.accounts = owner.record.accounts + result.created;
        let commit = count(commit, home, owner, i64::from(result.created))?;
        Ok((commit, result))
    }
}

/// Says how far a large import came.
fn partly(error: ObjectError, done: &BulkResult) -> ObjectError {
    let stored = done.created + done.updated;
    match error {
        ObjectError::Storage(why) if stored > 0 => ObjectError::Storage(format!(
            "{why}; {stored} accounts of this import are stored, a repeat goes on"
        )),
        other => other,
    }
}

/// The accounts of a request, or everything that is wrong with it.
fn read(bulk: &BulkAccounts) -> Answer<Vec<Account>> {
    let mut check = Check::default();
    let accounts = match (&bulk.pattern, &bulk.csv) {
        (Some(pattern), None) => from_pattern(&mut check, bulk, pattern),
        (None, Some(csv)) => {
            for (name, given) in [
                ("password", &bulk.password),
                ("auth_username", &bulk.auth_username),
                ("realm", &bulk.realm),
            ] {
                if given.is_some() {
                    let detail = "goes with `pattern`; a CSV file has a column for it";
                    check.add(name, "invalid", detail);
                }
            }
            from_csv(&mut check, csv)
        }
        (Some(_), Some(_)) => {
            check.add("csv", "invalid", "both `pattern` and `csv`; leave one out");
            Vec::new()
        }
        (None, None) => {
            let detail =
                "is missing; give `pattern` (\"user{0001..0500}\") and `password`, or `csv`";
            check.add("pattern", "missing", detail);
            Vec::new()
        }
    };
    check.done()?;
    Ok(accounts)
}

fn from_pattern(check: &mut Check, bulk: &BulkAccounts, pattern: &str) -> Vec<Account> {
    let Some(password) = &bulk.password else {
        let detail = "is missing; `{username}` in it stands for the user name: \"pw-{username}\"";
        check.add("password", "missing", detail);
        return Vec::new();
    };
    let names = match field::expand_pattern(pattern) {
        Ok(names) => names,
        Err(fault) => {
            check.fault("pattern", Some(fault));
            return Vec::new();
        }
    };
    let fill = |template: &str, name: &str| template.replace("{username}", name);
    let accounts: Vec<Account> = names
        .into_iter()
        .map(|username| Account {
            auth_username: bulk
                .auth_username
                .as_ref()
                .map_or_else(|| username.clone(), |given| fill(given, &username)),
            password: fill(password, &username),
            realm: bulk.realm.clone().filter(|realm| !realm.is_empty()),
            username,
        })
        .collect();
    // The last one has the longest name; the others differ in digits only.
    if let Some(last) = accounts.last() {
        let mut own = Check::default();
        check_account(&mut own, "", last);
        if let Err(ObjectError::Invalid(problems)) = own.done() {
            for problem in problems {
                let field = match problem.field.as_str() {
                    "username" => "pattern",
                    other => other,
                };
                check.add(field, &problem.code, problem.detail);
            }
        }
    }
    accounts
}

fn from_csv(check: &mut Check, csv: &str) -> Vec<Account> {
    let accounts = match field::csv_accounts(csv.as_bytes()) {
        Ok(accounts) => accounts,
        Err(faults) => {
            for (line, fault) in faults {
                check.add(
                    &format!("csv[{line}]"),
                    "invalid",
                    format!("line {line}: {fault}"),
                );
            }
            return Vec::new();
        }
    };
    let mut seen = HashSet::with_capacity(accounts.len());
    for account in &accounts {
        let name = &account.username;
        if !seen.insert(name.as_str()) {
            let detail = format!("`{name}` stands twice; leave one out");
            check.add("csv", "duplicate", detail);
        }
        let mut own = Check::default();
        check_account(&mut own, "", account);
        if let Err(ObjectError::Invalid(problems)) = own.done() {
            for problem in problems {
                let detail = format!("`{name}`: {} {}", problem.field, problem.detail);
                check.add("csv", &problem.code, detail);
            }
        }
    }
    accounts
}

/// Accounts of a bulk import that are stored all or not at all.
pub(crate) const BULK_ATOMIC: usize = 10_000;
