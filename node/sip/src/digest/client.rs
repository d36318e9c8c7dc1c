//! The client's side: answers challenges and authenticates later requests ahead of being asked.
//!
//! Owns: the chosen challenge of each realm, its nonce count and client nonce. Never: decides to
//! resend a request.
//! Source: RFC 7616 §3.3, §3.4, §3.6; RFC 8760 §2.4; RFC 3261 §22.1 to §22.3.

use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use super::challenge::Challenge;
use super::hash::Algorithm;
use super::pairs::put_quoted;
use crate::wire::{Message, Method, Name};

/// Who authenticates.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name, plain.
    pub username: SmolStr,
    /// The password, plain.
    pub password: SmolStr,
    /// The only realm to answer; `None` answers any.
    pub realm: Option<SmolStr>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password never reaches a log.
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Why a challenge was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The response is not a 401 or 407, or has no challenge in it.
    #[error("response without a challenge")]
    NoChallenge,
    /// No challenge of a supported scheme, algorithm and qop.
    #[error("no supported challenge")]
    Unsupported,
    /// The challenges are for realms other than that of the credentials.
    #[error("challenge for another realm")]
    Realm,
    /// The request already carried an answer and the nonce was not stale: the credentials are
    /// wrong.
    #[error("credentials refused")]
    Refused,
    /// The server calls every nonce stale.
    #[error("too many challenges for one request")]
    TooMany,
}

/// Answers digest challenges for one set of credentials.
///
/// Shape: `on_challenge` with each 401 or 407, then `authorize` for each request (the retried one
/// and all later ones); WWW and Proxy challenges and realms are kept apart.
/// Bounds: at most `MAX_REALMS` realms of each kind.
#[derive(Debug, Clone)]
pub struct DigestClient {
    credentials: Credentials,
    seed: u64,
    sessions: SmallVec<[Box<Session>; 1]>,
}

/// One chosen challenge and how often its nonce was used.
#[derive(Debug, Clone)]
struct Session {
    kind: Kind,
    challenge: Challenge,
    algorithm: Algorithm,
    ha1: SmolStr,
    cnonce: SmolStr,
    count: u32,
}

/// Who challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Origin,
    Proxy,
}

impl DigestClient {
    /// A client without any challenge yet; `seed` makes its client nonces.
    pub fn new(credentials: Credentials, seed: u64) -> Self {
        Self {
            credentials,
            seed,
            sessions: SmallVec::new(),
        }
    }

    /// Takes the challenges of a 401 or 407.
    ///
    /// Shape: `answered` says how many challenges of this status the same request has had before
    /// this one.
    /// Errors: `DigestError`; then the request has failed.
    /// Source: RFC 8760 §2.4 lets local policy choose: the strongest algorithm, the topmost among
    /// equals; RFC 3261 §22.3: one answer for each realm.
    pub fn on_challenge(&mut self, response: &Message, answered: u32) -> Result<(), DigestError> {
        let (kind, name) = match response.status() {
            Some(401) => (Kind::Origin, Name::WwwAuthenticate),
            Some(407) => (Kind::Proxy, Name::ProxyAuthenticate),
            _ => return Err(DigestError::NoChallenge),
        };
        let challenges: Vec<Challenge> = response
            .lines(name)
            .filter_map(Challenge::parse_all)
            .flatten()
            .take(MAX_CHALLENGES)
            .collect();
        if challenges.is_empty() {
            return Err(DigestError::NoChallenge);
        }
        let chosen = self.choose(challenges)?;
        if answered >= MAX_ATTEMPTS {
            return Err(DigestError::TooMany);
        }
        if answered > 0
            && chosen
                .iter()
                .all(|challenge| !challenge.stale && self.has_answered(kind, &challenge.realm))
        {
            return Err(DigestError::Refused);
        }
        for challenge in chosen {
            self.adopt(kind, challenge);
        }
        Ok(())
    }

    /// The header lines that authenticate a request: none before the first challenge, then one for
    /// each realm.
    ///
    /// Shape: call it once for each request sent anew (not for a retransmission): each call raises
    /// the nonce counts. `uri` is the Request-URI exactly as sent, `body` the body as sent (for
    /// auth-int).
    pub fn authorize(
        &mut self,
        method: &Method,
        uri: &str,
        body: &[u8],
    ) -> SmallVec<[(Name, String); 1]> {
        let username = &self.credentials.username;
        self.sessions
            .iter_mut()
            .map(|session| {
                let name = match session.kind {
                    Kind::Origin => Name::Authorization,
                    Kind::Proxy => Name::ProxyAuthorization,
                };
                (name, session.answer(username, method, uri, body))
            })
            .collect()
    }

