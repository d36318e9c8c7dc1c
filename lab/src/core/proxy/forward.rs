//! Sending a request on: Via, Record-Route, Max-Forwards, Route, body. RFC 3261 §16.6, §16.11.

use sip::wire::{Message, Method, Name, NameAddr, Uri};

use super::super::edit::{self, RequestEdit, Stamp};
use super::super::random::hash;
use super::super::route::{Channel, Flow, destination};
use super::{Output, Proxy};

/// How a request leaves.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// The Request-URI, where it changes.
    pub(super) uri: Option<String>,
    /// Own Route values to take away.
    pub(super) drop_routes: usize,
    /// The last Route value became the Request-URI.
    pub(super) drop_last_route: bool,
    /// The lab stays in the dialog's way.
    pub(super) record_route: bool,
}

/// A request's way as its Route header and Request-URI say (RFC 3261 §16.4, §16.6 step 6).
#[derive(Debug)]
pub(super) struct Way {
    /// The Request-URI after strict routing was undone.
    pub(super) uri: Uri,
    /// The topmost Route value that is not the lab's own.
    pub(super) next: Option<Uri>,
    /// The lab's own Route values on top, and whether the last one became the Request-URI.
    pub(super) leaving: Leaving,
    /// A Route value of the lab was there, or a strict router put it into the Request-URI.
    pub(super) ours: bool,
}

impl Proxy {
    /// Reads Request-URI and Route. `None`: the Request-URI is none that SIP can route.
    pub(super) fn way(&self, request: &Message) -> Option<Way> {
        let mut uri = Uri::parse(request.request_uri()).ok()?;
        let routes: Vec<Uri> = request
            .values(Name::Route)
            .map(|value| NameAddr::parse(value).map(|address| address.uri))
            .collect::<Result<_, _>>()
            .ok()?;
        let mut routes = routes.as_slice();
        let mut leaving = Leaving::default();
        let mut ours = false;
        // RFC 3261 §16.4: a strict router before us put our URI where the target belongs.
        if let Some((last, before)) = routes.split_last()
            && self.own.is_own_route(&uri)
            && request.to_tag().is_some()
            && uri.params.has("lr")
        {
            uri = last.clone();
            leaving.uri = Some(uri.to_string());
            leaving.drop_last_route = true;
            routes = before;
            ours = true;
        }
        let own = routes
            .iter()
            .take_while(|route| self.own.is_own_route(route))
            .count();
        leaving.drop_routes = own;
        ours |= own > 0;
        Some(Way {
            uri,
            next: routes.get(own).cloned(),
            leaving,
            ours,
        })
    }

    /// Sends a request on to `to`. `false`: the target is not allowed, nothing was sent.
    pub(super) fn forward(
        &mut self,
        request: &Message,
        from: Flow,
        to: Flow,
        leaving: &Leaving,
        body: Option<&[u8]>,
    ) -> bool {
        if !self.config.allow_public && !to.peer.ip().is_loopback() {
            self.stats.refused += 1;
            return false;
        }
        let via = self.own_via(request, from, to);
        let record_route = leaving.record_route.then(|| self.record_route(from, to));
        // RFC 3261 §16.6 step 3: a request without the header gets the recommended 70.
        let hops = request
            .number(Name::MaxForwards)
            .map_or(70, |hops| hops.saturating_sub(1));
        let edit = RequestEdit {
            uri: leaving.uri.as_deref(),
            via: &via,
            record_route: record_route.as_deref(),
            stamp: stamp(request, from),
            max_forwards: hops.min(MAX_HOPS),
            drop_routes: leaving.drop_routes,
            drop_last_route: leaving.drop_last_route,
            consume_realm: (request.method() != Some(&Method::Register))
                .then_some(self.config.realm.as_str()),
            body,
        };
        let Some(bytes) = edit::request(request.raw(), &edit) else {
            self.stats.dropped += 1;
            return true;
        };
        self.stats.forwarded += 1;
        self.outputs.push_back(Output::Send(to, bytes));
        true
    }

    /// The flow to a URI inside of a call: the connection that the end is known by, where it
    /// uses TCP, else the address of the URI.
    pub(super) fn flow_in_call(&self, request: &Message, uri: &Uri) -> Option<Flow> {
        let from_tag = request.from_tag().unwrap_or_default();
        let known = self.calls.flow_to_peer_of(request.call_id(), from_tag);
        known.filter(Flow::is_tcp).or_else(|| destination(uri))
    }

    /// RFC 3261 §16.11: the branch is a function of the request alone, and the same for an
    /// INVITE, its CANCEL and the ACK to its refusal.
    fn own_via(&self, request: &Message, from: Flow, to: Flow) -> String {
        let via = request.top_via();
        let id = if via.has_rfc3261_branch() {
            let branch = via.branch().unwrap_or_default().as_bytes();
            hash(
                0,
                &[
                    branch,
                    via.host.to_string().as_bytes(),
                    &port_octets(via.port),
                ],
            )
        } else {
            let (cseq, _) = request.cseq();
            hash(
                0,
                &[
                    request.lines(Name::Via).next().unwrap_or_default(),
                    request.request_uri().as_bytes(),
                    request.call_id().as_bytes(),
                    request.from_tag().unwrap_or_default().as_bytes(),
                    &cseq.to_be_bytes(),
                ],
            )
        };
        let transport = if to.is_tcp() { "TCP" } else { "UDP" };
        // The connection rides along, because a response must go back on it (RFC 3261 §18.2.2).
        let connection = match from.via {
            Channel::Tcp(number) => format!(".{number}"),
            Channel::Udp | Channel::AnyTcp => String::new(),
        };
        format!(
            "SIP/2.0/{transport} {};branch={BRANCH}{id:016x}{connection}",
            self.own.address
        )
    }

    /// One value, or one per transport where they differ (RFC 5658 §3.3).
    fn record_route(&self, from: Flow, to: Flow) -> String {
        let value = |flow: Flow| {
            let transport = if flow.is_tcp() { ";transport=tcp" } else { "" };
            format!("<sip:{}{transport};lr>", self.own.address)
        };
        if from.is_tcp() == to.is_tcp() {
            value(to)
        } else {
            format!("{}, {}", value(to), value(from))
        }
    }
}

/// What the sender's Via gets: its source where it differs or was asked for.
fn stamp(request: &Message, from: Flow) -> Stamp {
    let via = request.top_via();
    let asked = via.rport().is_some();
    let differs = via.host.address() != Some(from.peer.ip());
    Stamp {
        received: (asked || differs).then(|| from.peer.ip().to_string()),
        rport: asked.then(|| from.peer.port()),
    }
}

fn port_octets(port: Option<u16>) -> [u8; 2] {
    port.unwrap_or(0).to_be_bytes()
}

/// The connection number that [`Proxy::own_via`] put into the branch.
pub(super) fn connection_of(branch: &str) -> Option<u64> {
    branch.strip_prefix(BRANCH)?.split_once('.')?.1.parse().ok()
}

const BRANCH: &str = "z9hG4bKlab-";
/// RFC 3261 §20.22: Max-Forwards is at most 255.
const MAX_HOPS: u32 = 255;
