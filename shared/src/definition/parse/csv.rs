//! Accounts from a CSV file: `username,password[,auth_username][,realm]`, with or without a
//! header line, separated by commas or semicolons. Quoting follows RFC 4180.

use super::super::Account;
use super::accounts::{ACCOUNTS_MAX, user_fault};

/// What a CSV file held: accounts, and faults with the line each is on.
pub(super) struct CsvAccounts {
    pub(super) accounts: Vec<Account>,
    pub(super) faults: Vec<(usize, String)>,
}

pub(super) fn accounts(octets: &[u8]) -> CsvAccounts {
    let mut read = CsvAccounts {
        accounts: Vec::new(),
        faults: Vec::new(),
    };
    let Ok(text) = std::str::from_utf8(octets) else {
        read.faults.push((1, "is not UTF-8 text".to_owned()));
        return read;
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut columns: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    let mut separator = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let first = separator.is_none();
        let separator = *separator.get_or_insert(if line.contains(';') { ';' } else { ',' });
        let Some(cells) = cells(line, separator) else {
            read.faults
                .push((number, "has a quote that is not closed".to_owned()));
            continue;
        };
        let is_header = first
            && cells
                .iter()
                .any(|cell| cell.eq_ignore_ascii_case("username"));
        if is_header {
            columns = cells.iter().map(|cell| cell.to_ascii_lowercase()).collect();
            if let Some(fault) = header_fault(&columns) {
                read.faults.push((number, fault));
                return read;
            }
            continue;
        }
        if read.accounts.len() >= ACCOUNTS_MAX as usize {
            let fault = format!("is one account too many; a file holds at most {ACCOUNTS_MAX}");
            read.faults.push((number, fault));
            break;
        }
        match account(&columns, &cells) {
            Ok(account) => read.accounts.push(account),
            Err(fault) => read.faults.push((number, fault)),
        }
        if read.faults.len() >= FAULTS_MAX {
            break;
        }
    }
    if read.accounts.is_empty() && read.faults.is_empty() {
        read.faults.push((1, "holds no account".to_owned()));
    }
    read
}

fn header_fault(columns: &[String]) -> Option<String> {
    let odd = columns
        .iter()
        .find(|column| !COLUMNS.contains(&column.as_str()));
    if let Some(odd) = odd {
        return Some(format!(
            "unknown column `{odd}`; known are {}",
            COLUMNS.join(", ")
        ));
    }
    let missing = ["username", "password"]
        .into_iter()
        .find(|wanted| !columns.iter().any(|column| column == wanted));
    missing.map(|wanted| format!("the column `{wanted}` is missing"))
}

fn account(columns: &[String], cells: &[String]) -> Result<Account, String> {
    if cells.len() > columns.len() {
        return Err(format!(
            "has {} cells; at most {} are known",
            cells.len(),
            columns.len()
        ));
    }
    let cell = |wanted: &str| {
        let index = columns.iter().position(|column| column == wanted)?;
        cells.get(index).filter(|cell| !cell.is_empty()).cloned()
    };
    let username = cell("username").ok_or("has no username")?;
    if let Some(fault) = user_fault(&username) {
        return Err(fault);
    }
    Ok(Account {
        auth_username: cell("auth_username").unwrap_or_else(|| username.clone()),
        password: cell("password").ok_or("has no password")?,
        realm: cell("realm"),
        username,
    })
}

/// The cells of a line, or none where a quote stays open.
fn cells(line: &str, separator: char) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            c if c == separator && !quoted => {
                cells.push(std::mem::take(&mut cell).trim().to_owned())
            }
            c => cell.push(c),
        }
    }
    cells.push(cell.trim().to_owned());
    (!quoted).then_some(cells)
}

/// The columns, in the order they have without a header line.
const COLUMNS: [&str; 4] = ["username", "password", "auth_username", "realm"];

/// Faults told of one file; the rest is alike.
const FAULTS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_and_without_header_are_read() {
        let plain = accounts(b"alice,secret\r\nbob,\"a,b\"\"c\"\n\n# note\n");
        assert_eq!(plain.faults, []);
        assert_eq!(plain.accounts[1].password, "a,b\"c");
        let headed = accounts("\u{feff}Password;Realm;Username\npw;example.com;carol\n".as_bytes());
        assert_eq!(headed.faults, []);
        assert_eq!(headed.accounts[0].username, "carol");
        assert_eq!(headed.accounts[0].realm.as_deref(), Some("example.com"));
    }

    #[test]
    fn every_bad_line_is_told() {
        let read = accounts(b"alice,pw\nbob\n,x\nc d,pw\ne,\"pw\nf@h,pw\ng,p,a,r,z\n");
        let lines: Vec<usize> = read.faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
        assert_eq!(read.accounts.len(), 1);
        assert_eq!(accounts(b"username,colour\n").faults[0].0, 1);
        assert_eq!(accounts(b"\xff\xfe").faults.len(), 1);
        assert_eq!(accounts(b"").faults.len(), 1);
    }
}
