//! Single values, checked as a test file's are: for the API's objects and the configuration.
//!
//! Owns nothing but the way to the parsers of the file's parts.

use std::net::IpAddr;

use super::super::Account;
use super::{accounts, csv, registrar, target, wav};

pub use super::wav::WavFormat;

/// What is wrong with a host name or address; none where nothing is. `key`: its name in the sentence.
#[must_use]
pub fn host_fault(key: &str, text: &str) -> Option<String> {
    registrar::host_message(key, text)
}

/// `host` or `host:port`, made `host:port`.
///
/// Errors: a sentence that says what would be right.
pub fn proxy(text: &str) -> Result<String, String> {
    registrar::proxy_value(text)
}

/// Why a user name cannot stand in a SIP URI; none where it can.
#[must_use]
pub fn username_fault(name: &str) -> Option<String> {
    accounts::user_fault(name)
}

/// `user{0001..0200}` to its names; zeros in front of the first number set the width.
///
/// Errors: a sentence that says what would be right. Bounds: 200,000 names.
pub fn expand_pattern(pattern: &str) -> Result<Vec<String>, String> {
    accounts::expand(pattern)
}

/// The accounts of a CSV file (docs/TESTFILE.md), or its faults with their lines from 1.
///
/// Bounds: 200,000 accounts, ten faults.
pub fn csv_accounts(octets: &[u8]) -> Result<Vec<Account>, Vec<(usize, String)>> {
    let read = csv::accounts(octets);
    if read.faults.is_empty() {
        Ok(read.accounts)
    } else {
        Err(read.faults)
    }
}

/// The format of a WAV file that the engine can play, or what is wrong with it.
pub fn wav_format(octets: &[u8]) -> Result<WavFormat, String> {
    wav::format(octets)
}

/// The host of a `sip:` URI; none where the URI is not valid.
#[must_use]
pub fn uri_host(uri: &str) -> Option<String> {
    target::uri_host(uri).ok()
}

/// The address, where a host is one and not a name; in brackets or not.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    target::literal(host)
}
