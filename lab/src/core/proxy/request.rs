//! Requests: what is ours to answer, what goes on, and where to. RFC 3261 §16.3 to §16.6.

use std::time::{Duration, Instant};

use sip::wire::{Message, Method, Name, Uri};

use crate::config::{Action, Fault};

use super::super::auth::{Role, Verdict};
use super::super::calls::{Beginning, Callee, Full};
use super::super::faults;
use super::super::route::{Channel, Flow, destination};
use super::Proxy;
use super::forward::Way;

impl Proxy {
    /// Serves one request; `admitted` ones passed authentication and faults already.
    pub(super) fn request(&mut self, now: Instant, request: &Message, flow: Flow, admitted: bool) {
        let Some(method) = request.method() else {
            return;
        };
        let Some(way) = self.way(request) else {
            return self.answer(request, flow, 416);
        };
        if request.number(Name::MaxForwards) == Some(0) {
            return self.answer(request, flow, 483);
        }
        if *method == Method::Ack {
            return self.ack(now, request, flow, &way);
        }
        if let Some(options) = request.header_str(Name::ProxyRequire)
            && *method != Method::Cancel
        {
            let unsupported = (Name::Unsupported, options.to_owned());
            return self.answer_with(request, flow, 420, &[unsupported]);
        }
        match method {
            Method::Cancel => self.cancel(now, request, flow, &way, admitted),
            _ if request.to_tag().is_some() => {
                self.within_dialog(now, request, flow, way, admitted)
            }
            Method::Register if self.own.is_own(&way.uri) => {
                self.register(now, request, flow, admitted);
            }
            Method::Options if way.uri.user.is_none() && self.own.is_own(&way.uri) => {
                let allow = (Name::Allow, ALLOW.to_owned());
                self.answer_with(request, flow, 200, &[allow]);
            }
            Method::Invite | Method::Message | Method::Subscribe | Method::Options => {
                self.beyond_dialog(now, request, flow, way, admitted);
            }
            _ => {
                let allow = (Name::Allow, ALLOW.to_owned());
                self.answer_with(request, flow, 405, &[allow]);
            }
        }
    }

    /// Lets a configured fault strike; `true` when it did, and the request is done with.
    pub(super) fn strike(&mut self, now: Instant, request: &Message, flow: Flow) -> bool {
        match self.fate(request) {
            None => return false,
            Some(Action::Silence) => self.stats.faults_silent += 1,
            Some(Action::Slow { ms }) => {
                self.hold(now + Duration::from_millis(u64::from(ms)), request, flow);
            }
            Some(Action::Answer {
                code,
                retry_after_s,
            }) => {
                self.stats.faults_answered += 1;
                let retry: Vec<_> = retry_after_s
                    .map(|seconds| (Name::RetryAfter, seconds.to_string()))
                    .into_iter()
                    .collect();
                self.answer_with(request, flow, code, &retry);
            }
        }
        true
    }

    /// The body with the relay in it, where there is a description to put it into.
    pub(super) fn described(
        &mut self,
        message: &Message,
        is_request: bool,
    ) -> Result<Option<Vec<u8>>, Full> {
        let is_sdp = message
            .content_type()
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"));
        if !is_sdp || message.body().is_empty() {
            return Ok(None);
        }
        let from_tag = message.from_tag().unwrap_or_default();
        let (call_id, body) = (message.call_id(), message.body());
        self.calls
            .describe(call_id, from_tag, is_request, body, &mut self.stats)
    }

    /// What the configuration has in store for this request (a CANCEL shares its INVITE's).
    fn fate(&self, request: &Message) -> Option<Action> {
        let faults = &self.config.faults;
        let (list, method): (&[Fault], _) = match request.method()? {
            Method::Invite | Method::Cancel => (&faults.invite, "INVITE"),
            Method::Register => (&faults.register, "REGISTER"),
            Method::Bye => (&faults.bye, "BYE"),
            _ => return None,
        };
        faults::decide(
            self.config.seed,
            list,
            method,
            request.call_id(),
            request.cseq().0,
        )
    }

    /// An ACK to a 2xx follows the dialog's route; one to a refusal follows its INVITE, or ends
    /// here where the refusal was the lab's (RFC 3261 §17.1.1.3, §16.11).
    fn ack(&mut self, now: Instant, request: &Message, flow: Flow, way: &Way) {
        if request.to_tag() == Some(&self.own_tag(request)) {
            return;
        }
        if way.ours || way.next.is_some() || !self.own.is_own(&way.uri) {
            self.onward(request, flow, way);
        } else {
            self.after_invite(now, request, flow, way);
        }
    }

