//! What a final answer to a request outside a dialog asks for: once more, somewhere else, later, or
//! never.
//!
//! Owns the bounds: challenges, redirections, one wait after 503. Never sends.
//! Source: RFC 3261 §8.1.3.4, §8.1.3.5, §21.5.4, §22.

use std::time::Duration;

use super::Context;
use super::auth::{Authorization, Refusal, Usage};
use super::redirect::{Redirects, Target};
use crate::wire::{Message, Name};

/// The repetitions of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    authorization: Authorization,
    redirects: Redirects,
    waited: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send again; the agent now has an answer to the challenge.
    Again,
    /// Send to another target.
    Elsewhere(Target),
    /// Send again after this time.
    Later(Duration),
    /// It is over; a sentence says why.
    Never(String),
}

impl Retry {
    /// Judges a final answer of 300 to 699.
    pub(crate) fn judge(
        &mut self,
        context: &mut Context,
        usage: Usage,
        response: &Message,
    ) -> Next {
        match response.status().unwrap_or(0) {
            401 | 407 => match self.authorization.learn(context, usage, response) {
                Ok(()) => Next::Again,
                Err(refusal) => Next::Never(refused(response, refusal)),
            },
            code @ 300..=399 if code != ALTERNATIVE_SERVICE => {
                self.redirects.learn(response);
                match self.redirects.next() {
                    Some(target) => Next::Elsewhere(target),
                    None if self.redirects.is_exhausted() => {
                        Next::Never(format!("{} (redirected too often)", describe(response)))
                    }
                    None => Next::Never(format!("{} (no new Contact)", describe(response))),
                }
            }
            503 => self.judge_503(response),
            // RFC 3261 §8.1.3.4: a target that fails is followed by the next one that was named.
            600..=699 => Next::Never(describe(response)),
            _ => match self.redirects.next() {
                Some(target) => Next::Elsewhere(target),
                None => Next::Never(describe(response)),
            },
        }
    }

    /// The next target, when one could not be reached at all.
    pub(crate) fn after_silence(&mut self) -> Option<Target> {
        self.redirects.next()
    }

    fn judge_503(&mut self, response: &Message) -> Next {
        let wait_s = response.number(Name::RetryAfter);
        match wait_s {
            Some(wait_s @ 0..=MAX_WAIT_S) if !self.waited => {
                self.waited = true;
                Next::Later(Duration::from_secs(u64::from(wait_s)))
            }
            Some(wait_s) => {
                Next::Never(format!("{} (Retry-After: {wait_s} s)", describe(response)))
            }
            None => match self.redirects.next() {
                Some(target) => Next::Elsewhere(target),
                None => Next::Never(describe(response)),
            },
        }
    }
}

/// `486 Busy Here`, with the peer's own phrase.
pub(crate) fn describe(response: &Message) -> String {
    let code = response.status().unwrap_or(0);
    let mut text = format!("{code} {}", response.reason());
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text.trim_end().to_owned()
}

fn refused(response: &Message, refusal: Refusal) -> String {
    format!("{} ({refusal})", describe(response))
}

/// 380 names a service, not a target to try (RFC 3261 §21.3.5).
const ALTERNATIVE_SERVICE: u16 = 380;
/// A 503 that asks for no more than this is tried once more; longer waits are the user's business.
const MAX_WAIT_S: u32 = 5;
/// A peer's reason phrase is kept up to this length.
const MAX_REASON: usize = 200;
