//! A request within a dialog that awaits its answer: BYE, re-INVITE, PRACK.
//!
//! Owns what is needed to send it again after a challenge. Source: RFC 3261 §12.2.1, §22.

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::transaction::{Owner, Purpose, TransactionId};
use crate::ua::{Authorization, CallRef, Context, RequestText, Usage, authorization_lines};
use crate::wire::{Message, Method};

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Within {
    call: CallRef,
    purpose: Purpose,
    method: Method,
    /// Header lines beyond the dialog's.
    lines: Box<[u8]>,
    body: Option<Bytes>,
    authorization: Authorization,
    authorization_lines: Vec<u8>,
    transaction: TransactionId,
    cseq: u32,
    started: Instant,
}

/// A request to send within a dialog.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) purpose: Purpose,
    pub(crate) method: Method,
    pub(crate) lines: Box<[u8]>,
    pub(crate) body: Option<Bytes>,
}

impl Within {
    /// Sends a request; `None` when no transaction could be opened.
    pub(crate) fn send(
        context: &mut Context,
        call: CallRef,
        dialog: &mut Dialog,
        draft: Draft,
    ) -> Option<Box<Self>> {
        let Draft {
            purpose,
            method,
            lines,
            body,
        } = draft;
        let cseq = dialog.next_cseq();
        let mut within = Box::new(Self {
            call,
            purpose,
            method,
            lines,
            body,
            authorization: Authorization::default(),
            authorization_lines: Vec::new(),
            transaction: TransactionId::NONE,
            cseq,
            started: context.now,
        });
        within.transmit(context, dialog).then_some(within)
    }

    /// Sends it again with credentials, if the answer asks for them and they may help.
    pub(crate) fn again(
        &mut self,
        context: &mut Context,
        dialog: &mut Dialog,
        response: &Message,
    ) -> bool {
        if !matches!(response.status(), Some(401 | 407))
            || self
                .authorization
                .learn(context, Usage::Call, response)
                .is_err()
        {
            return false;
        }
        let body = self.body.as_deref().unwrap_or_default();
        let uri = dialog.request_uri();
        self.authorization_lines =
            authorization_lines(context, Usage::Call, &self.method, uri, body);
        self.cseq = dialog.next_cseq();
        self.transmit(context, dialog)
    }

    fn transmit(&mut self, context: &mut Context, dialog: &Dialog) -> bool {
        let branch = context.ids.branch(&context.config.branch_prefix);
        let request = RequestText::in_dialog(
            &context.letterhead,
            dialog,
            &self.method,
            &branch,
            self.cseq,
        );
        let bytes = request
            .raw(&self.lines)
            .raw(&self.authorization_lines)
            .finish(self.body.as_deref());
        let owner = Owner::Call(self.call, self.purpose);
        let to = dialog.next_hop().clone();
        match context.request(owner, self.method.clone(), branch, to, bytes) {
            Some(id) => {
                self.transaction = id;
                true
            }
            None => false,
        }
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        self.transaction
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.cseq
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    pub(crate) fn authorization_lines(&self) -> &[u8] {
        &self.authorization_lines
    }
}
