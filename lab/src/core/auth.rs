//! Digest authentication without memory: a nonce proves by itself that the lab made it, and when.
//!
//! Owns nonces and the verdict on credentials. Keeps no nonce and no count, so a repeated request
//! is judged as the first one was; a replay within a nonce's life is accepted. RFC 7616, RFC 3261 §22.

use std::time::{Duration, Instant};

use sip::digest::{Algorithm, DigestResponse, Hash};
use sip::wire::{Message, Method, Name};

use crate::config::{Accounts, Auth, DigestAlgorithm};

/// The verdict on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The credentials of this user are right.
    Known(String),
    /// No credentials for our realm.
    Missing,
    /// Right, but for a nonce that is too old or not ours (RFC 7616 §3.3 `stale`).
    Stale,
    /// User or password are wrong.
    Wrong,
}

/// Who asks: the registrar or the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// 401, WWW-Authenticate, Authorization.
    Registrar,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Role {
    /// The status of a challenge.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Registrar => 401,
            Self::Proxy => 407,
        }
    }

    /// The header that a challenge stands in.
    pub(crate) fn challenge(self) -> Name {
        match self {
            Self::Registrar => Name::WwwAuthenticate,
            Self::Proxy => Name::ProxyAuthenticate,
        }
    }

    fn credentials(self) -> Name {
        match self {
            Self::Registrar => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }
}

/// The lab's digest authentication.
#[derive(Debug)]
pub(crate) struct Authenticator {
    auth: Auth,
    accounts: Accounts,
    realm: String,
    secret: [u8; 8],
    started: Instant,
}

impl Authenticator {
    /// Nonces are good for this `secret` and count their age from `now`.
    pub(crate) fn new(
        now: Instant,
        auth: Auth,
        accounts: Accounts,
        realm: String,
        secret: u64,
    ) -> Self {
        Self {
            auth,
            accounts,
            realm,
            secret: secret.to_be_bytes(),
            started: now,
        }
    }

    /// Judges the credentials of a request.
    pub(crate) fn judge(&self, now: Instant, role: Role, request: &Message) -> Verdict {
        let Some(method) = request.method() else {
            return Verdict::Missing;
        };
        let Some(sent) = request
            .lines(role.credentials())
            .filter_map(DigestResponse::parse)
            .find(|response| response.realm == self.realm.as_str())
        else {
            return Verdict::Missing;
        };
        if !self.offered(sent.algorithm) || !self.right(&sent, method, request.body()) {
            return Verdict::Wrong;
        }
        if self.fresh(now, &sent.nonce) {
            Verdict::Known(sent.username.to_string())
        } else {
            Verdict::Stale
        }
    }

    /// One challenge per algorithm, in the configured order.
    pub(crate) fn challenges(&self, now: Instant, stale: bool) -> impl Iterator<Item = String> {
        let nonce = self.nonce(now.saturating_duration_since(self.started).as_secs());
        let stale = if stale { ", stale=true" } else { "" };
        self.auth.algorithms.iter().map(move |algorithm| {
            format!(
                "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                self.realm,
                algorithm.token()
            )
        })
    }

    /// The user exists.
    pub(crate) fn exists(&self, user: &str) -> bool {
        self.accounts.password(user).is_some()
    }

    fn offered(&self, algorithm: Algorithm) -> bool {
        let wanted = match algorithm.hash {
            Hash::Md5 => DigestAlgorithm::Md5,
            Hash::Sha256 => DigestAlgorithm::Sha256,
            Hash::Sha512_256 => DigestAlgorithm::Sha512_256,
        };
        !algorithm.session && self.auth.algorithms.contains(&wanted)
    }

    fn right(&self, sent: &DigestResponse, method: &Method, body: &[u8]) -> bool {
        self.accounts
            .password(&sent.username)
            .is_some_and(|password| sent.verify(method, &password, body))
    }

    fn fresh(&self, now: Instant, nonce: &str) -> bool {
        let Some(made) = nonce
            .get(..8)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        else {
            return false;
        };
        let age = now
            .saturating_duration_since(self.started)
            .checked_sub(Duration::from_secs(made));
        nonce == self.nonce(made)
            && age.is_some_and(|age| age.as_secs() < u64::from(self.auth.nonce_lifetime_s))
    }

