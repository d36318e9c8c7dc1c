//! Keys of the control tree: a kind octet, then ids, big-endian, so that records of one owner lie
//! side by side in the order of their ids.
//!
//! No key is read back into its ids here: values say what they are. Text (user names, names, hashes)
//! only stands at the end of a key, so no key of fixed length is cut out of another one.

use shared::id::{
    AccountId, KeyId, MediaId, OrganizationId, PlanId, ProjectId, RegistrarId, RunId, TestId,
};

/// A key of the control tree; at most [`KEY_MAX`] octets.
pub(crate) type Key = Vec<u8>;

/// Octets of a key: a kind, four ids and a name of 128 octets fit.
pub(crate) const KEY_MAX: usize = 512;

// First octets. 0xF0 and above are the storage's own (`commit`, `control`).
const PLAN: u8 = 0x01;
const ORGANIZATION: u8 = 0x02;
const KEY: u8 = 0x03;
const PROJECT: u8 = 0x04;
const REGISTRAR: u8 = 0x05;
const ACCOUNT: u8 = 0x06;
const ACCOUNT_ID: u8 = 0x07;
const MEDIA: u8 = 0x08;
const TEST: u8 = 0x09;
const NAME: u8 = 0x0A;
const RUN: u8 = 0x0B;
const FROZEN: u8 = 0x0C;
const LEDGER: u8 = 0x0D;
const LEDGER_ID: u8 = 0x0E;
const IDEMPOTENCY: u8 = 0x0F;
const SETTING: u8 = 0x11;

/// Further parts of long records; never visible through `Control`.
pub(super) const PART: u8 = 0xF0;
/// The number of the newest commit.
pub(super) const SEQUENCE: u8 = 0xF1;

/// What kind of object a name stands for: names are unique within kind, organization and parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NameKind {
    /// Plans; organization and parent 0.
    Plan = 1,
    /// Organizations; organization and parent 0.
    Organization = 2,
    /// API keys of an organization; parent 0.
    Key = 3,
    /// Projects of an organization; parent 0.
    Project = 4,
    /// Registrars of a project.
    Registrar = 5,
    /// Media files of a project.
    Media = 6,
    /// Tests of a project.
    Test = 7,
}

fn key(kind: u8, ids: &[u64]) -> Key {
    let mut key = Vec::with_capacity(1 + 8 * ids.len());
    key.push(kind);
    for id in ids {
        key.extend_from_slice(&id.to_be_bytes());
    }
    key
}

fn with(mut key: Key, tail: &[u8]) -> Key {
    key.extend_from_slice(tail);
    key
}

/// A plan.
pub(crate) fn plan(plan: PlanId) -> Key {
    key(PLAN, &[plan.0])
}

/// Prefix of all plans.
pub(crate) fn plans() -> Key {
    key(PLAN, &[])
}

/// An organization.
pub(crate) fn organization(organization: OrganizationId) -> Key {
    key(ORGANIZATION, &[organization.0])
}

/// Prefix of all organizations.
pub(crate) fn organizations() -> Key {
    key(ORGANIZATION, &[])
}

/// An API key, found without knowing its organization.
pub(crate) fn api_key(id: KeyId) -> Key {
    key(KEY, &[id.0])
}

/// Prefix of all API keys.
pub(crate) fn api_keys() -> Key {
    key(KEY, &[])
}

/// A project.
pub(crate) fn project(organization: OrganizationId, project: ProjectId) -> Key {
    key(PROJECT, &[organization.0, project.0])
}

/// Prefix of an organization's projects.
pub(crate) fn projects(organization: OrganizationId) -> Key {
    key(PROJECT, &[organization.0])
}

/// Prefix of the projects of all organizations.
pub(crate) fn all_projects() -> Key {
    key(PROJECT, &[])
}

/// A registrar.
pub(crate) fn registrar(
    organization: OrganizationId,
    project: ProjectId,
    registrar: RegistrarId,
) -> Key {
    key(REGISTRAR, &[organization.0, project.0, registrar.0])
}

/// Prefix of a project's registrars.
pub(crate) fn registrars(organization: OrganizationId, project: ProjectId) -> Key {
    key(REGISTRAR, &[organization.0, project.0])
}

/// A SIP account by its user name.
pub(crate) fn account(organization: OrganizationId, registrar: RegistrarId, username: &str) -> Key {
    with(
        key(ACCOUNT, &[organization.0, registrar.0]),
        username.as_bytes(),
    )
}

/// Prefix of a registrar's accounts, in the order of their user names.
pub(crate) fn accounts(organization: OrganizationId, registrar: RegistrarId) -> Key {
    key(ACCOUNT, &[organization.0, registrar.0])
}

