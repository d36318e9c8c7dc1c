//! Responses on their way back: our Via comes off, the next one says where to. RFC 3261 §16.7, §16.11.

use std::time::Instant;

use sip::wire::{Message, Method, Name, Via};

use super::super::edit;
use super::answer::return_flow;
use super::forward::connection_of;
use super::{Output, Proxy};

impl Proxy {
    /// Sends a response on, or drops it where it is not for us to send.
    pub(super) fn response(&mut self, now: Instant, response: &Message) {
        let top = response.top_via();
        let next = response
            .values(Name::Via)
            .nth(1)
            .and_then(|value| Via::parse(value).ok());
        let mine = top.host.address() == Some(self.own.address.ip())
            && top.port == Some(self.own.address.port());
        let connection = top.branch().and_then(connection_of);
        let (true, Some(to)) = (mine, next.and_then(|via| return_flow(&via, connection))) else {
            self.stats.dropped += 1;
            return;
        };
        if !self.config.allow_public && !to.peer.ip().is_loopback() {
            self.stats.refused += 1;
            return;
        }
        let call_id = response.call_id();
        let status = response.status().unwrap_or_default();
        if response.cseq().1 == &Method::Invite {
            match status {
                200..=299 => self.calls.answered(now, call_id, &mut self.stats),
                300.. => self.calls.failed(now, call_id, &mut self.stats),
                _ => {}
            }
        }
        let body = if status < 300 {
            self.described(response, false)
        } else {
            Ok(None)
        };
        // No ports for a late media line: the description passes as it is, and is counted.
        let body = body.unwrap_or_else(|_| {
            self.stats.refused += 1;
            None
        });
        let Some(bytes) = edit::response(response.raw(), body.as_deref()) else {
            self.stats.dropped += 1;
            return;
        };
        self.stats.forwarded += 1;
        self.outputs.push_back(Output::Send(to, bytes));
    }
}
