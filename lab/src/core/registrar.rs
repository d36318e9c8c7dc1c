//! The location service: which contacts a user has, and until when.
//!
//! Owns bindings and their expiry in virtual time. Knows nothing of authentication or messages.
//! RFC 3261 §10.3.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::route::Flow;

/// Where a user can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The Contact's URI, as it was registered.
    pub(crate) uri: String,
    /// Where the REGISTER came from.
    pub(crate) flow: Flow,
    /// When it runs out.
    pub(crate) expires_at: Instant,
    call_id: String,
    cseq: u32,
}

/// What a REGISTER asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// No Contact: which bindings are there?
    Query,
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Contacts with their time in seconds; 0 removes.
    Set(Vec<(String, u32)>),
}

/// The limits a registrar grants within.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Shortest time, in seconds.
    pub(crate) min_expires_s: u32,
    /// Longest time, in seconds.
    pub(crate) max_expires_s: u32,
}

/// Why nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 423 with Min-Expires (RFC 3261 §10.3 step 7).
    TooBrief,
    /// An older request of the same Call-ID arrived late (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// [`MAX_BINDINGS`] or [`MAX_USERS`] is reached.
    Full,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing, or a contact went and others stayed.
    None,
    /// A contact was made or refreshed.
    Registered,
    /// The last contact went.
    Unregistered,
}

/// The location service of one domain.
#[derive(Debug)]
pub(crate) struct Registrar {
    limits: Limits,
    users: HashMap<Arc<str>, User>,
    // One entry per user: when its first binding runs out.
    expiries: BTreeSet<(Instant, Arc<str>)>,
    expired: u64,
}

#[derive(Debug, Default)]
struct User {
    // Newest last.
    bindings: Vec<Binding>,
    due: Option<Instant>,
}

impl Registrar {
    /// An empty location service.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: HashMap::new(),
            expiries: BTreeSet::new(),
            expired: 0,
        }
    }

    /// Performs one REGISTER of `user`: all of it or nothing.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        user: &str,
        wish: &Wish,
        order: (&str, u32),
        flow: Flow,
    ) -> Result<Change, Refusal> {
        self.expire(now);
        let before = self.users.get(user).map_or(&[][..], |user| &user.bindings);
        let Some(after) = self.apply(now, before, wish, order, flow)? else {
            return Ok(Change::None);
        };
        let change = match (before.is_empty(), after.is_empty()) {
            (false, true) => Change::Unregistered,
            (true, true) => Change::None,
            (_, false) if sets(wish) => Change::Registered,
            (_, false) => Change::None,
        };
        if before.is_empty() && !after.is_empty() && self.users.len() >= MAX_USERS {
            return Err(Refusal::Full);
        }
        self.store(user, after);
        Ok(change)
    }

    /// The live bindings of `user`, newest last.
    pub(crate) fn bindings(&mut self, now: Instant, user: &str) -> &[Binding] {
        self.expire(now);
        self.users.get(user).map_or(&[], |user| &user.bindings)
    }

    /// Users with a live binding, as of the last call with a time.
    pub(crate) fn registered(&self) -> usize {
        self.users.len()
    }

    /// Bindings that ran out so far.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// When the next binding runs out.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Forgets what has run out.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((at, user)) = self.expiries.first().cloned() {
            if at > now {
                break;
            }
            let mut left = self
                .users
                .get(&user)
                .map_or(Vec::new(), |u| u.bindings.clone());
            let had = left.len();
            left.retain(|binding| binding.expires_at > now);
            self.expired += (had - left.len()) as u64;
            self.store(&user, left);
        }
    }

    /// The bindings as they are after `wish`; `None` where nothing was asked to change.
    fn apply(
        &self,
        now: Instant,
        before: &[Binding],
        wish: &Wish,
        (call_id, cseq): (&str, u32),
        flow: Flow,
    ) -> Result<Option<Vec<Binding>>, Refusal> {
        let late = |b: &Binding| b.call_id == call_id && b.cseq > cseq;
        let mut after = before.to_vec();
        match wish {
            Wish::Query => return Ok(None),
            Wish::RemoveAll if before.iter().any(late) => return Err(Refusal::OutOfOrder),
            Wish::RemoveAll => after.clear(),
            Wish::Set(contacts) => {
                for (uri, seconds) in contacts {
                    if *seconds != 0 && *seconds < self.limits.min_expires_s {
                        return Err(Refusal::TooBrief);
                    }
                    if after.iter().any(|b| b.uri == *uri && late(b)) {
                        return Err(Refusal::OutOfOrder);
                    }
                    after.retain(|binding| binding.uri != *uri);
                    if *seconds == 0 {
                        continue;
                    }
                    if after.len() >= MAX_BINDINGS {
                        return Err(Refusal::Full);
                    }
                    let granted = (*seconds).min(self.limits.max_expires_s);
                    after.push(Binding {
                        uri: uri.clone(),
                        flow,
                        expires_at: now + Duration::from_secs(u64::from(granted)),
                        call_id: call_id.to_owned(),
                        cseq,
                    });
                }
            }
        }
        Ok(Some(after))
    }

    fn store(&mut self, name: &str, bindings: Vec<Binding>) {
        let key: Arc<str> = match self.users.get_key_value(name) {
            Some((key, user)) => {
                if let Some(due) = user.due {
                    self.expiries.remove(&(due, Arc::clone(key)));
                }
                Arc::clone(key)
            }
            None => Arc::from(name),
        };
        match bindings.iter().map(|binding| binding.expires_at).min() {
            None => {
                self.users.remove(&key);
            }
            Some(due) => {
                self.expiries.insert((due, Arc::clone(&key)));
                self.users.insert(
                    key,
                    User {
                        bindings,
                        due: Some(due),
                    },
                );
            }
        }
    }
}

