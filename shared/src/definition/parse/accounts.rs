//! `accounts = { pattern = … }`, `accounts = [ … ]` or `accounts = { csv = … }`.

use super::super::Account;
use super::super::mistake::Mistakes;
use super::csv;
use super::section::{Field, Given, Section};
use super::target::is_user;
use super::{ReadFile, Source, csv::CsvAccounts};

/// Accounts of one group, before they are cut to its count.
pub(super) enum AccountsDraft {
    /// The key is not there.
    Absent,
    /// It is there and wrong; said already.
    Broken,
    Given(Given<Vec<Account>>),
}

pub(super) fn read(
    section: &mut Section<'_, '_>,
    source: Source<'_>,
    mistakes: &mut Mistakes<'_>,
) -> AccountsDraft {
    let Some(field) = section.take("accounts") else {
        return AccountsDraft::Absent;
    };
    let before = mistakes.count();
    let file = match source {
        Source::File(file) => file,
        Source::Saved { .. } => {
            let accounts = picked(&field, mistakes);
            if mistakes.count() > before {
                return AccountsDraft::Broken;
            }
            return AccountsDraft::Given(field.given(accounts));
        }
    };
    let accounts = if let Some(elements) = field.elements() {
        list(&elements, mistakes)
    } else if let Some(inner) = field.section() {
        table(&field, inner, file, mistakes)
    } else {
        field.wrong_type(
            "{ pattern = \"user{0001..0100}\", password = \"…\" }, { csv = \"FILE\" } or a list",
            mistakes,
        );
        return AccountsDraft::Broken;
    };
    if mistakes.count() > before {
        return AccountsDraft::Broken;
    }
    AccountsDraft::Given(field.given(accounts))
}

