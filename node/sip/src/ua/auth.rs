//! Answers to challenges, for one request.
//!
//! Owns how often one request was challenged. The nonces live with the agent, so that the next
//! request needs no challenge. Source: RFC 3261 §22.2, §22.3.

use super::Context;
use crate::digest::{DigestClient, DigestError};
use crate::wire::{Message, Method};

/// Whose nonces a request uses: the registrar's, or those of the way of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// REGISTER.
    Registration,
    /// Everything else.
    Call,
}

/// The challenges that one request met.
#[derive(Debug, Default)]
pub(crate) struct Authorization {
    origin: u32,
    proxy: u32,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The configuration has none.
    #[error("no credentials are configured")]
    NoCredentials,
    /// The challenge cannot be answered, or was answered already.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Authorization {
    /// Takes the challenge of a 401 or 407; after that [`authorization_lines`] answers it.
    pub(crate) fn learn(
        &mut self,
        context: &mut Context,
        usage: Usage,
        response: &Message,
    ) -> Result<(), Refusal> {
        let answered = match response.status() {
            Some(407) => &mut self.proxy,
            _ => &mut self.origin,
        };
        let seed = context.ids.next_u64();
        let Some(credentials) = &context.config.credentials else {
            return Err(Refusal::NoCredentials);
        };
        let client = match usage {
            Usage::Registration => &mut context.registration_digest,
            Usage::Call => &mut context.call_digest,
        };
        let client =
            client.get_or_insert_with(|| Box::new(DigestClient::new(credentials.clone(), seed)));
        client.on_challenge(response, *answered)?;
        *answered += 1;
        Ok(())
    }
}

/// The Authorization and Proxy-Authorization lines of one request; none before any challenge.
pub(crate) fn authorization_lines(
    context: &mut Context,
    usage: Usage,
    method: &Method,
    request_uri: &str,
    body: &[u8],
) -> Vec<u8> {
    let client = match usage {
        Usage::Registration => &mut context.registration_digest,
        Usage::Call => &mut context.call_digest,
    };
    let mut lines = Vec::new();
    for (name, value) in client
        .iter_mut()
        .flat_map(|client| client.authorize(method, request_uri, body))
    {
        for part in [name.as_str(), ": ", &value, "\r\n"] {
            lines.extend_from_slice(part.as_bytes());
        }
    }
    lines
}
