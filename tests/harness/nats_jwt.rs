//! What `nsc` would make: an operator, an account and its users, each a JWT signed with the nkey of who
//! stands above it. Written out here, since no registry brings `nsc`. Source: NATS JWT version 2,
//! ADR-14 of nats-architecture-and-design.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account, which signs users.
#[derive(Debug)]
pub struct NatsAccount {
    operator: KeyPair,
    account: KeyPair,
}

impl NatsAccount {
    /// New keys.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// Lines of a server's configuration that trust this operator and know its account.
    #[must_use]
    pub fn configuration(&self) -> String {
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1,
        });
        let operator = token(
            &self.operator,
            &self.operator,
            &json!({"type": "operator", "version": 2}),
        );
        let account = json!({"type": "account", "version": 2, "limits": unlimited});
        let account = token(&self.operator, &self.account, &account);
        let name = self.account.public_key();
        format!(
            "operator: \"{operator}\"\nresolver: MEMORY\nresolver_preload: {{ {name}: \"{account}\" }}\n"
        )
    }

    /// The text of a credentials file for a new user that may use these subjects.
    ///
    /// # Panics
    /// Where the key has no seed.
    #[must_use]
    pub fn credentials(&self, publish: &[&str], subscribe: &[&str]) -> String {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": {"allow": publish}, "sub": {"allow": subscribe},
        });
        let token = token(&self.account, &user, &claims);
        let seed = user.seed().expect("a key with its seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn token(signer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let payload = part(json!({
        "iss": signer.public_key(), "sub": subject.public_key(), "name": "carillon", "jti": subject.public_key(),
        "iat": 1_700_000_000, "nats": claims,
    }));
    let signed = format!("{header}.{payload}");
    let signature = signer.sign(signed.as_bytes()).expect("a key with its seed");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
