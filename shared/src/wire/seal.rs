//! SIP passwords on the bus: sealed to the key of the one process that needs them.
//!
//! A node makes a key pair at each start and says the public part in its renewals. The coordinator
//! sends a run's passwords only to it, only those of its share, in a sealed box (X25519,
//! XSalsa20-Poly1305), so that neither the NATS server nor a subscriber can read them.

use crypto_box::aead::OsRng;
use crypto_box::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Desired, EnvelopeError, decode, encode};
use crate::id::RunId;

/// The public part of a process's key; all 0: it has none, and is sent no password.
pub type PublicSealKey = [u8; 32];

/// A process's key: never leaves it, never printed.
#[derive(Clone)]
pub struct SealKey(SecretKey);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

/// Why passwords cannot be sealed or opened.
#[derive(Debug, Error)]
pub enum SealError {
    /// Not sealed to this key, or changed on the way.
    #[error("its passwords are not sealed to this process, or were changed on the way")]
    Foreign,
    /// Sealed for another run, or for accounts that are not there.
    #[error("its sealed passwords do not belong to its accounts")]
    Misplaced,
    /// They could not be written or read.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// What is inside.
#[derive(Serialize, Deserialize)]
struct Passwords {
    run: RunId,
    /// Group, place in the group, password.
    accounts: Vec<(u16, u32, String)>,
}

impl SealKey {
    /// A new one, from the system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretKey::generate(&mut OsRng))
    }

    /// What may be told.
    #[must_use]
    pub fn public(&self) -> PublicSealKey {
        *self.0.public_key().as_bytes()
    }

    /// Puts the sealed passwords back into the accounts. One without sealed passwords stays as it is.
    ///
    /// Errors: each variant of [`SealError`]; then nothing was changed.
    pub fn open(&self, desired: &mut Desired) -> Result<(), SealError> {
        if desired.sealed.is_empty() {
            return Ok(());
        }
        let content = self.0.unseal(&desired.sealed);
        let passwords: Passwords = decode(&content.map_err(|_| SealError::Foreign)?)?;
        let accounts = |group: u16| desired.test.groups.get(usize::from(group));
        let all_there = passwords.accounts.iter().all(|(group, place, _)| {
            accounts(*group).is_some_and(|group| group.accounts.len() > *place as usize)
        });
        if passwords.run != desired.run || !all_there {
            return Err(SealError::Misplaced);
        }
        for (group, place, password) in passwords.accounts {
            let group = desired.test.groups.get_mut(usize::from(group));
            if let Some(account) = group.and_then(|group| group.accounts.get_mut(place as usize)) {
                account.password = password;
            }
        }
        desired.sealed = Vec::new();
        Ok(())
    }
}

/// Takes all passwords out of the accounts, and seals those of its shares to a node's key.
///
/// Errors: [`SealError::Foreign`] where `to` is no key, [`SealError::Envelope`] where they are too
/// long for a message. No password is left in the open either way.
pub fn seal(desired: &mut Desired, to: &PublicSealKey) -> Result<(), SealError> {
    let mut accounts = Vec::new();
    for share in &desired.shares {
        let group = desired.test.groups.get_mut(share.group.index());
        let group = group.map_or(&mut [][..], |group| group.accounts.as_mut_slice());
        let places = (0u32..)
            .zip(group)
            .skip(share.first as usize)
            .take(share.count as usize);
        accounts.extend(
            places
                .filter(|(_, account)| !account.password.is_empty())
                .map(|(place, account)| {
                    (share.group.0, place, std::mem::take(&mut account.password))
                }),
        );
    }
    for account in desired
        .test
        .groups
        .iter_mut()
        .flat_map(|group| &mut group.accounts)
    {
        account.password.clear();
    }
    if accounts.is_empty() || *to == PublicSealKey::default() {
        return Ok(());
    }
    let content = encode(&Passwords {
        run: desired.run,
        accounts,
    })?;
    let sealed = PublicKey::from(*to).seal(&mut OsRng, &content);
    desired.sealed = sealed.map_err(|_| SealError::Foreign)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Test, parse};
    use crate::id::GroupIndex;
    use crate::wire::{DesiredState, Share};

    fn desired() -> Desired {
        let text = r#"
            name = "sealed"
            duration = "5s"
            [registrars.pbx]
            domain = "127.0.0.1"
            [groups.a]
            registrar = "pbx"
            accounts = { pattern = "user{1..4}", password = "canary-{username}" }
            receives = true
        "#;
        let test: Test = parse(text, "sealed", &|name| Err(std::io::Error::other(name))).unwrap();
        Desired {
            run: RunId(7),
            epoch: 1,
            sequence: 1,
            state: DesiredState::Prepared,
            test,
            shares: vec![Share {
                group: GroupIndex(0),
                first: 1,
                count: 2,
            }],
            sealed: Vec::new(),
            media: Vec::new(),
        }
    }

    fn passwords(desired: &Desired) -> Vec<&str> {
        let accounts = desired.test.groups.iter().flat_map(|group| &group.accounts);
        accounts.map(|account| account.password.as_str()).collect()
    }

    #[test]
    fn only_the_passwords_of_its_share_reach_a_node_and_none_in_the_open() {
        let key = SealKey::generate();
        let mut sent = desired();
        seal(&mut sent, &key.public()).unwrap();
        let octets = encode(&sent).unwrap();
        assert!(!octets.windows(6).any(|part| part == b"canary"));
        let mut got: Desired = decode(&octets).unwrap();
        assert_eq!(passwords(&got), ["", "", "", ""]);
        key.open(&mut got).unwrap();
        assert_eq!(passwords(&got), ["", "canary-user2", "canary-user3", ""]);
        // What came back is in the open again, so opening twice changes nothing.
        key.open(&mut got).unwrap();
        assert_eq!(passwords(&got).concat(), "canary-user2canary-user3");
    }

    #[test]
    fn what_is_not_for_it_does_not_open() {
        let key = SealKey::generate();
        let mut sent = desired();
        seal(&mut sent, &key.public()).unwrap();
        let other = SealKey::generate().open(&mut sent.clone());
        assert!(matches!(other, Err(SealError::Foreign)));
        let mut changed = sent.clone();
        *changed.sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(key.open(&mut changed), Err(SealError::Foreign)));
        let mut moved = sent.clone();
        moved.run = RunId(8);
        assert!(matches!(key.open(&mut moved), Err(SealError::Misplaced)));
        let mut fewer = sent;
        fewer.test.groups[0].accounts.truncate(2);
        assert!(matches!(key.open(&mut fewer), Err(SealError::Misplaced)));
        assert_eq!(passwords(&fewer), ["", ""]);
    }

    #[test]
    fn a_node_without_a_key_is_sent_none() {
        let mut sent = desired();
        seal(&mut sent, &PublicSealKey::default()).unwrap();
        assert_eq!(passwords(&sent).concat(), "");
        assert!(sent.sealed.is_empty());
    }
}
