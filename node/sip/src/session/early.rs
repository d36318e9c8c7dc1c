//! The early dialogs of a call that we make, as far as reliable provisional answers need them.
//!
//! Owns RSeq order and PRACK. An unreliable 1xx makes no dialog here, as nothing would use it.
//! Source: RFC 3262 §4, §7.1; RFC 3261 §12.1 (one dialog per To tag of a fork).

use smallvec::SmallVec;

use super::within::{Draft, Within};
use crate::dialog::Dialog;
use crate::transaction::{Purpose, TransactionId};
use crate::ua::{CallRef, Context};
use crate::wire::{Message, Method, Name};

/// The early dialogs of one INVITE.
#[derive(Debug, Default)]
pub(crate) struct EarlyDialogs {
    dialogs: SmallVec<[Box<Early>; 1]>,
}

#[derive(Debug)]
struct Early {
    dialog: Dialog,
    rseq: u32,
    pracks: SmallVec<[Box<Within>; 1]>,
}

impl EarlyDialogs {
    /// Sends PRACK if the answer is reliable; `false` if it is a repetition or out of order, so that
    /// the user must not see it.
    pub(crate) fn acknowledge(
        &mut self,
        context: &mut Context,
        call: CallRef,
        request_uri: &str,
        response: &Message,
    ) -> bool {
        let reliable = response
            .values(Name::Require)
            .any(|tag| tag.eq_ignore_ascii_case(b"100rel"));
        let Some(rseq) = response.number(Name::RSeq).filter(|_| reliable) else {
            return true;
        };
        let Some(early) = self.dialog_of(request_uri, response) else {
            context
                .out
                .warn("a reliable provisional answer makes no dialog".to_owned());
            return false;
        };
        // RFC 3262 §4: the first RSeq of a dialog is arbitrary, each further one is one higher.
        if early.rseq != 0 && rseq != early.rseq.wrapping_add(1) {
            return false;
        }
        early.rseq = rseq;
        let (cseq, method) = response.cseq();
        let lines = format!("RAck: {rseq} {cseq} {method}\r\n")
            .into_bytes()
            .into_boxed_slice();
        let draft = Draft {
            purpose: Purpose::Prack,
            method: Method::Prack,
            lines,
            body: None,
        };
        if early.pracks.len() < MAX_PRACKS
            && let Some(prack) = Within::send(context, call, &mut early.dialog, draft)
        {
            early.pracks.push(prack);
        }
        true
    }

    fn dialog_of(&mut self, request_uri: &str, response: &Message) -> Option<&mut Early> {
        let tag = response.to_tag();
        let known = self
            .dialogs
            .iter()
            .position(|early| early.dialog.has_remote_tag(tag));
        let index = match known {
            Some(index) => index,
            None if self.dialogs.len() < MAX_FORKS => {
                let dialog = Dialog::of_response(response, request_uri).ok()?;
                self.dialogs.push(Box::new(Early {
                    dialog,
                    rseq: 0,
                    pracks: SmallVec::new(),
                }));
                self.dialogs.len() - 1
            }
            None => return None,
        };
        self.dialogs.get_mut(index).map(Box::as_mut)
    }

    /// Takes the answer to a PRACK.
    pub(crate) fn on_prack_response(
        &mut self,
        context: &mut Context,
        id: TransactionId,
        response: &Message,
    ) {
        if response.status().is_some_and(|code| code < 200) {
            return;
        }
        for early in &mut self.dialogs {
            let early = early.as_mut();
            let Some(index) = early
                .pracks
                .iter()
                .position(|prack| prack.transaction() == id)
            else {
                continue;
            };
            let again = early
                .pracks
                .get_mut(index)
                .is_some_and(|prack| prack.again(context, &mut early.dialog, response));
            if !again {
                // RFC 3262 §4 asks for nothing more: a lost PRACK shows as a repeated 1xx.
                early.pracks.remove(index);
            }
        }
    }

    /// Lets a confirmed dialog count on from its early one.
    pub(crate) fn continue_cseq(&self, dialog: &mut Dialog) {
        let early = self.dialogs.iter().find(|early| {
            early
                .dialog
                .has_remote_tag(Some(dialog.remote_tag().as_str()))
        });
        if let Some(early) = early {
            dialog.continue_cseq(&early.dialog);
        }
    }
}

/// A fork with more branches than this gets no PRACK on the rest.
const MAX_FORKS: usize = 8;
/// No peer sends more reliable answers before one PRACK is answered.
const MAX_PRACKS: usize = 8;
