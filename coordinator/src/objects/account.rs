//! SIP accounts, one by one.
//!
//! A registrar's record counts its accounts, so every account that comes or goes changes both in
//! one commit. Changes of one registrar's accounts wait for each other here.

use serde::{Deserialize, Serialize};
use shared::api::{CreateAccount, Page, Registrar, SipAccount, UpdateAccount};
use shared::definition::{Account, field};
use shared::id::{AccountId, OrganizationId, ProjectId, RegistrarId};

use super::check::{Check, HOST_MAX};
use super::list::Place;
use super::repository::{Answer, Read, unchanged};
use super::seal::{Bound, Sealer};
use super::{ListQuery, ObjectError, Objects, Sort, now};
use crate::store::{Commit, Key, keys};

/// An account as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct AccountRecord {
    pub(super) id: AccountId,
    pub(super) username: String,
    pub(super) auth_username: String,
    pub(super) realm: Option<String>,
    /// The password; see `seal`.
    pub(super) sealed: Vec<u8>,
    pub(super) password_set_unix_ms: u64,
    pub(super) revision: u64,
    pub(super) created_unix_ms: u64,
    pub(super) updated_unix_ms: u64,
}

impl AccountRecord {
    /// A new account.
    pub(super) fn new(
        sealer: &Sealer,
        home: Home,
        id: AccountId,
        account: &Account,
        at: u64,
    ) -> Answer<Self> {
        let bound = home.bound(&account.username);
        Ok(Self {
            id,
            sealed: sealer.seal(&bound, account.password.as_bytes())?,
            username: account.username.clone(),
            auth_username: account.auth_username.clone(),
            realm: account.realm.clone(),
            password_set_unix_ms: at,
            revision: 1,
            created_unix_ms: at,
            updated_unix_ms: at,
        })
    }

    /// With its password in clear, for a run. Errors: where the password does not open.
    pub(super) fn open(&self, sealer: &Sealer, home: Home) -> Answer<Account> {
        let failed = || {
            let why = format!("the password of account {} does not open", self.id);
            ObjectError::Storage(why)
        };
        let password = sealer
            .open(&home.bound(&self.username), &self.sealed)
            .ok_or_else(failed)?;
        Ok(Account {
            username: self.username.clone(),
            auth_username: self.auth_username.clone(),
            password: String::from_utf8(password).map_err(|_| failed())?,
            realm: self.realm.clone(),
        })
    }

    fn to_api(&self, registrar: RegistrarId) -> SipAccount {
        SipAccount {
            id: self.id,
            registrar,
            username: self.username.clone(),
            auth_username: self.auth_username.clone(),
            realm: self.realm.clone(),
            password_set_unix_ms: self.password_set_unix_ms,
            revision: self.revision,
            created_unix_ms: self.created_unix_ms,
            updated_unix_ms: self.updated_unix_ms,
        }
    }
}

/// Whose accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) organization: OrganizationId,
    pub(super) project: ProjectId,
    pub(super) registrar: RegistrarId,
}

impl Home {
    pub(super) fn key(self) -> Key {
        keys::registrar(self.organization, self.project, self.registrar)
    }

    pub(super) fn account(self, username: &str) -> Key {
        keys::account(self.organization, self.registrar, username)
    }

    pub(super) fn id(self, account: AccountId) -> Key {
        keys::account_id(self.organization, self.registrar, account)
    }

    pub(super) fn accounts(self) -> Key {
        keys::accounts(self.organization, self.registrar)
    }

    fn bound(self, username: &str) -> Bound<'_> {
        Bound {
            organization: self.organization.0,
            owner: self.registrar.0,
            name: username.as_bytes(),
            field: "password",
        }
    }
}

