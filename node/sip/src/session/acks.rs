//! The ACKs of 2xx answers, kept to be sent again when the 2xx comes again.
//!
//! Owns one ACK per answering peer of a fork. They go when their INVITE transaction goes (Timer M).
//! Source: RFC 3261 §13.2.2.4, RFC 6026 §7.2.

use bytes::Bytes;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::dialog::Dialog;
use crate::transaction::{Table, TransactionId};
use crate::ua::{Context, Destination, RequestText};
use crate::wire::Method;

/// The ACKs that one call sent.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    sent: SmallVec<[SentAck; 1]>,
}

#[derive(Debug)]
struct SentAck {
    invite: TransactionId,
    remote_tag: SmolStr,
    to: Destination,
    bytes: Bytes,
}

/// The 2xx that an ACK is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged<'a> {
    pub(crate) invite: TransactionId,
    pub(crate) cseq: u32,
    /// The Authorization lines of the INVITE (RFC 3261 §13.2.2.4: the same credentials).
    pub(crate) authorization: &'a [u8],
}

impl Acks {
    /// Whether another answer may still be acknowledged.
    pub(crate) fn has_room(&self) -> bool {
        self.sent.len() < MAX_ANSWERS
    }

    /// Sends the ACK of a 2xx and keeps it.
    pub(crate) fn send(
        &mut self,
        context: &mut Context,
        dialog: &Dialog,
        answer: Acknowledged<'_>,
        body: Option<&[u8]>,
    ) {
        let branch = context.ids.branch(&context.config.branch_prefix);
        let method = Method::Ack;
        let bytes =
            RequestText::in_dialog(&context.letterhead, dialog, &method, &branch, answer.cseq)
                .raw(answer.authorization)
                .finish(body);
        let to = Destination {
            host: dialog.next_hop().clone(),
            transport: context.config.transport,
        };
        context.out.transmit(&to, &bytes, false);
        self.sent
            .retain(|ack| context.transactions.is_alive(ack.invite));
        let remote_tag = dialog.remote_tag().clone();
        self.sent.push(SentAck {
            invite: answer.invite,
            remote_tag,
            to,
            bytes,
        });
    }

    /// Sends the ACK of a repeated 2xx again; `false` if this peer's 2xx is new.
    pub(crate) fn repeat(
        &self,
        context: &mut Context,
        invite: TransactionId,
        remote_tag: Option<&str>,
    ) -> bool {
        let remote_tag = remote_tag.unwrap_or_default();
        let known = self
            .sent
            .iter()
            .find(|ack| ack.invite == invite && ack.remote_tag == remote_tag);
        if let Some(ack) = known {
            context.out.transmit(&ack.to, &ack.bytes, true);
        }
        known.is_some()
    }

    /// Forgets the ACKs that nobody can ask for any more.
    pub(crate) fn sweep(&mut self, transactions: &Table) {
        self.sent.retain(|ack| transactions.is_alive(ack.invite));
        if self.sent.is_empty() && self.sent.spilled() {
            self.sent = SmallVec::new();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

/// A fork's answers beyond this are not acknowledged: the call has no use for them, and their
/// senders give up by themselves.
const MAX_ANSWERS: usize = 8;
