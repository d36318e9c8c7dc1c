//! Answers that the lab makes itself, and where they go. RFC 3261 §8.2.6, §18.2.2, RFC 3581 §4.

use std::net::SocketAddr;
use std::time::Instant;

use sip::wire::{Host, Message, Method, Name, ResponseWriter, Via, reason_phrase};

use super::super::auth::Role;
use super::super::random::hash;
use super::super::route::{Channel, DEFAULT_PORT, Flow};
use super::{Output, Proxy};

impl Proxy {
    /// Answers with a bare status; ACK is never answered.
    pub(super) fn answer(&mut self, request: &Message, flow: Flow, code: u16) {
        self.answer_with(request, flow, code, &[]);
    }

    /// Answers with further headers.
    pub(super) fn answer_with(
        &mut self,
        request: &Message,
        flow: Flow,
        code: u16,
        headers: &[(Name, String)],
    ) {
        if request.method() == Some(&Method::Ack) {
            self.stats.dropped += 1;
            return;
        }
        let mut writer = ResponseWriter::to_source(request, flow.peer, code, reason_phrase(code))
            .to_tag(&self.own_tag(request))
            .header(Name::Server, SERVER);
        for (name, value) in headers {
            writer = writer.header(*name, value);
        }
        self.stats.answered += 1;
        let to = answer_flow(&request.top_via(), flow);
        self.outputs.push_back(Output::Send(to, writer.finish()));
    }

    /// Asks for credentials.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        role: Role,
        stale: bool,
    ) {
        self.stats.challenges += 1;
        let headers: Vec<_> = self
            .authenticator
            .challenges(now, stale)
            .map(|challenge| (role.challenge(), challenge))
            .collect();
        self.answer_with(request, flow, role.status(), &headers);
    }

    /// The To tag of every answer that the lab makes to this request and its repetitions; the
    /// ACK that carries it is meant for the lab (RFC 3261 §8.2.7: the same each time).
    pub(super) fn own_tag(&self, request: &Message) -> String {
        let from_tag = request.from_tag().unwrap_or_default();
        let parts = [request.call_id().as_bytes(), from_tag.as_bytes()];
        format!("lab-{:016x}", hash(self.secret, &parts))
    }
}

/// Where the answer to a request goes that came on `flow` with this top Via.
fn answer_flow(via: &Via, flow: Flow) -> Flow {
    if flow.is_tcp() || via.rport().is_some() {
        return flow;
    }
    let port = via.port.unwrap_or(DEFAULT_PORT);
    Flow {
        peer: SocketAddr::new(flow.peer.ip(), port),
        via: Channel::Udp,
    }
}

/// Where a response goes whose top Via is now this one: the lab stamped it when it came by.
pub(super) fn return_flow(via: &Via, connection: Option<u64>) -> Option<Flow> {
    let sent_by = match &via.host {
        Host::Name(_) => None,
        host => host.address(),
    };
    let ip = via.received().or(sent_by)?;
    let port = match via.rport() {
        Some(Some(port)) => port,
        _ => via.port.unwrap_or(DEFAULT_PORT),
    };
    let tcp = via.transport.eq_ignore_ascii_case("TCP");
    let channel = match (tcp, connection) {
        (false, _) => Channel::Udp,
        (true, Some(number)) => Channel::Tcp(number),
        (true, None) => Channel::AnyTcp,
    };
    Some(Flow {
        peer: SocketAddr::new(ip, port),
        via: channel,
    })
}

const SERVER: &str = "Carillon lab";