fn sets(wish: &Wish) -> bool {
    matches!(wish, Wish::Set(contacts) if contacts.iter().any(|(_, seconds)| *seconds > 0))
}

/// Contacts of one user; a phone has one, a person a handful.
const MAX_BINDINGS: usize = 10;
/// Users with a binding: twice what the product is designed for.
const MAX_USERS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        min_expires_s: 10,
        max_expires_s: 100,
    };

    fn flow() -> Flow {
        Flow::udp("127.0.0.1:6000".parse().unwrap())
    }

    fn set(uri: &str, seconds: u32) -> Wish {
        Wish::Set(vec![(uri.to_owned(), seconds)])
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_binding_lives_until_it_runs_out() {
        let now = Instant::now();
        let mut registrar = Registrar::new(LIMITS);
        let wish = set("sip:a@127.0.0.1:6000", 30);
        let change = registrar.register(now, "a", &wish, ("c", 1), flow());
        assert_eq!(change, Ok(Change::Registered));
        assert_eq!(registrar.next_deadline(), Some(after(now, 30)));
        assert_eq!(registrar.bindings(after(now, 29), "a").len(), 1);
        assert_eq!(registrar.bindings(after(now, 30), "a").len(), 0);
        assert_eq!((registrar.registered(), registrar.expired()), (0, 1));
        assert_eq!(registrar.next_deadline(), None);
    }

    #[test]
    fn a_refresh_moves_the_end_and_a_long_wish_is_shortened() {
        let now = Instant::now();
        let mut registrar = Registrar::new(LIMITS);
        registrar
            .register(now, "a", &set("sip:x", 30), ("c", 1), flow())
            .unwrap();
        let later = after(now, 20);
        registrar
            .register(later, "a", &set("sip:x", 4000), ("c", 2), flow())
            .unwrap();
        assert_eq!(registrar.next_deadline(), Some(after(later, 100)));
        assert_eq!(registrar.registered(), 1);
    }

    #[test]
    fn zero_and_star_remove() {
        let now = Instant::now();
        let mut registrar = Registrar::new(LIMITS);
        registrar
            .register(now, "a", &set("sip:x", 30), ("c", 1), flow())
            .unwrap();
        registrar
            .register(now, "a", &set("sip:y", 30), ("d", 1), flow())
            .unwrap();
        assert_eq!(registrar.bindings(now, "a").last().unwrap().uri, "sip:y");
        let change = registrar.register(now, "a", &set("sip:y", 0), ("d", 2), flow());
        assert_eq!(change, Ok(Change::None));
        let change = registrar.register(now, "a", &Wish::RemoveAll, ("c", 2), flow());
        assert_eq!(change, Ok(Change::Unregistered));
        // A retransmission finds nothing to do and succeeds again.
        let change = registrar.register(now, "a", &Wish::RemoveAll, ("c", 2), flow());
        assert_eq!(change, Ok(Change::None));
        assert_eq!(registrar.next_deadline(), None);
    }

    #[test]
    fn refusals_change_nothing() {
        let now = Instant::now();
        let mut registrar = Registrar::new(LIMITS);
        let brief = registrar.register(now, "a", &set("sip:x", 9), ("c", 1), flow());
        assert_eq!(brief, Err(Refusal::TooBrief));
        registrar
            .register(now, "a", &set("sip:x", 50), ("c", 5), flow())
            .unwrap();
        let late = registrar.register(now, "a", &set("sip:x", 0), ("c", 4), flow());
        assert_eq!(late, Err(Refusal::OutOfOrder));
        let same = registrar.register(now, "a", &set("sip:x", 50), ("c", 5), flow());
        assert_eq!(same, Ok(Change::Registered));
        let many = (0..20).map(|n| (format!("sip:{n}"), 50)).collect();
        let full = registrar.register(now, "a", &Wish::Set(many), ("e", 1), flow());
        assert_eq!(full, Err(Refusal::Full));
        assert_eq!(registrar.bindings(now, "a").len(), 1);
    }
}