impl Objects {
    /// Makes an account with the id `id` (none: a new one); where it is there already, answers it.
    ///
    /// Errors: [`ObjectError::Invalid`], [`ObjectError::NameTaken`], [`ObjectError::TooMany`].
    pub(crate) async fn create_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        new: CreateAccount,
        id: Option<AccountId>,
    ) -> Answer<SipAccount> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        let account = Account {
            auth_username: new.auth_username.unwrap_or_else(|| new.username.clone()),
            username: new.username,
            password: new.password,
            realm: new.realm.filter(|realm| !realm.is_empty()),
        };
        let mut check = Check::default();
        check_account(&mut check, "", &account);
        check.done()?;
        let planned = id.is_some();
        let id = AccountId(self.id(id.map(|id| id.0))?);
        let record = AccountRecord::new(&self.inner.sealer, home, id, &account, now())?;
        let _one_at_a_time = self.lock_accounts(organization, registrar).await;
        self.attempt(async || {
            let old = self.read::<Registrar>(&home.key())?;
            let place = home.account(&record.username);
            if let Some(found) = self.find::<AccountRecord>(&place)? {
                if planned && found.record.id == id {
                    return Ok(found.record.to_api(registrar));
                }
                return Err(ObjectError::NameTaken { field: "username" }.into());
            }
            let commit = Commit::new()
                .expect_absent(place.clone())
                .put(place, &record)
                .put(home.id(id), &record.username);
            self.commit(count(commit, home, old, 1)?).await?;
            Ok(record.to_api(registrar))
        })
        .await
    }

    /// An account.
    pub(crate) async fn account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
    ) -> Answer<SipAccount> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        self.read::<Registrar>(&home.key())?;
        let found = self.find_account(home, account)?;
        Ok(found.record.to_api(registrar))
    }

    /// A registrar's accounts; the name in the query is the user name. Sorted by name they come in
    /// the order of the octets of their user names, as runs take them.
    pub(crate) async fn accounts(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        query: &ListQuery,
    ) -> Answer<Page<SipAccount>> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        self.read::<Registrar>(&home.key())?;
        let (limit, after) = (query.checked_limit()?, query.after()?);
        let (objects, query) = (self.clone(), query.clone());
        self.blocking(move || objects.account_page(home, &query, limit, after))
            .await
    }

    /// Changes an account; holds for runs that start afterwards.
    pub(crate) async fn update_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
        change: UpdateAccount,
        expected: Option<u64>,
    ) -> Answer<SipAccount> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        let _one_at_a_time = self.lock_accounts(organization, registrar).await;
        self.attempt(async || {
            self.read::<Registrar>(&home.key())?;
            let old = self.find_account(home, account)?;
            unchanged(expected, old.record.revision)?;
            let mut new = old.record.clone();
            let mut check = Check::default();
            if let Some(name) = &change.auth_username {
                new.auth_username.clone_from(name);
                check.name("auth_username", name);
            }
            if let Some(realm) = &change.realm {
                new.realm = Some(realm.clone()).filter(|realm| !realm.is_empty());
                check.text("realm", realm, HOST_MAX);
            }
            if let Some(password) = &change.password {
                check.password("password", password);
                let sealer = &self.inner.sealer;
                new.sealed = sealer.seal(&home.bound(&new.username), password.as_bytes())?;
                new.password_set_unix_ms = now();
            }
            check.done()?;
            new.revision += 1;
            new.updated_unix_ms = now();
            let place = home.account(&new.username);
            let commit = Commit::new()
                .expect_present(home.key())
                .expect_unchanged(place.clone(), old.octets)
                .put(place, &new);
            self.commit(commit).await?;
            Ok(new.to_api(registrar))
        })
        .await
    }

    /// Deletes an account. A run that has it keeps it to its end.
    pub(crate) async fn delete_account(
        &self,
        organization: OrganizationId,
        project: ProjectId,
        registrar: RegistrarId,
        account: AccountId,
        expected: Option<u64>,
    ) -> Answer<()> {
        let home = Home {
            organization,
            project,
            registrar,
        };
        let _one_at_a_time = self.lock_accounts(organization, registrar).await;
        self.attempt(async || {
            let owner = self.read::<Registrar>(&home.key())?;
            let old = self.find_account(home, account)?;
            unchanged(expected, old.record.revision)?;
            let place = home.account(&old.record.username);
            let commit = Commit::new()
                .expect_unchanged(place.clone(), old.octets)
                .delete(place)
                .delete(home.id(account))
                .urgent();
            self.commit(count(commit, home, owner, -1)?).await
        })
        .await
    }

    fn find_account(&self, home: Home, account: AccountId) -> Answer<Read<AccountRecord>> {
        let username = self.read::<String>(&home.id(account))?.record;
        self.read::<AccountRecord>(&home.account(&username))
    }

    /// A page of accounts without reading more of them than it must.
    fn account_page(
        &self,
        home: Home,
        query: &ListQuery,
        limit: usize,
        after: Option<Place>,
    ) -> Answer<Page<SipAccount>> {
        let mut items: Vec<SipAccount> = Vec::new();
        let mut at = after.map(|place| match query.sort {
            Sort::Created | Sort::Newest => home.id(AccountId(place.id)),
            Sort::Name | Sort::NameDescending => home.account(&place.name),
        });
        loop {
            let (records, last) = self.accounts_from(home, query.sort, at.as_ref())?;
            for record in records {
                if !query.wants(&record.username) {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last();
                    let next_cursor =
                        next.map(|item| Place::new(item.id.0, &item.username).cursor());
                    return Ok(Page { items, next_cursor });
                }
                items.push(record.to_api(home.registrar));
            }
            if last.is_none() {
                let next_cursor = None;
                return Ok(Page { items, next_cursor });
            }
            at = last;
        }
    }

    /// The next accounts in an order, and where they end; none where there are no more.
    fn accounts_from(
        &self,
        home: Home,
        sort: Sort,
        at: Option<&Key>,
    ) -> Answer<(Vec<AccountRecord>, Option<Key>)> {
        let control = &self.inner.control;
        let ids = keys::account_ids(home.organization, home.registrar);
        let found: Vec<(Key, AccountRecord)> = match sort {
            Sort::Name => control.scan(&home.accounts(), at, CHUNK)?,
            Sort::NameDescending => control.scan_back(&home.accounts(), at, CHUNK)?,
            Sort::Created | Sort::Newest => {
                let names: Vec<(Key, String)> = if sort == Sort::Created {
                    control.scan(&ids, at, CHUNK)?
                } else {
                    control.scan_back(&ids, at, CHUNK)?
                };
                let mut found = Vec::with_capacity(names.len());
                let last = names.last().map(|(key, _)| key.clone());
                for (key, name) in names {
                    // Deleted between the two reads: not listed.
                    if let Some(read) = self.find::<AccountRecord>(&home.account(&name))? {
                        found.push((key, read.record));
                    }
                }
                let records = found.into_iter().map(|(_, record)| record).collect();
                return Ok((records, last));
            }
        };
        let last = found.last().map(|(key, _)| key.clone());
        Ok((found.into_iter().map(|(_, record)| record).collect(), last))
    }
}

