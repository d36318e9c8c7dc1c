//! The binding of one address of record: REGISTER, refresh, removal.
//!
//! | state       | input                    | action                                    | next        |
//! |-------------|--------------------------|-------------------------------------------|-------------|
//! | Idle        | command Register         | REGISTER                                  | Asking      |
//! | Asking      | 2xx                      | Registered (or Unregistered)              | Bound, Idle |
//! | Asking      | 401, 407, 3xx, 423, 503  | REGISTER again, bounded                   | Asking      |
//! | Asking      | other final, F, error    | RegistrationFailed (or UnregisterFailed)  | Idle        |
//! | Asking      | command Unregister       | done after the answer (§10.2)             | Asking      |
//! | Asking, 503 | command Unregister       | REGISTER with Expires 0 if a binding may stand, else over | Asking, Idle |
//! | Idle        | command Unregister       | REGISTER with Expires 0 if a binding may stand, else over | Asking, Idle |
//! | Bound       | refresh is due           | REGISTER                                  | Asking      |
//! | Bound       | command Unregister       | REGISTER with Expires 0                   | Asking      |
//!
//! Source: RFC 3261 §10.2, §10.3, §20.23.

mod binding;

use std::time::Instant;

use smol_str::SmolStr;

use crate::transaction::{Expiry, Owner, TransactionId};
use crate::ua::{
    Context, Event, HostPort, Next, RequestText, Retry, Target, Usage, address_of_record,
    authorization_lines,
};
use crate::wire::{Message, Method, Name};

/// The registration of one agent.
#[derive(Debug)]
pub(crate) struct Registration {
    identity: Box<[u8]>,
    domain_uri: SmolStr,
    cseq: u32,
    /// The lifetime to ask for; 423 raises it.
    expires_s: u32,
    state: State,
    /// The registrar may hold a binding: it granted one, or a REGISTER went unanswered.
    may_stand: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Asking(Box<Asking>),
    Bound { refresh_at: Instant },
}

/// A REGISTER on its way.
#[derive(Debug)]
struct Asking {
    goal: Goal,
    started: Instant,
    transaction: TransactionId,
    request_uri: SmolStr,
    host: HostPort,
    retry: Retry,
    retry_at: Option<Instant>,
    raised: bool,
    /// The user wants the binding removed as soon as this is answered.
    remove_next: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Bind,
    Refresh,
    Remove,
}

/// How a REGISTER failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Answer(u16),
    Timeout,
    Transport,
}

impl Registration {
    /// Nothing is bound yet.
    pub(crate) fn new(context: &mut Context, expires_s: u32) -> Self {
        // RFC 3261 §10.2: one Call-ID for all registrations to a registrar.
        let (tag, call_id) = (
            context.ids.tag(),
            context.ids.call_id(&context.config.call_id_prefix),
        );
        let address = address_of_record(&context.config);
        Self {
            identity: context.identity(&tag, &address, &call_id),
            domain_uri: SmolStr::from(format!("sip:{}", context.config.domain)),
            cseq: 0,
            expires_s: expires_s.max(1),
            state: State::Idle,
            may_stand: false,
        }
    }

    /// Binds, unless that is done or under way.
    pub(crate) fn register(&mut self, context: &mut Context) {
        match &mut self.state {
            State::Idle => self.ask(context, Goal::Bind),
            State::Asking(asking) => asking.remove_next = false,
            State::Bound { .. } => {
                context
                    .out
                    .warn("already registered; the binding is refreshed".to_owned());
                self.ask(context, Goal::Refresh);
            }
        }
    }

    /// Removes the binding, after the answer to a REGISTER that is under way (RFC 3261 §10.2: one
    /// at a time). A REGISTER that waits for its 503's Retry-After is not under way.
    pub(crate) fn unregister(&mut self, context: &mut Context) {
        match &mut self.state {
            State::Asking(asking) if asking.goal == Goal::Remove => {}
            State::Asking(asking) if asking.retry_at.is_none() => asking.remove_next = true,
            State::Asking(asking) => {
                if asking.goal == Goal::Bind {
                    let reason = "503 (given up while its Retry-After ran)".to_owned();
                    self.end(context, Goal::Bind, Failure::Answer(503), reason);
                }
                self.remove(context);
            }
            State::Idle | State::Bound { .. } => self.remove(context),
        }
    }

