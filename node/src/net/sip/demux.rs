//! Which endpoint of a shard a SIP message is for. Responses carry the endpoint's slot in the top
//! branch, requests in the user part of our Contact; calls of strangers are found by Call-ID, and
//! their first INVITE by user name or by any free receiver (DESIGN 3). Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use sip::wire::{Message, Method};
use smol_str::SmolStr;

/// Call-IDs of strangers that may be claimed at once; further ones are refused and counted.
const CLAIMS_MAX: usize = 200_000;
/// A released Call-ID still leads to its endpoint for this long: the ACK of a refusal and the
/// repetitions of its INVITE carry neither our Contact nor our branch (Timer H, RFC 3261 §17.2.1).
const LINGER: Duration = Duration::from_secs(32);
/// Released Call-IDs that linger; beyond these the oldest goes at once.
const LINGERING_MAX: usize = 10_000;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this endpoint.
    Slot(u32),
    /// A first INVITE for nobody in particular: any free receiver at this port.
    AnyReceiver,
    /// An OPTIONS for nobody in particular: any receiver that is ready answers it, busy or not.
    AnyReady,
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
    claims: FxHashMap<SmolStr, Claim>,
    lingering: VecDeque<(Instant, SmolStr)>,
    refused: u64,
}

/// The endpoint that a foreign Call-ID leads to.
#[derive(Clone, Copy, Debug)]
struct Claim {
    slot: u32,
    /// Set once the call is over.
    until: Option<Instant>,
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
        let claim = Claim { slot, until: None };
        self.claims.insert(call_id.into(), claim);
        true
    }

    /// The Call-ID's call is over, or did not begin; it lingers for what is still under way.
    pub fn release(&mut self, call_id: &str, now: Instant) {
        if let Some((call_id, claim)) = self.claims.get_key_value(call_id)
            && claim.until.is_none()
        {
            let (call_id, slot) = (call_id.clone(), claim.slot);
            let until = now + LINGER;
            self.lingering.push_back((until, call_id.clone()));
            let claim = Claim {
                slot,
                until: Some(until),
            };
            self.claims.insert(call_id, claim);
        }
        while let Some((until, call_id)) = self
            .lingering
            .pop_front_if(|(until, _)| *until <= now)
            .or_else(|| self.one_too_many())
        {
            // A Call-ID that was claimed anew meanwhile stays.
            if self
                .claims
                .get(&call_id)
                .is_some_and(|claim| claim.until == Some(until))
            {
                self.claims.remove(&call_id);
            }
        }
    }

    /// True for the Call-ID of a foreign call that was over a moment ago.
    #[must_use]
    pub fn lingers(&self, call_id: &str) -> bool {
        self.claims
            .get(call_id)
            .is_some_and(|claim| claim.until.is_some())
    }

    /// Until when some Call-ID lingers; none where no call was over yet.
    #[must_use]
    pub fn lingers_until(&self) -> Option<Instant> {
        self.lingering.back().map(|(until, _)| *until)
    }

    fn one_too_many(&mut self) -> Option<(Instant, SmolStr)> {
        if self.lingering.len() > LINGERING_MAX {
            self.lingering.pop_front()
        } else {
            None
        }
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
        if let Some(claim) = self.claims.get(message.call_id())
            && self.contacts.contains_key(&claim.slot)
        {
            return Route::Slot(claim.slot);
        }
        if let Some(slot) = self.users.get(user) {
            return Route::Slot(*slot);
        }
        match message.method() {
            Some(Method::Invite) if message.to_tag().is_none() => Route::AnyReceiver,
            Some(Method::Options) if message.to_tag().is_none() => Route::AnyReady,
            _ => Route::Nobody,
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
    fn a_released_call_id_lingers_for_the_ack_of_its_refusal() {
        let request = |method: &str, call_id: &str| {
            let text = format!(
                "{method} sip:anybody@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\n\
                 From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: {call_id}\r\n\
                 CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            match Message::parse_datagram(text.into_bytes().into()) {
                Ok(sip::wire::Incoming::Message(message)) => message,
                other => panic!("{other:?}"),
            }
        };
        let start = Instant::now();
        let mut demux = Demux::default();
        demux.add(7, "b.7".into(), "b".into());
        assert!(demux.claim("one", 7));
        assert!(demux.claim("two", 7));
        demux.release("one", start);
        demux.release("one", start + LINGER / 2);
        assert_eq!(demux.route(&request("ACK", "one")), Route::Slot(7));
        // Claimed anew, it outlives its first release.
        demux.release("two", start);
        assert!(demux.claim("two", 7));
        demux.release("three", start + LINGER);
        assert_eq!(demux.route(&request("ACK", "one")), Route::Nobody);
        assert_eq!(demux.route(&request("BYE", "two")), Route::Slot(7));
        demux.release("two", start + LINGER);
        demux.remove(7, "b");
        assert_eq!(demux.route(&request("BYE", "two")), Route::Nobody);
        assert!(demux.lingers("two") && !demux.lingers("one"));
        assert_eq!(demux.lingers_until(), Some(start + LINGER + LINGER));
    }

    #[test]
    fn lingering_call_ids_are_bounded() {
        let start = Instant::now();
        let mut demux = Demux::default();
        for number in 0..LINGERING_MAX + 500 {
            let call_id = number.to_string();
            assert!(demux.claim(&call_id, 1));
            demux.release(&call_id, start);
        }
        assert_eq!(demux.claims.len(), LINGERING_MAX);
        assert_eq!(demux.lingering.len(), LINGERING_MAX);
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