fn table(
    field: &Field<'_, '_>,
    mut inner: Section<'_, '_>,
    file: ReadFile<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Account> {
    match (inner.has("pattern"), inner.has("csv")) {
        (true, false) => pattern(inner, mistakes),
        (false, true) => {
            let path = inner.text("csv", mistakes);
            inner.finish(mistakes);
            path.map_or_else(Vec::new, |path| from_csv(&path, file, mistakes))
        }
        (true, true) => {
            mistakes.add(&field.spot, "has both `pattern` and `csv`; leave one out");
            Vec::new()
        }
        (false, false) => {
            let message = "needs `pattern` or `csv`: { pattern = \"user{0001..0100}\", password = \
                           \"pw-{username}\" } or { csv = \"accounts.csv\" }";
            mistakes.add(&field.spot, message);
            Vec::new()
        }
    }
}

/// A saved test only says which of the registrar's accounts: by user name, without passwords.
fn picked(field: &Field<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<Account> {
    let Some(mut inner) = field.section() else {
        mistakes.add(&field.spot, PICK);
        return Vec::new();
    };
    for secret in ["password", "auth_username", "realm", "csv"] {
        if inner.take(secret).is_some() {
            let mut spot = field.spot.clone();
            spot.key = format!("{}.{secret}", spot.key);
            mistakes.add(&spot, format!("is the account's, not the test's; {PICK}"));
        }
    }
    let pattern = inner.required_text("pattern", "user{0001..0100}", mistakes);
    inner.finish(mistakes);
    let Some(pattern) = pattern else {
        return Vec::new();
    };
    let names = match expand(&pattern.value) {
        Ok(names) => names,
        Err(message) => {
            mistakes.add(&pattern.spot, message);
            return Vec::new();
        }
    };
    if let Some(fault) = names.first().and_then(|name| user_fault(name)) {
        mistakes.add(&pattern.spot, fault);
        return Vec::new();
    }
    names
        .into_iter()
        .map(|username| Account {
            auth_username: String::new(),
            password: String::new(),
            realm: None,
            username,
        })
        .collect()
}

const PICK: &str = "store accounts at the registrar (POST …/registrars/ID/accounts), and leave \
                    `accounts` out to take any free ones of them, or write {\"pattern\": \
                    \"user{0001..0100}\"}";

fn list(elements: &[Field<'_, '_>], mistakes: &mut Mistakes<'_>) -> Vec<Account> {
    let mut accounts = Vec::with_capacity(elements.len());
    for element in elements {
        let Some(mut inner) = element.section() else {
            element.wrong_type("{ username = \"alice\", password = \"…\" }", mistakes);
            continue;
        };
        let username = inner.required_text("username", "alice", mistakes);
        let secrets = Secrets::read(&mut inner, mistakes);
        inner.finish(mistakes);
        let Some(username) = username else { continue };
        match user_fault(&username.value) {
            Some(fault) => mistakes.add(&username.spot, fault),
            None => accounts.push(secrets.account(username.value)),
        }
    }
    accounts
}

fn pattern(mut inner: Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<Account> {
    let pattern = inner.text("pattern", mistakes);
    let secrets = Secrets::read(&mut inner, mistakes);
    inner.finish(mistakes);
    let Some(pattern) = pattern else {
        return Vec::new();
    };
    let names = match expand(&pattern.value) {
        Ok(names) => names,
        Err(message) => {
            mistakes.add(&pattern.spot, message);
            return Vec::new();
        }
    };
    if let Some(fault) = names.first().and_then(|name| user_fault(name)) {
        mistakes.add(&pattern.spot, fault);
        return Vec::new();
    }
    names
        .into_iter()
        .map(|name| secrets.account(name))
        .collect()
}

/// What accounts of one pattern, or one element, share. `{username}` stands for the user name.
struct Secrets {
    password: String,
    auth_username: Option<String>,
    realm: Option<String>,
}

impl Secrets {
    fn read(inner: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Self {
        let value = |given: Option<Given<String>>| given.map(|given| given.value);
        Self {
            password: value(inner.required_text("password", "pw-{username}", mistakes))
                .unwrap_or_default(),
            auth_username: value(inner.text("auth_username", mistakes)),
            realm: value(inner.text("realm", mistakes)),
        }
    }

    fn account(&self, username: String) -> Account {
        let fill = |template: &str| template.replace("{username}", &username);
        Account {
            auth_username: self
                .auth_username
                .as_deref()
                .map_or_else(|| username.clone(), fill),
            password: fill(&self.password),
            realm: self.realm.clone(),
            username,
        }
    }
}

/// `user{0001..0200}` to its names; zeros in front of the first number set the width.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let wrong = || {
        format!(
            "`{pattern}` is no pattern; write one range in braces, such as \"user{{0001..0200}}\""
        )
    };
    let Some((before, rest)) = pattern.split_once('{') else {
        return if pattern.contains('}') {
            Err(wrong())
        } else {
            Ok(vec![pattern.to_owned()])
        };
    };
    let (range, after) = rest.split_once('}').ok_or_else(wrong)?;
    let (first, last) = range.split_once("..").ok_or_else(wrong)?;
    if after.contains(['{', '}']) {
        return Err(wrong());
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            text.parse::<u32>().ok()
        } else {
            None
        }
    };
    let (low, high) = number(first).zip(number(last)).ok_or_else(wrong)?;
    if high < low {
        return Err(format!(
            "`{{{range}}}` runs backwards; write {{{last}..{first}}}"
        ));
    }
    if high - low >= ACCOUNTS_MAX {
        return Err(format!(
            "`{{{range}}}` is more than {ACCOUNTS_MAX} accounts"
        ));
    }
    let width = if first.starts_with('0') {
        first.len()
    } else {
        0
    };
    Ok((low..=high)
        .map(|n| format!("{before}{n:0width$}{after}"))
        .collect())
}

fn from_csv(path: &Given<String>, file: ReadFile<'_>, mistakes: &mut Mistakes<'_>) -> Vec<Account> {
    let octets = match file(&path.value) {
        Ok(octets) => octets,
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.value);
            mistakes.add(&path.spot, message);
            return Vec::new();
        }
    };
    let CsvAccounts { accounts, faults } = csv::accounts(&octets);
    for (line, fault) in faults {
        mistakes.add(&path.spot, format!("{} line {line}: {fault}", path.value));
    }
    accounts
}

/// Why a user name cannot stand in a SIP URI.
pub(super) fn user_fault(name: &str) -> Option<String> {
    if let Some((user, _)) = name.split_once('@') {
        return Some(format!(
            "`{name}` holds a domain; write \"{user}\", the registrar has the domain"
        ));
    }
    let odd = name.chars().find(|c| !is_user(*c));
    odd.map(|c| format!("`{name}` holds {c:?}, which cannot stand in the user part of a SIP URI"))
}

/// Accounts of one group; above any run's endpoints.
pub(super) const ACCOUNTS_MAX: u32 = 200_000;
