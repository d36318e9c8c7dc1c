//! One call that is being ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::farewell::{self, Sender};
use sip::ua::{Destination, HostPort, Transport};
use sip::wire::{Incoming, Message};

use super::ReapConfig;
use crate::core::journal::{Leg, OpenCall, Stage, glance};

/// Which message ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cancel,
    Bye,
    Refuse,
}

/// What follows from an input.
#[derive(Debug)]
pub(super) enum Progress {
    Nothing,
    Send(Destination, Bytes),
    Over { answered: bool },
}

#[derive(Debug)]
pub(super) struct Call {
    leg: Leg,
    stage: Stage,
    call_id: String,
    /// Of the INVITE that a CANCEL names.
    invite_branch: Option<String>,
    /// Of the BYE, and of the ACK of a late 2xx.
    bye_branch: String,
    ack_branch: String,
    doing: Doing,
    /// The ACK of a late 2xx.
    ack: Option<(Destination, Bytes)>,
}

#[derive(Debug)]
enum Doing {
    /// Its turn has not come.
    Waiting,
    /// A request of ours, or our final answer, waits for its answer.
    Asking {
        kind: Kind,
        repeat: Repeat,
    },
    /// The CANCEL is answered; the INVITE's final answer may come.
    Lingering {
        until: Instant,
    },
    Over,
}

#[derive(Debug)]
struct Repeat {
    to: Destination,
    bytes: Bytes,
    interval: Duration,
    /// None on a stream.
    next: Option<Instant>,
}

impl Repeat {
    fn new(now: Instant, config: &ReapConfig, to: Destination, bytes: Bytes) -> Self {
        let reliable = to.transport.is_reliable();
        Self {
            interval: config.t1,
            next: (!reliable).then(|| now + config.t1),
            to,
            bytes,
        }
    }
}

/// What a BYE adds to the CSeq of an INVITE whose answer came late: the former process may have sent
/// a PRACK for each of a few provisional answers (RFC 3261 §12.2.2: gaps are allowed).
const CSEQ_MARGIN: u32 = 16;

impl Call {
    pub(super) fn new(open: OpenCall, index: usize, salt: u64) -> Self {
        let OpenCall { leg, stage } = open;
        let text = match &stage {
            Stage::Inviting { invite } | Stage::Answered { invite, .. } => invite,
            Stage::Confirmed { ack, .. } => ack,
            Stage::Ringing { response } => response,
        };
        let seen = glance(text).unwrap_or_default();
        let calling = matches!(stage, Stage::Inviting { .. });
        Self {
            call_id: seen.call_id.to_owned(),
            invite_branch: calling.then(|| seen.branch.to_owned()),
            bye_branch: format!("z9hG4bKb{salt:x}-{index:x}"),
            ack_branch: format!("z9hG4bKa{salt:x}-{index:x}"),
            doing: Doing::Waiting,
            ack: None,
            leg,
            stage,
        }
    }

    pub(super) fn leg(&self) -> &Leg {
        &self.leg
    }

    pub(super) fn call_id(&self) -> &str {
        &self.call_id
    }

    pub(super) fn branches(&self) -> impl Iterator<Item = String> {
        let bye = std::iter::once(self.bye_branch.clone());
        bye.chain(self.invite_branch.clone())
    }

    pub(super) fn kind(&self) -> Kind {
        match (&self.doing, &self.stage) {
            (Doing::Asking { kind, .. }, _) => *kind,
            (_, Stage::Inviting { .. }) => Kind::Cancel,
            (_, Stage::Ringing { .. }) => Kind::Refuse,
            (_, Stage::Confirmed { .. } | Stage::Answered { .. }) => Kind::Bye,
        }
    }