    /// Whether a challenge has been met, so that requests are authenticated ahead of being asked.
    pub fn is_primed(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Forgets all challenges.
    pub fn forget(&mut self) {
        self.sessions.clear();
    }

    /// The best supported challenge of each realm.
    fn choose(&self, challenges: Vec<Challenge>) -> Result<SmallVec<[Challenge; 1]>, DigestError> {
        let mut chosen: SmallVec<[Challenge; 1]> = SmallVec::new();
        let mut other_realm = false;
        for challenge in challenges.into_iter().filter(Challenge::is_supported) {
            if self
                .credentials
                .realm
                .as_ref()
                .is_some_and(|realm| *realm != challenge.realm)
            {
                other_realm = true;
                continue;
            }
            let full = chosen.len() >= MAX_REALMS;
            match chosen.iter_mut().find(|best| best.realm == challenge.realm) {
                Some(best) if challenge.algorithm() > best.algorithm() => *best = challenge,
                Some(_) => {}
                None if full => {}
                None => chosen.push(challenge),
            }
        }
        match (chosen.is_empty(), other_realm) {
            (false, _) => Ok(chosen),
            (true, true) => Err(DigestError::Realm),
            (true, false) => Err(DigestError::Unsupported),
        }
    }

    fn has_answered(&self, kind: Kind, realm: &str) -> bool {
        self.sessions.iter().any(|session| {
            session.kind == kind && session.challenge.realm == realm && session.count > 0
        })
    }

    fn adopt(&mut self, kind: Kind, challenge: Challenge) {
        // `choose` let only supported algorithms through.
        let Some(algorithm) = challenge.algorithm() else {
            return;
        };
        let cnonce = format_smolstr!("{:016x}", split_mix(&mut self.seed));
        let Credentials {
            username, password, ..
        } = &self.credentials;
        let user_hash = algorithm.user_hash(username, &challenge.realm, password);
        let ha1 = algorithm.ha1(user_hash, &challenge.nonce, &cnonce);
        let same =
            |session: &Session| session.kind == kind && session.challenge.realm == challenge.realm;
        let at = self.sessions.iter().position(|session| same(session));
        let session = Box::new(Session {
            kind,
            challenge,
            algorithm,
            ha1,
            cnonce,
            count: 0,
        });
        match at.and_then(|at| self.sessions.get_mut(at)) {
            Some(old) => *old = session,
            None => {
                // The oldest realm makes room: a server that invents realms must not grow us.
                if self.sessions.iter().filter(|old| old.kind == kind).count() >= MAX_REALMS
                    && let Some(oldest) = self.sessions.iter().position(|old| old.kind == kind)
                {
                    self.sessions.remove(oldest);
                }
                self.sessions.push(session);
            }
        }
    }
}

impl Session {
    fn answer(&mut self, username: &str, method: &Method, uri: &str, body: &[u8]) -> String {
        self.count = self.count.saturating_add(1);
        let hash = self.algorithm.hash;
        let count = format_smolstr!("{:08x}", self.count);
        let nonce = self.challenge.nonce.as_bytes();
        let qop = self
            .challenge
            .qop
            .map(|qop| if qop.auth { "auth" } else { "auth-int" });
        let ha2 = match qop {
            Some("auth-int") => hash.of(&[
                method.as_str().as_bytes(),
                uri.as_bytes(),
                hash.of(&[body]).as_bytes(),
            ]),
            _ => hash.of(&[method.as_str().as_bytes(), uri.as_bytes()]),
        };
        let (ha1, cnonce) = (self.ha1.as_bytes(), self.cnonce.as_bytes());
        let response = match qop {
            Some(qop) => hash.of(&[
                ha1,
                nonce,
                count.as_bytes(),
                cnonce,
                qop.as_bytes(),
                ha2.as_bytes(),
            ]),
            None => hash.of(&[ha1, nonce, ha2.as_bytes()]),
        };
        let mut value = String::with_capacity(320);
        value.push_str("Digest username=");
        put_quoted(&mut value, username);
        value.push_str(", realm=");
        put_quoted(&mut value, &self.challenge.realm);
        value.push_str(", nonce=");
        put_quoted(&mut value, &self.challenge.nonce);
        value.push_str(", uri=");
        put_quoted(&mut value, uri);
        for part in [", response=\"", &response, "\""] {
            value.push_str(part);
        }
        if let Some(algorithm) = &self.challenge.algorithm {
            value.push_str(", algorithm=");
            value.push_str(algorithm);
        }
        if let Some(opaque) = &self.challenge.opaque {
            value.push_str(", opaque=");
            put_quoted(&mut value, opaque);
        }
        if let Some(qop) = qop {
            for part in [
                ", qop=",
                qop,
                ", nc=",
                &count,
                ", cnonce=\"",
                &self.cnonce,
                "\"",
            ] {
                value.push_str(part);
            }
        } else if self.algorithm.session {
            // The server needs the client nonce for A1 even where a challenge without qop asks for
            // -sess.
            for part in [", cnonce=\"", &self.cnonce, "\""] {
                value.push_str(part);
            }
        }
        value
    }
}

/// SplitMix64: client nonces need to differ, not to be secret.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The most realms of each kind that are kept (a chain of proxies has one each).
const MAX_REALMS: usize = 4;
/// The most challenges of one response that are looked at.
const MAX_CHALLENGES: usize = 32;
/// How many challenges of one status one request may meet before it is given up.
const MAX_ATTEMPTS: u32 = 4;
