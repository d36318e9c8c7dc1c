//! Which endpoint of a shard a SIP message is for. Responses carry the endpoint's slot in the top
//! branch, requests in the user part of our Contact; calls of strangers are found by Call-ID, and
//! their first INVITE by user name or by any free receiver (DESIGN 3). Pure.

use rustc_hash::FxHashMap;
use sip::wire::{Message, Method};
use smol_str::SmolStr;

/// Call-IDs of strangers that may be claimed at once; further ones are refused and counted.
const CLAIMS_MAX: usize = 200_000;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this endpoint.
    Slot(u32),
    /// A first INVITE for nobody in particular: any free receiver at this port.
    AnyReceiver,
    /// A request that nobody here knows.
    Nobody,
    /// A response that nobody here waits for.
    Stray,
}

/// The tables of one shard.
#[derive(Debug, Default)]
pub struct Demux {
    contacts: FxHashMap<u32, SmolStr>,
    users: FxHashMap<SmolStr, u32>,
    claims: FxHashMap<SmolStr, u32>,
    refused: u64,
}

impl Demux {
    /// Adds an endpoint with its Contact user and its account's user name.
    pub fn add(&mut self, slot: u32, contact_user: SmolStr, user: SmolStr) {
        self.contacts.insert(slot, contact_user);
        self.users.insert(user, slot);
    }

    /// Removes an endpoint.
    pub fn remove(&mut self, slot: u32, user: &str) {
        self.contacts.remove(&slot);
        if self.users.get(user) == Some(&slot) {
            self.users.remove(user);
        }
    }

    /// A foreign Call-ID leads to `slot` from now on. False: the table is full.
    pub fn claim(&mut self, call_id: &str, slot: u32) -> bool {
        if self.claims.len() >= CLAIMS_MAX {
            self.refused += 1;
            return false;
        }
        self.claims.insert(call_id.into(), slot);
        true
    }

    /// The Call-ID's call is over.
    pub fn release(&mut self, call_id: &str) {
        self.claims.remove(call_id);
    }

    /// Refused claims so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Where `message` goes.
    #[must_use]
    pub fn route(&self, message: &Message) -> Route {
        if !message.is_request() {
            let slot = message
                .branch()
                .and_then(|branch| slot_of_branch(branch.as_bytes()));
            return match slot.filter(|slot| self.contacts.contains_key(slot)) {
                Some(slot) => Route::Slot(slot),
                None => Route::Stray,
            };
        }
        let user = request_user(message.request_uri());
        if let Some(slot) = slot_of_contact(user)
            && self
                .contacts
                .get(&slot)
                .is_some_and(|contact| contact == user)
        {
            return Route::Slot(slot);
        }
        if let Some(slot) = self.claims.get(message.call_id()) {
            return Route::Slot(*slot);
        }
        if let Some(slot) = self.users.get(user) {
            return Route::Slot(*slot);
        }
        let begins = matches!(message.method(), Some(Method::Invite)) && message.to_tag().is_none();
        if begins {
            Route::AnyReceiver
        } else {
            Route::Nobody
        }
    }
}

/// The user part of an endpoint's Contact.
#[must_use]
pub fn contact_user(user: &str, slot: u32) -> SmolStr {
    SmolStr::new(format!("{user}.{slot:x}"))
}

/// The branch prefix (behind the magic cookie) of an endpoint.
#[must_use]
pub fn branch_prefix(slot: u32) -> SmolStr {
    SmolStr::new(format!("{slot:x}-"))
}

/// The slot in a branch of ours.
pub(super) fn slot_of_branch(branch: &[u8]) -> Option<u32> {
    let unique = branch.strip_prefix(b"z9hG4bK")?;
    let digits = unique.iter().position(|octet| *octet == b'-')?;
    let digits = std::str::from_utf8(unique.get(..digits)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

fn slot_of_contact(user: &str) -> Option<u32> {
    let (_, digits) = user.rsplit_once('.')?;
    u32::from_str_radix(digits, 16).ok()
}

/// The user part of a SIP URI's text, escapes left as they are.
fn request_user(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    rest.rsplit_once('@')
        .map_or("", |(user, _)| user.split(':').next().unwrap_or(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_ride_in_branches_and_contacts() {
        let branch = format!("z9hG4bK{}abc", branch_prefix(0x1f));
        assert_eq!(slot_of_branch(branch.as_bytes()), Some(0x1f));
        assert_eq!(slot_of_contact(&contact_user("bob.smith", 300)), Some(300));
        assert_eq!(slot_of_branch(b"z9hG4bKforeign"), None);
        assert_eq!(slot_of_branch(b""), None);
    }

    #[test]
    fn the_user_of_a_request_uri_is_found_in_odd_uris() {
        for (uri, user) in [
            ("sip:bob.1@127.0.0.1:5060", "bob.1"),
            ("sip:bob:secret@host", "bob"),
            ("sip:127.0.0.1", ""),
            ("sip:a@b@[::1]:5060;lr", "a@b"),
            ("tel:+123", ""),
            ("", ""),
        ] {
            assert_eq!(request_user(uri), user, "{uri}");
        }
    }
}
