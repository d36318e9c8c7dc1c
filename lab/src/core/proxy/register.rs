//! REGISTER: authentication, the wish, the answer. RFC 3261 §10.3.

use std::time::Instant;

use sip::wire::{Message, Name, NameAddr};

use super::super::auth::{Role, Verdict};
use super::super::registrar::{Change, Refusal, Wish};
use super::super::route::Flow;
use super::Proxy;

impl Proxy {
    /// Serves one REGISTER; `admitted` ones were judged before a fault held them back.
    pub(super) fn register(&mut self, now: Instant, request: &Message, flow: Flow, admitted: bool) {
        let user = request
            .header(Name::To)
            .and_then(|value| NameAddr::parse(value).ok())
            .filter(|to| self.own.is_own(&to.uri))
            .and_then(|to| to.uri.user)
            .filter(|user| self.authenticator.exists(user));
        // RFC 3261 §10.3 step 5: an address of record that is not of this domain.
        let Some(user) = user else {
            return self.answer(request, flow, 404);
        };
        if !admitted && self.config.auth.register {
            match self.authenticator.judge(now, Role::Registrar, request) {
                Verdict::Known(name) if name == *user => {}
                // Step 4: who has proved to be somebody else may not register this user.
                Verdict::Known(_) => return self.answer(request, flow, 403),
                verdict => return self.refuse(now, request, flow, Role::Registrar, &verdict),
            }
        }
        if !admitted && self.strike(now, request, flow) {
            return;
        }
        let Some(wish) = self.wish(request) else {
            return self.answer(request, flow, 400);
        };
        let order = (request.call_id(), request.cseq().0);
        match self.registrar.register(now, &user, &wish, order, flow) {
            Ok(change) => {
                self.stats.registrations += u64::from(change == Change::Registered);
                self.stats.unregistrations += u64::from(change == Change::Unregistered);
                let contacts = self.contacts(now, &user);
                self.answer_with(request, flow, 200, &contacts);
            }
            Err(Refusal::TooBrief) => {
                let minimum = (Name::MinExpires, self.config.min_expires_s.to_string());
                self.answer_with(request, flow, 423, &[minimum]);
            }
            Err(Refusal::OutOfOrder) => self.answer(request, flow, 500),
            Err(Refusal::Full) => {
                self.stats.refused += 1;
                self.answer(request, flow, 503);
            }
        }
    }

    /// Challenges a request whose credentials do not do.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        role: Role,
        verdict: &Verdict,
    ) {
        self.stats.wrong_credentials += u64::from(*verdict == Verdict::Wrong);
        self.challenge(now, request, flow, role, *verdict == Verdict::Stale);
    }

    /// What the Contact and Expires headers ask for; `None` where they contradict each other.
    fn wish(&self, request: &Message) -> Option<Wish> {
        let header = request.number(Name::Expires);
        let values: Vec<&[u8]> = request.values(Name::Contact).collect();
        match values.as_slice() {
            [] => return Some(Wish::Query),
            [b"*"] => return (header == Some(0)).then_some(Wish::RemoveAll),
            _ => {}
        }
        values
            .into_iter()
            .map(|value| {
                let contact = NameAddr::parse(value).ok()?;
                // RFC 3261 §20.10: a malformed parameter counts as 3600.
                let own = contact
                    .params
                    .get("expires")
                    .map(|text| text.parse().unwrap_or(3600));
                let seconds = own.or(header).unwrap_or(self.config.default_expires_s);
                Some((contact.uri.to_string(), seconds))
            })
            .collect::<Option<_>>()
            .map(Wish::Set)
    }

    /// Every live contact with the time it has left (RFC 3261 §10.3 step 8).
    fn contacts(&mut self, now: Instant, user: &str) -> Vec<(Name, String)> {
        let bindings = self.registrar.bindings(now, user).iter();
        bindings
            .map(|binding| {
                let left = binding.expires_at.saturating_duration_since(now);
                // Rounded up, so that a fresh binding shows what was granted.
                let seconds = left.as_millis().div_ceil(1000);
                (
                    Name::Contact,
                    format!("<{}>;expires={seconds}", binding.uri),
                )
            })
            .collect()
    }
}
