//! OPTIONS outside a dialog: asking a peer whether it is there.
//!
//! Owns the questions that await an answer. Source: RFC 3261 §11.

use std::time::Instant;

use smol_str::ToSmolStr;

use super::context::Context;
use super::{Authorization, Event, HostPort, RequestText, Usage, UserAgent, authorization_lines};
use crate::transaction::{Owner, TransactionId};
use crate::wire::{Message, Method, Uri};

/// One OPTIONS on its way.
#[derive(Debug)]
pub(super) struct Probe {
    transaction: TransactionId,
    started: Instant,
    target: smol_str::SmolStr,
    host: HostPort,
    identity: Box<[u8]>,
    cseq: u32,
    authorization: Authorization,
}

impl UserAgent {
    pub(super) fn ask_options(&mut self, target: &Uri) {
        let context = &mut self.context;
        let host = context
            .first_hop(target)
            .filter(|_| self.options.len() < MAX_PROBES);
        let Some(host) = host else {
            context.out.warn(format!(
                "OPTIONS to {target} was not sent: no host or too many"
            ));
            return;
        };
        let target = target.to_smolstr();
        let (tag, call_id) = (
            context.ids.tag(),
            context.ids.call_id(&context.config.call_id_prefix),
        );
        let identity = context.identity(&tag, &target, &call_id);
        let mut probe = Probe {
            transaction: TransactionId::NONE,
            started: context.now,
            target,
            host,
            identity,
            cseq: 0,
            authorization: Authorization::default(),
        };
        if probe.send(context) {
            self.options.push(probe);
        }
    }

    pub(super) fn on_options_response(&mut self, id: TransactionId, response: &Message) {
        let code = response.status().unwrap_or(0);
        let Some(index) = self
            .options
            .iter()
            .position(|probe| probe.transaction == id)
        else {
            return;
        };
        if code < 200 {
            return;
        }
        let mut probe = self.options.swap_remove(index);
        let context = &mut self.context;
        let answered = matches!(code, 401 | 407)
            && probe
                .authorization
                .learn(context, Usage::Call, response)
                .is_ok()
            && probe.send(context);
        if answered {
            self.options.push(probe);
            return;
        }
        let delay = context.now.saturating_duration_since(probe.started);
        context.out.event(Event::OptionsAnswered {
            code: Some(code),
            delay,
        });
    }

    pub(super) fn on_options_lost(&mut self, id: TransactionId) {
        let Some(index) = self
            .options
            .iter()
            .position(|probe| probe.transaction == id)
        else {
            return;
        };
        let probe = self.options.swap_remove(index);
        let delay = self.context.now.saturating_duration_since(probe.started);
        self.context
            .out
            .event(Event::OptionsAnswered { code: None, delay });
    }
}

impl Probe {
    fn send(&mut self, context: &mut Context) -> bool {
        self.cseq += 1;
        let method = Method::Options;
        let authorization = authorization_lines(context, Usage::Call, &method, &self.target, b"");
        let branch = context.ids.branch(&context.config.branch_prefix);
        let bytes = RequestText::new(&context.letterhead, &method, &self.target, &branch)
            .raw(context.letterhead.route())
            .raw(&self.identity)
            .cseq(self.cseq, &method)
            .contact()
            .line("Accept", super::BODY_TYPE)
            .raw(&authorization)
            .finish(None);
        match context.request(Owner::Options, method, branch, self.host.clone(), bytes) {
            Some(id) => {
                self.transaction = id;
                true
            }
            None => false,
        }
    }
}

/// Questions beyond this at once are refused.
const MAX_PROBES: usize = 8;
