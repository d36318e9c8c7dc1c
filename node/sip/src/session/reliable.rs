//! Our reliable provisional answer, repeated until its PRACK.
//!
//! Owns RSeq and RAck of one received INVITE; one such answer at a time. Source: RFC 3262 §3, §7.2.

use crate::wire::{Message, Name};

use super::repeat::Repeat;

/// The last reliable 1xx of an INVITE.
#[derive(Debug)]
pub(crate) struct Reliable {
    rseq: u32,
    cseq: u32,
    repeat: Option<Repeat>,
}

impl Reliable {
    /// Before the first such answer; `first_rseq` is random (RFC 3262 §3: 1 to 2^31 - 1).
    pub(crate) fn new(invite_cseq: u32, first_rseq: u32) -> Self {
        Self {
            rseq: (first_rseq & MAX_FIRST_RSEQ).max(1),
            cseq: invite_cseq,
            repeat: None,
        }
    }

    /// The RSeq of the next answer; `None` while one still awaits its PRACK.
    pub(crate) fn next_rseq(&self) -> Option<u32> {
        self.repeat.is_none().then(|| self.rseq.wrapping_add(1))
    }

    /// An answer left.
    pub(crate) fn sent(&mut self, repeat: Repeat) {
        self.rseq = self.rseq.wrapping_add(1);
        self.repeat = Some(repeat);
    }

    /// The answer that awaits its PRACK.
    pub(crate) fn repeat(&mut self) -> Option<&mut Repeat> {
        self.repeat.as_mut()
    }

    /// When to repeat.
    pub(crate) fn next_deadline(&self) -> Option<std::time::Instant> {
        self.repeat.as_ref().map(Repeat::next_deadline)
    }

    /// Takes a PRACK; `false` if its RAck names no answer that awaits one.
    pub(crate) fn take(&mut self, prack: &Message) -> bool {
        let mut parts = prack
            .header_str(Name::RAck)
            .unwrap_or_default()
            .split_ascii_whitespace();
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let named = (number(), number());
        let known = named == (Some(self.rseq), Some(self.cseq)) && parts.next() == Some("INVITE");
        known && self.repeat.take().is_some()
    }
}

const MAX_FIRST_RSEQ: u32 = 0x3FFF_FFFF;