    /// Asks for the removal of what the registrar may hold.
    fn remove(&mut self, context: &mut Context) {
        if self.may_stand {
            self.ask(context, Goal::Remove);
        } else {
            self.state = State::Idle;
            context.out.warn("nothing is registered".to_owned());
            context.out.event(Event::UnregisterFailed { code: None });
        }
    }

    fn ask(&mut self, context: &mut Context, goal: Goal) {
        let Some(registrar) = &context.config.registrar else {
            self.end(
                context,
                goal,
                Failure::Transport,
                "no registrar is configured".to_owned(),
            );
            return;
        };
        let host = context
            .config
            .outbound_proxy
            .as_ref()
            .unwrap_or(&registrar.address)
            .clone();
        let asking = Asking {
            goal,
            started: context.now,
            transaction: TransactionId::NONE,
            request_uri: self.domain_uri.clone(),
            host,
            retry: Retry::default(),
            retry_at: None,
            raised: false,
            remove_next: false,
        };
        self.send(context, Box::new(asking));
    }

    fn send(&mut self, context: &mut Context, mut asking: Box<Asking>) {
        self.cseq += 1;
        let method = Method::Register;
        let uri = &asking.request_uri;
        let authorization = authorization_lines(context, Usage::Registration, &method, uri, b"");
        let branch = context.ids.branch(&context.config.branch_prefix);
        let expires_s = match asking.goal {
            Goal::Bind | Goal::Refresh => self.expires_s,
            Goal::Remove => 0,
        };
        let contact = context.letterhead.contact();
        let lifetime =
            format!("Contact: {contact};expires={expires_s}\r\nExpires: {expires_s}\r\n");
        let bytes = RequestText::new(&context.letterhead, &method, uri, &branch)
            .raw(context.letterhead.route())
            .raw(&self.identity)
            .cseq(self.cseq, &method)
            .raw(lifetime.as_bytes())
            .raw(&authorization)
            .finish(None);
        match context.request(
            Owner::Registration,
            method,
            branch,
            asking.host.clone(),
            bytes,
        ) {
            Some(id) => {
                asking.transaction = id;
                self.state = State::Asking(asking);
            }
            None => {
                let reason = "too many transactions are alive".to_owned();
                self.end(context, asking.goal, Failure::Transport, reason);
            }
        }
    }

    /// Takes an answer to REGISTER.
    pub(crate) fn on_response(
        &mut self,
        context: &mut Context,
        id: TransactionId,
        response: &Message,
    ) {
        let code = response.status().unwrap_or(0);
        if code < 200 {
            return;
        }
        let Some(mut asking) = self.take_asking(id) else {
            return;
        };
        match code {
            200..=299 => self.on_success(context, &asking, code, response),
            423 if !asking.raised && asking.goal != Goal::Remove => {
                self.on_too_brief(context, asking, response);
            }
            _ => match asking.retry.judge(context, Usage::Registration, response) {
                Next::Again => {
                    if asking.goal == Goal::Bind {
                        context.out.event(Event::RegistrationChallenged);
                    }
                    self.send(context, asking);
                }
                Next::Elsewhere(target) => self.redirect(context, asking, target),
                Next::Later(wait) => {
                    asking.retry_at = Some(context.now + wait);
                    self.state = State::Asking(asking);
                }
                Next::Never(reason) => self.fail(context, &asking, Failure::Answer(code), reason),
            },
        }
    }

    fn on_success(
        &mut self,
        context: &mut Context,
        asking: &Asking,
        code: u16,
        response: &Message,
    ) {
        self.may_stand = asking.goal != Goal::Remove;
        if asking.goal == Goal::Remove {
            self.state = State::Idle;
            context.out.event(Event::Unregistered { code });
            return;
        }
        let expires_s = binding::granted_s(&context.config, response).unwrap_or(self.expires_s);
        let delay = context.now.saturating_duration_since(asking.started);
        let refresh = asking.goal == Goal::Refresh;
        self.state = State::Bound {
            refresh_at: context.now + binding::refresh_after(expires_s),
        };
        context.out.event(Event::Registered {
            expires_s,
            code,
            delay,
            refresh,
        });
        if asking.remove_next {
            self.ask(context, Goal::Remove);
        }
    }