    fn cancel(&mut self, now: Instant, request: &Message, flow: Flow, way: &Way, admitted: bool) {
        match self.fate(request) {
            Some(Action::Silence) => self.stats.faults_silent += 1,
            // It must not overtake its INVITE.
            Some(Action::Slow { ms }) if !admitted => {
                self.hold(now + Duration::from_millis(u64::from(ms)), request, flow);
            }
            // RFC 3261 §9.2: the INVITE has its final answer; the CANCEL has no effect.
            Some(Action::Answer { .. }) => self.answer(request, flow, 200),
            Some(Action::Slow { .. }) | None => {
                if !self.after_invite(now, request, flow, way) {
                    self.answer(request, flow, 481);
                }
            }
        }
    }

    /// Sends a CANCEL or ACK where its INVITE went; `false` where that is not known.
    fn after_invite(&mut self, now: Instant, request: &Message, flow: Flow, way: &Way) -> bool {
        let known = self.calls.callee(request.call_id()).cloned();
        let Some(callee) = known.or_else(|| self.lookup(now, &way.uri)) else {
            self.stats.dropped += u64::from(request.method() == Some(&Method::Ack));
            return false;
        };
        let leaving = super::forward::Leaving {
            uri: Some(callee.uri),
            drop_routes: way.leaving.drop_routes,
            ..Default::default()
        };
        self.forward(request, flow, callee.flow, &leaving, None)
    }

    fn within_dialog(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        way: Way,
        admitted: bool,
    ) {
        if !way.ours && way.next.is_none() && self.own.is_own(&way.uri) {
            return self.answer(request, flow, 404);
        }
        let is_bye = request.method() == Some(&Method::Bye);
        if is_bye && !admitted && self.strike(now, request, flow) {
            return;
        }
        if is_bye {
            self.calls.bye(now, request.call_id(), &mut self.stats);
        }
        self.onward(request, flow, &way);
    }

    /// Sends a request on along its remaining route.
    fn onward(&mut self, request: &Message, flow: Flow, way: &Way) {
        let to = match &way.next {
            Some(route) => destination(route),
            None => self.flow_in_call(request, &way.uri),
        };
        let Some(to) = to else {
            return self.answer(request, flow, 404);
        };
        let Ok(body) = self.described(request, true) else {
            self.stats.refused += 1;
            return self.answer(request, flow, 503);
        };
        if !self.forward(request, flow, to, &way.leaving, body.as_deref()) {
            self.answer(request, flow, 403);
        }
    }

    fn beyond_dialog(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        mut way: Way,
        admitted: bool,
    ) {
        if !self.own.is_own(&way.uri) {
            return self.answer(request, flow, 403);
        }
        let asks = self.config.auth.invite && request.method() != Some(&Method::Options);
        if !admitted && asks {
            let verdict = self.authenticator.judge(now, Role::Proxy, request);
            if !matches!(verdict, Verdict::Known(_)) {
                return self.refuse(now, request, flow, Role::Proxy, &verdict);
            }
        }
        if !admitted && self.strike(now, request, flow) {
            return;
        }
        let Some(user) = way.uri.user.clone() else {
            return self.answer(request, flow, 484);
        };
        let Some(callee) = self.lookup(now, &way.uri) else {
            // RFC 3261 §21.4.18: a user that exists and is not there, as against none at all.
            let code = if self.authenticator.exists(&user) && self.lists_accounts() {
                480
            } else {
                404
            };
            return self.answer(request, flow, code);
        };
        if request.method() == Some(&Method::Invite) && !self.begin(now, request, flow, &callee) {
            return self.answer(request, flow, 503);
        }
        let Ok(body) = self.described(request, true) else {
            self.stats.refused += 1;
            return self.answer(request, flow, 503);
        };
        way.leaving.uri = Some(callee.uri);
        way.leaving.record_route = true;
        if !self.forward(request, flow, callee.flow, &way.leaving, body.as_deref()) {
            self.answer(request, flow, 403);
        }
    }

    fn begin(&mut self, now: Instant, request: &Message, flow: Flow, callee: &Callee) -> bool {
        let begin = Beginning {
            call_id: request.call_id(),
            caller_tag: request.from_tag().unwrap_or_default(),
            cseq: request.cseq().0,
            caller: flow,
            callee: callee.clone(),
        };
        let begun = self.calls.begin(now, begin, &mut self.stats);
        self.stats.refused += u64::from(begun.is_err());
        begun.is_ok()
    }

    fn lists_accounts(&self) -> bool {
        matches!(self.config.accounts, crate::config::Accounts::Listed(_))
    }

    /// The newest contact of the user that an own URI names.
    fn lookup(&mut self, now: Instant, uri: &Uri) -> Option<Callee> {
        let user = uri.user.as_deref()?;
        let binding = self.registrar.bindings(now, user).last()?;
        let contact = Uri::parse(&binding.uri).ok()?;
        let flow = match (binding.flow.via, destination(&contact)) {
            (Channel::Udp, Some(address)) => address,
            // A TCP contact is reached by its connection, a name by where it registered from.
            _ => binding.flow,
        };
        Some(Callee {
            uri: binding.uri.clone(),
            flow,
        })
    }
}

const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, \
                     UPDATE, PRACK, INFO, REFER, NOTIFY";
