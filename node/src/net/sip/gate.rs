//! The lease at the SIP socket: without it only what ends calls leaves.
//!
//! It looks at the first word of each message, whoever made it and whenever: retransmissions and what
//! waited in a queue pass here too.

use std::cell::RefCell;
use std::rc::Rc;

use crate::core::lease::Permit;
use crate::net::media::time::boottime_us;

/// One run's gate on one shard. Clones are the same gate.
#[derive(Clone)]
pub(super) struct Gate {
    permit: Rc<RefCell<Permit>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            permit: Rc::new(RefCell::new(Permit::never())),
        }
    }
}

impl Gate {
    pub(super) fn open(&self, permit: Permit) {
        *self.permit.borrow_mut() = permit;
    }

    /// Whether this message may leave now.
    pub(super) fn passes(&self, message: &[u8]) -> bool {
        ends_calls(message) || self.permit.borrow().allows(boottime_us())
    }
}

/// Requests that end a call or complete its end (RFC 3261 §9, §15, §17.1.1.3).
const ENDING: [&[u8]; 3] = [b"BYE ", b"CANCEL ", b"ACK "];
/// A response's first word (RFC 3261 §7.2); no method begins like this, a slash is not of a token.
const RESPONSE: &[u8] = b"SIP/";

/// True for responses, BYE, CANCEL, ACK, and for the empty lines of a keep-alive's answer (RFC 5626
/// §3.5.1).
fn ends_calls(message: &[u8]) -> bool {
    let starts = |word: &&[u8]| message.starts_with(word);
    message.starts_with(RESPONSE) || ENDING.iter().any(starts) || message == b"\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lease::LeaseGuard;
    use std::sync::Arc;

    #[test]
    fn without_a_lease_only_what_ends_calls_passes() {
        let gate = Gate::default();
        for (message, passes) in [
            ("INVITE sip:a@b SIP/2.0\r\n", false),
            ("REGISTER sip:b SIP/2.0\r\n", false),
            ("OPTIONS sip:b SIP/2.0\r\n", false),
            ("UPDATE sip:b SIP/2.0\r\n", false),
            ("BYES sip:b SIP/2.0\r\n", false),
            ("", false),
            ("SIP/2.0 200 OK\r\n", true),
            ("BYE sip:a@b SIP/2.0\r\n", true),
            ("CANCEL sip:a@b SIP/2.0\r\n", true),
            ("ACK sip:a@b SIP/2.0\r\n", true),
        ] {
            assert_eq!(gate.passes(message.as_bytes()), passes, "{message}");
        }
    }

    #[test]
    fn with_a_lease_all_passes_until_it_is_gone() {
        let guard = Arc::new(LeaseGuard::default());
        guard.renew(boottime_us(), boottime_us());
        let gate = Gate::default();
        gate.open(Permit::of(Arc::clone(&guard), guard.generation()));
        assert!(gate.passes(b"INVITE sip:a@b SIP/2.0\r\n"));
        guard.revoke();
        assert!(!gate.passes(b"INVITE sip:a@b SIP/2.0\r\n"));
        assert!(gate.passes(b"BYE sip:a@b SIP/2.0\r\n"));
    }
}