    /// RFC 3261 §10.2.8: ask again with the lifetime that the registrar wants, once.
    fn on_too_brief(&mut self, context: &mut Context, mut asking: Box<Asking>, response: &Message) {
        match response.number(Name::MinExpires) {
            Some(least_s) if least_s > self.expires_s => {
                asking.raised = true;
                self.expires_s = least_s;
                self.send(context, asking);
            }
            Some(_) | None => {
                let reason = "423 without a usable Min-Expires".to_owned();
                self.fail(context, &asking, Failure::Answer(423), reason);
            }
        }
    }

    fn redirect(&mut self, context: &mut Context, mut asking: Box<Asking>, target: Target) {
        let through_proxy = context.config.outbound_proxy.is_some() && target.uri.is_some();
        if !through_proxy {
            asking.host = target.host;
        }
        if let Some(uri) = target.uri {
            asking.request_uri = uri;
        }
        self.send(context, asking);
    }

    /// Takes the expiry of a REGISTER.
    pub(crate) fn on_expiry(&mut self, context: &mut Context, id: TransactionId, expiry: Expiry) {
        if expiry != Expiry::NoAnswer {
            return;
        }
        let Some(mut asking) = self.take_asking(id) else {
            return;
        };
        if let Some(target) = asking.retry.after_silence() {
            self.redirect(context, asking, target);
            return;
        }
        let reason = format!("no answer from {}", asking.host);
        self.fail(context, &asking, Failure::Timeout, reason);
    }

    /// Takes a failure to send a REGISTER.
    pub(crate) fn on_transport_error(
        &mut self,
        context: &mut Context,
        id: TransactionId,
        error: &str,
    ) {
        let Some(mut asking) = self.take_asking(id) else {
            return;
        };
        if let Some(target) = asking.retry.after_silence() {
            self.redirect(context, asking, target);
            return;
        }
        let reason = format!("{} cannot be reached: {error}", asking.host);
        self.fail(context, &asking, Failure::Transport, reason);
    }

    fn fail(&mut self, context: &mut Context, asking: &Asking, failure: Failure, reason: String) {
        self.end(context, asking.goal, failure, reason);
        if asking.remove_next {
            self.remove(context);
        }
    }

    fn end(&mut self, context: &mut Context, goal: Goal, failure: Failure, reason: String) {
        self.state = State::Idle;
        match (goal, failure) {
            // The REGISTER may have been served and only its answer lost.
            (Goal::Bind | Goal::Refresh, Failure::Timeout) => self.may_stand = true,
            // RFC 3261 §10.3: a refusal changes no binding.
            (Goal::Bind | Goal::Refresh, Failure::Answer(_) | Failure::Transport) => {}
            // What stands now ends by its own expiry.
            (Goal::Remove, _) => self.may_stand = false,
        }
        let code = match failure {
            Failure::Answer(code) => Some(code),
            Failure::Timeout | Failure::Transport => None,
        };
        context.out.event(match goal {
            Goal::Bind | Goal::Refresh => Event::RegistrationFailed {
                code,
                reason,
                timeout: failure == Failure::Timeout,
                transport: failure == Failure::Transport,
            },
            Goal::Remove => Event::UnregisterFailed { code },
        });
    }

    /// The REGISTER on its way, if it is this one; puts Idle in its place.
    fn take_asking(&mut self, id: TransactionId) -> Option<Box<Asking>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Asking(asking) if asking.transaction == id => Some(asking),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Performs what is due: a refresh, or the repetition after a 503.
    pub(crate) fn on_timeout(&mut self, context: &mut Context) {
        match &mut self.state {
            State::Bound { refresh_at } if context.now >= *refresh_at => {
                self.ask(context, Goal::Refresh);
            }
            State::Asking(asking) if asking.retry_at.is_some_and(|at| context.now >= at) => {
                asking.retry_at = None;
                let id = asking.transaction;
                if let Some(asking) = self.take_asking(id) {
                    self.send(context, asking);
                }
            }
            State::Idle | State::Asking(_) | State::Bound { .. } => {}
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Asking(asking) => asking.retry_at,
            State::Bound { refresh_at } => Some(*refresh_at),
        }
    }

    /// Whether nothing is bound and nothing is asked for.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }
}