/// Adds to `commit` that a registrar has so many accounts more or less.
pub(super) fn count(commit: Commit, home: Home, old: Read<Registrar>, more: i64) -> Answer<Commit> {
    let accounts = (i64::from(old.record.accounts) + more).max(0);
    let accounts = u32::try_from(accounts).unwrap_or(u32::MAX);
    if more > 0 && accounts as usize > ACCOUNTS_MAX {
        return Err(ObjectError::TooMany {
            what: "accounts of one registrar",
            limit: ACCOUNTS_MAX,
        });
    }
    let new = Registrar {
        accounts,
        ..old.record
    };
    let commit = commit.expect_unchanged(home.key(), old.octets);
    Ok(commit.put(home.key(), &new))
}

/// Checks what an account holds; `at` stands before each field's name.
pub(super) fn check_account(check: &mut Check, at: &str, account: &Account) {
    let path = |field: &str| format!("{at}{field}");
    check.name(&path("username"), &account.username);
    check.fault(&path("username"), field::username_fault(&account.username));
    check.name(&path("auth_username"), &account.auth_username);
    check.password(&path("password"), &account.password);
    if let Some(realm) = &account.realm {
        check.text(&path("realm"), realm, HOST_MAX);
    }
}

/// Accounts of one registrar.
pub(super) const ACCOUNTS_MAX: usize = 500_000;
/// Accounts read at once for a page.
const CHUNK: usize = 512;
