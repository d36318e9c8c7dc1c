//! Follows the calls of one endpoint by the messages that pass, and tells the book.

use sip::wire::{Message, Method, Name};
use smol_str::SmolStr;

use super::Leg;
use super::book::Book;
use super::glance::{Glance, glance};
use super::record::Record;

/// Calls of one endpoint that are followed at once; its agent has no more. Beyond it the oldest is
/// let go.
const CALLS_MAX: usize = 32;

/// The calls of one endpoint.
#[derive(Debug, Default)]
pub struct Watch {
    calls: Vec<Followed>,
}

#[derive(Debug)]
struct Followed {
    /// Its number in the book; none while nothing needs ending.
    dialog: Option<u64>,
    call_id: SmolStr,
    local_tag: SmolStr,
    remote_tag: SmolStr,
    /// Of our last INVITE.
    branch: SmolStr,
    /// The highest that we sent.
    cseq: u32,
    stage: Stage,
    /// What the dialog needs of an INVITE that we received.
    received: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// We called.
    Inviting,
    /// We were called.
    Offered,
    /// … and let it ring.
    Ringing,
    /// … and answered.
    Answered,
    /// We sent the ACK with this CSeq.
    Confirmed { acked: u32 },
}

impl Watch {
    /// One that follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A message is about to leave. Write what the book has before it does.
    pub fn sending(&mut self, book: &mut Book, leg: &Leg, message: &[u8]) {
        let Some(seen) = glance(message) else {
            return;
        };
        match (seen.method, seen.code) {
            ("INVITE", _) if seen.to_tag.is_empty() => self.inviting(book, leg, &seen),
            ("ACK", _) => self.acknowledging(book, leg, &seen),
            ("", 101..) if seen.cseq_method == "INVITE" => self.answering(book, leg, &seen),
            ("", 200..=299) if seen.cseq_method == "BYE" => {
                self.over(book, |call| {
                    call.is(seen.call_id, seen.to_tag) && call.remote_tag_is(seen.from_tag)
                });
            }
            ("", _) => {}
            (method, _) => {
                let call = self.calls.iter_mut().find(|call| {
                    call.is(seen.call_id, seen.from_tag) && call.remote_tag_is(seen.to_tag)
                });
                if let Some(call) = call {
                    call.cseq = call.cseq.max(seen.cseq);
                    if method == "INVITE" {
                        call.branch = SmolStr::new(seen.branch);
                    }
                }
            }
        }
    }

    /// A message came.
    pub fn received(&mut self, book: &mut Book, message: &Message) {
        match (message.method(), message.status()) {
            (Some(Method::Invite), _) if message.to_tag().is_none() => self.offered(message),
            // A challenge is answered, or the call ends otherwise.
            (None, Some(code))
                if code >= 200
                    && !matches!(code, 401 | 407)
                    && *message.cseq().1 == Method::Bye =>
            {
                let (local, remote) = (message.from_tag(), message.to_tag());
                self.over(book, |call| {
                    call.is(message.call_id(), local.unwrap_or_default())
                        && call.remote_tag_is(remote.unwrap_or_default())
                });
            }
            _ => {}
        }
    }

    /// The endpoint is over and what it left open it gave up.
    pub fn ended(&mut self, book: &mut Book) {
        for dialog in self.calls.drain(..).filter_map(|call| call.dialog) {
            book.over(dialog);
        }
    }

    fn inviting(&mut self, book: &mut Book, leg: &Leg, seen: &Glance<'_>) {
        let known = self
            .calls
            .iter_mut()
            .find(|call| call.is(seen.call_id, seen.from_tag));
        let dialog = match known {
            // The same again.
            Some(call) if call.branch == seen.branch => return,
            Some(call) => {
                call.branch = SmolStr::new(seen.branch);
                call.cseq = seen.cseq;
                call.dialog
            }
            None => {
                let dialog = Some(book.number());
                let mut call = Followed::new(seen.call_id, seen.from_tag, Stage::Inviting);
                call.branch = SmolStr::new(seen.branch);
                call.cseq = seen.cseq;
                call.dialog = dialog;
                self.follow(book, call);
                dialog
            }
        };
        if let Some(dialog) = dialog {
            let invite = seen.head;
            book.add(dialog, &Record::Inviting { leg, invite });
        }
    }

