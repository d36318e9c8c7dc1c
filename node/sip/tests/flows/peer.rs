//! The peer of a ladder: remembers the agent's messages and makes its own from them.

use std::collections::HashMap;

use bytes::Bytes;
use sip::wire::{Incoming, Message, Method, Name, ResponseWriter, reason_phrase};

use super::PEER;

/// What the scripted peer remembers.
#[derive(Default)]
pub(super) struct Peer {
    /// The agent's last request of each method.
    requests: HashMap<String, Message>,
    /// The agent's last answer to an INVITE of ours.
    answer: Option<Message>,
    /// Our last request of each method.
    ours: HashMap<String, Bytes>,
    branches: u32,
    cseq: u32,
}

impl Peer {
    pub(super) fn learn(&mut self, message: Message) {
        if let Some(method) = message.method() {
            self.requests.insert(method.to_string(), message);
        } else if *message.cseq().1 == Method::Invite && message.status() != Some(100) {
            self.answer = Some(message);
        }
    }

    pub(super) fn compose(
        &mut self,
        head: &str,
        headers: &[(&str, &str)],
    ) -> Result<Bytes, String> {
        let words: Vec<&str> = head.split_whitespace().collect();
        let option = |name: &str| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let body = option("body").unwrap_or_default().as_bytes().to_vec();
        let first = *words.first().ok_or("nothing to receive")?;
        if let Ok(code) = first.parse::<u16>() {
            let method = *words.get(1).ok_or("which method?")?;
            let request = self
                .requests
                .get(method)
                .ok_or("the agent sent no such request")?;
            let reason = reason_phrase(code);
            let mut response = ResponseWriter::to(request, code, reason);
            if option("tag") != Some("none") && code != 100 {
                response = response.to_tag(option("tag").unwrap_or("peer"));
            }
            let contact = headers.iter().any(|(name, _)| *name == "Contact");
            if method == "INVITE" && (101..300).contains(&code) && !contact {
                response = response.header(Name::Contact, format!("<sip:peer@{PEER}>"));
            }
            for (name, value) in headers {
                response = response.header_raw(name, value);
            }
            return Ok(match body.is_empty() {
                true => response.finish(),
                false => response.body("application/sdp", &body).finish(),
            });
        }
        if words.contains(&"again") {
            return self
                .ours
                .get(first)
                .cloned()
                .ok_or("nothing to repeat".into());
        }
        let bytes = self.request(first, option("cseq"), option("tag"), headers, &body)?;
        self.ours.insert(first.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// A request: in the dialog, if there is one, else the first of a call.
    fn request(
        &mut self,
        method: &str,
        cseq: Option<&str>,
        tag: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Bytes, String> {
        let field = |message: &Message, name| message.header_str(name).unwrap().to_owned();
        let ours = self.ours.get("INVITE").map(parse).transpose()?;
        let (from, to, call_id) = match (&self.requests.get("INVITE"), &self.answer, &ours) {
            (_, Some(answer), Some(_)) => (
                field(answer, Name::From),
                field(answer, Name::To),
                field(answer, Name::CallId),
            ),
            (Some(invite), _, None) => {
                let to = field(invite, Name::To);
                let to = match invite.to_tag() {
                    Some(_) => to,
                    None => format!("{to};tag={}", tag.unwrap_or("peer")),
                };
                (to, field(invite, Name::From), field(invite, Name::CallId))
            }
            (_, None, Some(invite)) => (
                field(invite, Name::From),
                field(invite, Name::To),
                field(invite, Name::CallId),
            ),
            (None, _, None) => {
                let from = format!("<sip:peer@example.org>;tag={}", tag.unwrap_or("peer"));
                (
                    from,
                    "<sip:alice@example.org>".to_owned(),
                    "peer-call".to_owned(),
                )
            }
        };
        let failed = self
            .answer
            .as_ref()
            .and_then(Message::status)
            .is_some_and(|code| code >= 300);
        let same_branch = method == "CANCEL" || (method == "ACK" && failed);
        let number = match cseq {
            Some(number) => number.parse().map_err(|_| "bad cseq")?,
            None if same_branch || method == "ACK" => ours.as_ref().map_or(1, |it| it.cseq().0),
            None => {
                self.cseq += 1;
                self.cseq
            }
        };
        let branch = match &ours {
            Some(invite) if same_branch => invite.branch().unwrap().to_owned(),
            _ => {
                self.branches += 1;
                format!("z9hG4bKpeer{}", self.branches)
            }
        };
        let via = format!("SIP/2.0/UDP {PEER};rport;branch={branch}");
        let given = |name: &str| {
            headers
                .iter()
                .find(|it| it.0 == name)
                .map(|it| it.1.to_owned())
        };
        let via = given("Via").unwrap_or(via);
        let to = given("To").unwrap_or(to);
        let mut text = format!(
            "{method} sip:alice@192.0.2.1:5060 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
        );
        if ["INVITE", "UPDATE"].contains(&method) && !headers.iter().any(|it| it.0 == "Contact") {
            text += &format!("Contact: <sip:peer@{PEER}>\r\n");
        }
        for (name, value) in headers.iter().filter(|it| !["Via", "To"].contains(&it.0)) {
            let rseq = self
                .answer
                .as_ref()
                .and_then(|it| it.number(Name::RSeq))
                .unwrap_or(0);
            text += &format!("{name}: {}\r\n", value.replace("$RSeq", &rseq.to_string()));
        }
        if !body.is_empty() {
            text += "Content-Type: application/sdp\r\n";
        }
        text += &format!("Content-Length: {}\r\n\r\n", body.len());
        Ok(Bytes::from([text.as_bytes(), body].concat()))
    }
}

pub(super) fn parse(bytes: &Bytes) -> Result<Message, String> {
    match Message::parse_datagram(bytes.clone()) {
        Ok(Incoming::Message(message)) => Ok(message),
        _ => Err(format!("not a message: {}", String::from_utf8_lossy(bytes))),
    }
}