    fn nonce(&self, second: u64) -> String {
        let second = format!("{:08x}", second & 0xFFFF_FFFF);
        let proof = Hash::Sha256.of(&[&self.secret, second.as_bytes(), self.realm.as_bytes()]);
        second + proof.get(..32).unwrap_or(&proof)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip::digest::{Credentials, DigestClient};
    use sip::wire::{Incoming, RequestWriter, ResponseWriter};

    use super::*;

    fn parse(bytes: Bytes) -> Message {
        match Message::parse_datagram(bytes) {
            Ok(Incoming::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn request(credentials: &[(Name, String)]) -> Message {
        let mut writer = RequestWriter::new(&Method::Register, "sip:lab")
            .header(Name::Via, "SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bK1")
            .header(Name::From, "<sip:bob@lab>;tag=1")
            .header(Name::To, "<sip:bob@lab>")
            .header(Name::CallId, "c")
            .cseq(1, &Method::Register);
        for (name, value) in credentials {
            writer = writer.header(*name, value);
        }
        parse(writer.finish())
    }

    fn answer(lab: &Authenticator, now: Instant, password: &str) -> Message {
        let asked = request(&[]);
        let mut refusal = ResponseWriter::to(&asked, 401, "Unauthorized");
        for challenge in lab.challenges(now, false) {
            refusal = refusal.header(Name::WwwAuthenticate, challenge);
        }
        let credentials = Credentials {
            username: "bob".into(),
            password: password.into(),
            realm: None,
        };
        let mut client = DigestClient::new(credentials, 1);
        client.on_challenge(&parse(refusal.finish()), 0).unwrap();
        request(&client.authorize(&Method::Register, "sip:lab", b""))
    }

    fn authenticator(now: Instant, algorithms: Vec<DigestAlgorithm>) -> Authenticator {
        let auth = Auth {
            algorithms,
            ..Auth::default()
        };
        Authenticator::new(now, auth, Accounts::Any, "lab".to_owned(), 9)
    }

    #[test]
    fn every_algorithm_is_admitted_with_the_right_password() {
        let now = Instant::now();
        for algorithm in [
            DigestAlgorithm::Md5,
            DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha512_256,
        ] {
            let lab = authenticator(now, vec![algorithm]);
            let verdict = |message: &Message| lab.judge(now, Role::Registrar, message);
            assert_eq!(
                verdict(&answer(&lab, now, "pw-bob")),
                Verdict::Known("bob".to_owned())
            );
            assert_eq!(verdict(&answer(&lab, now, "pw-eve")), Verdict::Wrong);
            assert_eq!(verdict(&request(&[])), Verdict::Missing);
        }
    }

    #[test]
    fn an_algorithm_that_was_not_offered_is_wrong() {
        let now = Instant::now();
        let md5 = authenticator(now, vec![DigestAlgorithm::Md5]);
        let sha = authenticator(now, vec![DigestAlgorithm::Sha256]);
        let message = answer(&md5, now, "pw-bob");
        assert_eq!(sha.judge(now, Role::Registrar, &message), Verdict::Wrong);
    }

    #[test]
    fn nonces_grow_stale_and_foreign_ones_are() {
        let now = Instant::now();
        let lab = authenticator(now, vec![DigestAlgorithm::Md5]);
        let message = answer(&lab, now + Duration::from_secs(7), "pw-bob");
        let at = |seconds| {
            lab.judge(
                now + Duration::from_secs(seconds),
                Role::Registrar,
                &message,
            )
        };
        assert_eq!(at(306), Verdict::Known("bob".to_owned()));
        assert_eq!(at(307), Verdict::Stale);
        // Out of the future: made by another lab, or by a guess.
        assert_eq!(at(6), Verdict::Stale);
        let other = Authenticator::new(now, Auth::default(), Accounts::Any, "lab".to_owned(), 10);
        let later = now + Duration::from_secs(7);
        assert_eq!(
            other.judge(later, Role::Registrar, &message),
            Verdict::Stale
        );
        assert!(
            lab.challenges(now, true)
                .all(|text| text.ends_with("stale=true"))
        );
    }
}