    fn acknowledging(&mut self, book: &mut Book, leg: &Leg, seen: &Glance<'_>) {
        let mine = |call: &Followed| call.is(seen.call_id, seen.from_tag);
        if self
            .calls
            .iter()
            .any(|call| mine(call) && call.branch == seen.branch)
        {
            // The ACK of a failure has its INVITE's branch; a failed re-INVITE ends nothing.
            self.over(book, |call| mine(call) && call.stage == Stage::Inviting);
            return;
        }
        let at = self
            .calls
            .iter()
            .position(|call| mine(call) && call.remote_tag_is(seen.to_tag));
        let at = match at {
            Some(at) => at,
            // One more answer of a fork: a dialog of its own.
            None if self.calls.iter().any(mine) => {
                let stage = Stage::Confirmed { acked: 0 };
                let call = Followed::new(seen.call_id, seen.from_tag, stage);
                self.follow(book, call);
                self.calls.len() - 1
            }
            None => return,
        };
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        if call.stage == (Stage::Confirmed { acked: seen.cseq }) {
            return;
        }
        call.stage = Stage::Confirmed { acked: seen.cseq };
        call.remote_tag = SmolStr::new(seen.to_tag);
        call.cseq = call.cseq.max(seen.cseq);
        let next_cseq = call.cseq.wrapping_add(1);
        let dialog = *call.dialog.get_or_insert_with(|| book.number());
        let ack = seen.head;
        let record = Record::Confirmed {
            leg,
            ack,
            next_cseq,
        };
        book.add(dialog, &record);
    }

    fn offered(&mut self, invite: &Message) {
        let known =
            |call: &Followed| call.call_id == invite.call_id() && call.stage != Stage::Inviting;
        if self.calls.iter().any(known) {
            return;
        }
        if self.calls.len() >= CALLS_MAX {
            // The agent refuses it as well.
            return;
        }
        let mut call = Followed::new(invite.call_id(), "", Stage::Offered);
        call.remote_tag = SmolStr::new(invite.from_tag().unwrap_or_default());
        call.received = essence(invite);
        self.calls.push(call);
    }

    fn answering(&mut self, book: &mut Book, leg: &Leg, seen: &Glance<'_>) {
        let at = self.calls.iter().position(|call| {
            call.call_id == seen.call_id
                && matches!(call.stage, Stage::Offered | Stage::Ringing)
                && call.remote_tag_is(seen.from_tag)
        });
        let Some(at) = at else { return };
        if seen.code >= 300 {
            let dialog = self.calls.swap_remove(at).dialog;
            dialog.into_iter().for_each(|dialog| book.over(dialog));
            return;
        }
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        if call.stage == Stage::Ringing && seen.code < 200 {
            return;
        }
        call.local_tag = SmolStr::new(seen.to_tag);
        let dialog = *call.dialog.get_or_insert_with(|| book.number());
        if seen.code < 200 {
            call.stage = Stage::Ringing;
            let response = seen.head;
            book.add(dialog, &Record::Ringing { leg, response });
        } else {
            call.stage = Stage::Answered;
            let received = std::mem::take(&mut call.received);
            let record = Record::Answered {
                leg,
                invite: &received,
                local_tag: seen.to_tag,
            };
            book.add(dialog, &record);
        }
    }

    fn follow(&mut self, book: &mut Book, call: Followed) {
        if self.calls.len() >= CALLS_MAX {
            let oldest = self.calls.remove(0);
            oldest
                .dialog
                .into_iter()
                .for_each(|dialog| book.over(dialog));
        }
        self.calls.push(call);
    }

    fn over(&mut self, book: &mut Book, which: impl Fn(&Followed) -> bool) {
        self.calls.retain(|call| {
            let over = which(call);
            if over && let Some(dialog) = call.dialog {
                book.over(dialog);
            }
            !over
        });
    }
}

impl Followed {
    fn new(call_id: &str, local_tag: &str, stage: Stage) -> Self {
        Self {
            dialog: None,
            call_id: SmolStr::new(call_id),
            local_tag: SmolStr::new(local_tag),
            remote_tag: SmolStr::default(),
            branch: SmolStr::default(),
            cseq: 0,
            stage,
            received: Vec::new(),
        }
    }

    fn is(&self, call_id: &str, local_tag: &str) -> bool {
        self.call_id == call_id && self.local_tag == local_tag
    }

    /// A dialog that is early has no tag yet.
    fn remote_tag_is(&self, tag: &str) -> bool {
        self.remote_tag.is_empty() || self.remote_tag == tag
    }
}

/// An INVITE with nothing but what makes its dialog: no body, no credentials of the caller's.
fn essence(invite: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"INVITE ");
    out.extend_from_slice(invite.request_uri().as_bytes());
    // Via and Max-Forwards only make it whole.
    out.extend_from_slice(
        b" SIP/2.0\r\nVia: SIP/2.0/UDP 0.0.0.0;branch=z9hG4bK0\r\nMax-Forwards: 0\r\n",
    );
    for name in [
        Name::RecordRoute,
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::Contact,
    ] {
        for value in invite.lines(name) {
            for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    out
}