    pub(super) fn goes_to(&self, address: SocketAddr) -> bool {
        let to = match &self.doing {
            Doing::Asking { repeat, .. } => &repeat.to.host,
            Doing::Waiting | Doing::Lingering { .. } | Doing::Over => &self.leg.to.host,
        };
        *to == HostPort::Ip(address)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.doing, Doing::Over)
    }

    pub(super) fn set_over(&mut self) {
        self.doing = Doing::Over;
    }

    fn sender(&self) -> Sender {
        Sender {
            transport: self.leg.to.transport,
            local: self.leg.local,
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        config: &ReapConfig,
        kind: Kind,
        to: Destination,
        bytes: Bytes,
    ) -> Progress {
        let repeat = Repeat::new(now, config, to.clone(), bytes.clone());
        self.doing = Doing::Asking { kind, repeat };
        Progress::Send(to, bytes)
    }

    /// Sends what ends it.
    pub(super) fn begin(&mut self, now: Instant, config: &ReapConfig) -> Progress {
        let kind = self.kind();
        let leg_to = self.leg.to.clone();
        let first = match &self.stage {
            Stage::Inviting { invite } => Some((leg_to, farewell::cancel(invite))),
            Stage::Confirmed { ack, next_cseq } => {
                farewell::bye_after_ack(self.sender(), ack, &self.bye_branch, *next_cseq)
                    .map(|bye| (leg_to, bye))
            }
            Stage::Ringing { response } => final_answer(response).map(|bytes| (leg_to, bytes)),
            Stage::Answered { invite, local_tag } => parse(invite)
                .and_then(|invite| {
                    farewell::of_received(self.sender(), &invite, local_tag, &self.bye_branch, 1)
                })
                .map(|farewell| {
                    let to = self.towards(farewell.to);
                    (to, farewell.bye)
                }),
        };
        match first {
            Some((to, bytes)) => self.ask(now, config, kind, to, bytes),
            None => Progress::Over { answered: false },
        }
    }

    fn towards(&self, host: HostPort) -> Destination {
        let transport: Transport = self.leg.to.transport;
        Destination { host, transport }
    }

    /// Repeats what was not answered.
    pub(super) fn timeout(&mut self, now: Instant, config: &ReapConfig) -> Progress {
        match &mut self.doing {
            Doing::Asking { repeat, .. } if repeat.next.is_some_and(|at| at <= now) => {
                repeat.interval = (repeat.interval * 2).min(config.t2);
                repeat.next = Some(now + repeat.interval);
                Progress::Send(repeat.to.clone(), repeat.bytes.clone())
            }
            // The INVITE has no final answer: its peer does not know it.
            Doing::Lingering { until } if *until <= now => Progress::Over { answered: true },
            Doing::Asking { .. } | Doing::Lingering { .. } | Doing::Waiting | Doing::Over => {
                Progress::Nothing
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.doing {
            Doing::Asking { repeat, .. } => repeat.next,
            Doing::Lingering { until } => Some(*until),
            Doing::Waiting | Doing::Over => None,
        }
    }

    /// The CANCEL has its answer. One that is not accepted met a call that is over, or that is
    /// answered: a 2xx is repeated every T2 at the latest (RFC 3261 §13.3.1.4).
    pub(super) fn cancel_answered(&mut self, now: Instant, config: &ReapConfig, code: u16) {
        if let Doing::Asking {
            kind: Kind::Cancel, ..
        } = self.doing
        {
            let wait = match code {
                200..=299 => config.patience,
                _ => config.t2 + config.t1,
            };
            self.doing = Doing::Lingering { until: now + wait };
        }
    }

    /// The INVITE has an answer: what has to be sent for it.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        config: &ReapConfig,
        message: &Message,
        code: u16,
    ) -> Vec<(Destination, Bytes)> {
        let Stage::Inviting { invite } = &self.stage else {
            return Vec::new();
        };
        if code >= 300 {
            let ack = farewell::ack_of_failure(invite, message);
            return vec![(self.leg.to.clone(), ack)];
        }
        if code < 200 {
            return Vec::new();
        }
        if let Some(ack) = &self.ack {
            return vec![ack.clone()];
        }
        let seen = glance(invite).unwrap_or_default();
        let branches = [self.ack_branch.as_str(), self.bye_branch.as_str()];
        let request_uri = request_uri(invite);
        let cseq = seen.cseq.wrapping_add(CSEQ_MARGIN);
        let sender = self.sender();
        let Some(farewell) = farewell::of_answer(sender, message, request_uri, branches, cseq)
        else {
            return Vec::new();
        };
        let to = self.towards(farewell.to);
        let mut out = Vec::new();
        if let Some(ack) = farewell.ack {
            self.ack = Some((to.clone(), ack.clone()));
            out.push((to.clone(), ack));
        }
        if self.is_over() {
            // Too late to wait for its answer.
            out.push((to, farewell.bye));
        } else if let Progress::Send(to, bye) = self.ask(now, config, Kind::Bye, to, farewell.bye) {
            out.push((to, bye));
        }
        out
    }
}

fn parse(octets: &[u8]) -> Option<Message> {
    match Message::parse_datagram(Bytes::copy_from_slice(octets)) {
        Ok(Incoming::Message(message)) => Some(message),
        Ok(Incoming::Ping | Incoming::Pong) | Err(_) => None,
    }
}

fn request_uri(invite: &[u8]) -> &str {
    let line = invite.split(|octet| *octet == b'\r').next();
    let uri = line.and_then(|line| line.split(|octet| *octet == b' ').nth(1));
    uri.and_then(|uri| std::str::from_utf8(uri).ok())
        .unwrap_or_default()
}

/// Our provisional answer made final: the same lines, another code.
fn final_answer(response: &[u8]) -> Option<Bytes> {
    let mut lines = response.split_inclusive(|octet| *octet == b'\n');
    lines.next()?.starts_with(b"SIP/2.0 1").then_some(())?;
    let mut out = b"SIP/2.0 480 Temporarily Unavailable\r\n".to_vec();
    for line in lines {
        let kept = [&b"Via:"[..], b"From:", b"To:", b"Call-ID:", b"CSeq:"];
        if kept.iter().any(|name| line.starts_with(name)) {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Some(Bytes::from(out))
}