/// A SIP account's user name by its id.
pub(crate) fn account_id(
    organization: OrganizationId,
    registrar: RegistrarId,
    account: AccountId,
) -> Key {
    key(ACCOUNT_ID, &[organization.0, registrar.0, account.0])
}

/// Prefix of a registrar's account ids.
pub(crate) fn account_ids(organization: OrganizationId, registrar: RegistrarId) -> Key {
    key(ACCOUNT_ID, &[organization.0, registrar.0])
}

/// A media file's record.
pub(crate) fn media(organization: OrganizationId, project: ProjectId, media: MediaId) -> Key {
    key(MEDIA, &[organization.0, project.0, media.0])
}

/// Prefix of a project's media files.
pub(crate) fn all_media(organization: OrganizationId, project: ProjectId) -> Key {
    key(MEDIA, &[organization.0, project.0])
}

/// A saved test.
pub(crate) fn test(organization: OrganizationId, project: ProjectId, test: TestId) -> Key {
    key(TEST, &[organization.0, project.0, test.0])
}

/// Prefix of a project's tests.
pub(crate) fn tests(organization: OrganizationId, project: ProjectId) -> Key {
    key(TEST, &[organization.0, project.0])
}

/// Who has a name.
pub(crate) fn name(kind: NameKind, organization: OrganizationId, parent: u64, name: &str) -> Key {
    with(names(kind, organization, parent), name.as_bytes())
}

/// Prefix of the names of one parent's objects, in the order of the names.
pub(crate) fn names(kind: NameKind, organization: OrganizationId, parent: u64) -> Key {
    let mut key = vec![NAME, kind as u8];
    key.extend_from_slice(&organization.0.to_be_bytes());
    key.extend_from_slice(&parent.to_be_bytes());
    key
}

/// A run's record.
pub(crate) fn run(organization: OrganizationId, run: RunId) -> Key {
    key(RUN, &[organization.0, run.0])
}

/// Prefix of all runs of all organizations.
pub(crate) fn runs() -> Key {
    key(RUN, &[])
}

/// A test as it was frozen for runs, by the SHA-256 of its document.
pub(crate) fn frozen(organization: OrganizationId, sha256: &[u8; 32]) -> Key {
    with(key(FROZEN, &[organization.0]), sha256)
}

/// An entry of the ledger.
pub(crate) fn ledger(organization: OrganizationId, sequence: u64) -> Key {
    key(LEDGER, &[organization.0, sequence])
}

/// Prefix of an organization's ledger, oldest first.
pub(crate) fn ledger_of(organization: OrganizationId) -> Key {
    key(LEDGER, &[organization.0])
}

/// Prefix of all ledgers.
pub(crate) fn ledgers() -> Key {
    key(LEDGER, &[])
}

/// Where the entry with an id stands: its sequence.
pub(crate) fn ledger_id(id: &str) -> Key {
    with(key(LEDGER_ID, &[]), id.as_bytes())
}

/// What was answered to a request with an idempotency key.
pub(crate) fn idempotency(organization: OrganizationId, hash: &[u8]) -> Key {
    with(key(IDEMPOTENCY, &[organization.0]), hash)
}

/// Prefix of an organization's idempotency records.
pub(crate) fn idempotencies(organization: OrganizationId) -> Key {
    key(IDEMPOTENCY, &[organization.0])
}

/// A value of the service itself, such as what its first start did.
pub(crate) fn setting(name: &str) -> Key {
    with(key(SETTING, &[]), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_owner_lie_together_in_the_order_of_their_ids() {
        let (a, b) = (OrganizationId(1), OrganizationId(2));
        let mut keys = vec![
            run(b, RunId(1)),
            run(a, RunId(256)),
            run(a, RunId(3)),
            ledger(a, 9),
            ledger(a, 10),
        ];
        keys.sort();
        assert_eq!(
            keys,
            [
                run(a, RunId(3)),
                run(a, RunId(256)),
                run(b, RunId(1)),
                ledger(a, 9),
                ledger(a, 10),
            ]
        );
        assert!(project(a, ProjectId(7)).starts_with(&projects(a)));
        assert!(!project(b, ProjectId(7)).starts_with(&projects(a)));
        assert!(name(NameKind::Test, a, 3, "x").starts_with(&names(NameKind::Test, a, 3)));
    }

    #[test]
    fn the_longest_key_fits() {
        let text = "n".repeat(128);
        assert!(name(NameKind::Test, OrganizationId(1), 1, &text).len() < KEY_MAX);
    }
}
