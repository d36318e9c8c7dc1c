//! Test help: endpoints made of single messages, written with the same writers as the product.

use std::net::SocketAddr;

use bytes::Bytes;
use sip::digest::{Credentials, DigestClient};
use sip::wire::{Incoming, Message, Method, Name, RequestWriter, ResponseWriter, reason_phrase};

/// One endpoint that knows its name, its address and its lab.
pub(crate) struct Ua {
    pub(crate) user: String,
    pub(crate) address: SocketAddr,
    pub(crate) lab: SocketAddr,
    pub(crate) transport: &'static str,
    digest: DigestClient,
    cseq: u32,
}

/// The parts of a request that differ from one to the next.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) to: &'a str,
    pub(crate) to_tag: Option<&'a str>,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) headers: Vec<(Name, String)>,
    pub(crate) sdp: Option<&'a [u8]>,
}

impl Ua {
    pub(crate) fn new(user: &str, address: SocketAddr, lab: SocketAddr) -> Self {
        Self::with_password(user, &format!("pw-{user}"), address, lab)
    }

    pub(crate) fn with_password(
        user: &str,
        password: &str,
        address: SocketAddr,
        lab: SocketAddr,
    ) -> Self {
        let credentials = Credentials {
            username: user.into(),
            password: password.into(),
            realm: None,
        };
        Self {
            user: user.to_owned(),
            address,
            lab,
            transport: "UDP",
            digest: DigestClient::new(credentials, 1),
            cseq: 0,
        }
    }

    /// Takes the challenge of a 401 or 407.
    pub(crate) fn challenged(&mut self, response: &Message) {
        self.digest.on_challenge(response, 0).unwrap();
    }

    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    /// A REGISTER for `expires` seconds, authenticated as far as challenges are known.
    pub(crate) fn register(&mut self, expires: u32) -> Bytes {
        let contact = self.contact();
        self.register_with(vec![
            (Name::Contact, contact),
            (Name::Expires, expires.to_string()),
        ])
    }

    pub(crate) fn register_with(&mut self, mut headers: Vec<(Name, String)>) -> Bytes {
        let uri = format!("sip:{}", self.lab);
        headers.extend(self.digest.authorize(&Method::Register, &uri, b""));
        let (to, call_id) = (self.user.clone(), format!("reg-{}", self.user));
        let cseq = self.next_cseq();
        self.request(&Ask {
            method: Method::Register,
            uri,
            to: &to,
            to_tag: None,
            call_id: &call_id,
            cseq,
            headers,
            sdp: None,
        })
    }

    /// An INVITE to `callee`, authenticated as far as challenges are known.
    pub(crate) fn invite(&mut self, callee: &str, call_id: &str, sdp: Option<&[u8]>) -> Bytes {
        let uri = format!("sip:{callee}@{}", self.lab);
        let mut headers = vec![(Name::Contact, self.contact())];
        headers.extend(
            self.digest
                .authorize(&Method::Invite, &uri, sdp.unwrap_or_default()),
        );
        let cseq = self.next_cseq();
        let method = Method::Invite;
        self.request(&Ask {
            method,
            uri,
            to: callee,
            to_tag: None,
            call_id,
            cseq,
            headers,
            sdp,
        })
    }

    /// Any request; the branch follows Call-ID, CSeq and (for ACK to 2xx) the method.
    pub(crate) fn request(&self, ask: &Ask<'_>) -> Bytes {
        let fresh = match (&ask.method, ask.to_tag) {
            (Method::Ack, Some(_)) => "ack",
            _ => "",
        };
        let branch = format!("z9hG4bK{}-{}{fresh}", ask.call_id, ask.cseq);
        self.request_with_branch(ask, &branch)
    }

    pub(crate) fn request_with_branch(&self, ask: &Ask<'_>, branch: &str) -> Bytes {
        let to_tag = ask
            .to_tag
            .map(|tag| format!(";tag={tag}"))
            .unwrap_or_default();
        let via = format!(
            "SIP/2.0/{} {};rport;branch={branch}",
            self.transport, self.address
        );
        let mut writer = RequestWriter::new(&ask.method, &ask.uri)
            .header(Name::Via, via)
            .header(Name::MaxForwards, "70")
            .header(
                Name::From,
                format!("<sip:{}@{}>;tag=tag-{}", self.user, self.lab, self.user),
            )
            .header(Name::To, format!("<sip:{}@{}>{to_tag}", ask.to, self.lab))
            .header(Name::CallId, ask.call_id)
            .cseq(ask.cseq, &ask.method);
        for (name, value) in &ask.headers {
            writer = writer.header(*name, value);
        }
        match ask.sdp {
            Some(sdp) => writer.body("application/sdp", sdp).finish(),
            None => writer.finish(),
        }
    }

    /// A request inside of the dialog that `invite` and its 2xx made, seen from this end.
    pub(crate) fn within(&self, method: Method, peer: &Message, cseq: u32) -> Bytes {
        let mut routes: Vec<String> = peer.values(Name::RecordRoute).map(text).collect();
        let (to_tag, to) = match peer.status() {
            // The caller: from the 2xx, Record-Route reversed (RFC 3261 §12.1.2).
            Some(_) => {
                routes.reverse();
                (peer.to_tag().unwrap().to_owned(), "callee")
            }
            None => (peer.from_tag().unwrap().to_owned(), "caller"),
        };
        let contact = text(peer.header(Name::Contact).unwrap());
        let uri = contact.trim_matches(['<', '>']).to_owned();
        let headers = routes
            .into_iter()
            .map(|route| (Name::Route, route))
            .collect();
        let (call_id, to_tag) = (peer.call_id(), Some(to_tag.as_str()));
        self.request(&Ask {
            method,
            uri,
            to,
            to_tag,
            call_id,
            cseq,
            headers,
            sdp: None,
        })
    }

    /// A response of this end.
    pub(crate) fn respond(&self, request: &Message, code: u16, sdp: Option<&[u8]>) -> Bytes {
        let writer = ResponseWriter::to(request, code, reason_phrase(code))
            .to_tag(&format!("tag-{}", self.user))
            .record_route(request)
            .header(Name::Contact, self.contact());
        match sdp {
            Some(sdp) => writer.body("application/sdp", sdp).finish(),
            None => writer.finish(),
        }
    }

    pub(crate) fn contact(&self) -> String {
        let transport = if self.transport == "TCP" {
            ";transport=tcp"
        } else {
            ""
        };
        format!("<sip:ep-{}@{}{transport}>", self.user, self.address)
    }
}

/// Reads a message that must be one.
pub(crate) fn parse(bytes: &[u8]) -> Message {
    match Message::parse_datagram(Bytes::copy_from_slice(bytes)) {
        Ok(Incoming::Message(message)) => message,
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(bytes)),
    }
}

pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

/// A description with one audio line.
pub(crate) fn sdp(rtp: SocketAddr) -> Vec<u8> {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=ssrc:7 cname:x\r\n"
    )
    .into_bytes()
}
