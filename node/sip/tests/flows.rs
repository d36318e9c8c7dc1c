//! Runs the message ladders of `flows/*.flow` against one user agent in virtual time.
//!
//! A line is a time, a direction and what happens:
//!
//! ```text
//! # RFC 3261 §17.1.1.2: what the flow shows
//! config tcp | proxy | credentials | expires 60 | nodomain    before the first line with a time
//! 0ms    do invite          a command: register unregister invite [nooffer] [URI] cancel bye ring
//!                           answer reject CODE reinvite answer-offer reject-offer CODE options
//! 0ms    -> INVITE          the agent sends; `again` = a retransmission; `has TEXT`, `lacks TEXT`,
//!                           `to HOST:PORT` check the octets (TEXT runs to the end or to ` & `)
//! 10ms   <- 180 INVITE      the peer answers the agent's last INVITE; `tag=x`, `body=x`,
//!                           `| Header: value` (several, each behind its own `|`)
//! 20ms   <- BYE             the peer asks; `again` repeats its last one, `cseq=N`, `tag=x`
//! 30ms   !! refused         the transport fails
//! 0ms    ev Progress 180    the agent tells; every word must occur in the event
//! 40s    silence            nothing was sent up to here
//! 40s    idle               nothing is alive
//! ```
//!
//! Every message that the agent sends must have its line, at exactly that time; of the events only
//! those with a line must occur, in that order.

#![allow(clippy::unwrap_used, reason = "a test: a broken ladder may stop it")]

#[path = "flows/peer.rs"]
mod peer;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::digest::Credentials;
use sip::ua::{
    CallRef, Command, Event, HostPort, Input, Output, RegistrarConfig, TimerConfig, Transport,
    UaConfig, UserAgent,
};
use sip::wire::Uri;

use peer::{Peer, parse};

const PEER: &str = "192.0.2.2:5060";

#[test]
fn every_flow_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "flow"))
        .collect();
    names.sort();
    let mut failures = Vec::new();
    for path in &names {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if let Err(why) = Ladder::new(&text).and_then(|mut ladder| ladder.run(&text)) {
            failures.push(format!("{name}.flow: {why}"));
        }
    }
    println!("{} flows", names.len());
    assert!(names.len() >= 70, "flows are missing: {}", names.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

struct Ladder {
    agent: UserAgent,
    start: Instant,
    now: Instant,
    transport: Transport,
    sent: VecDeque<(Instant, String, Bytes, bool)>,
    events: VecDeque<(Instant, Event)>,
    told: Vec<String>,
    call: CallRef,
    peer: Peer,
}

impl Ladder {
    fn new(text: &str) -> Result<Self, String> {
        let mut config = base_config();
        for line in text.lines().filter_map(|line| line.strip_prefix("config ")) {
            for option in line.split('|').map(str::trim) {
                configure(&mut config, option)?;
            }
        }
        let start = Instant::now();
        Ok(Self {
            transport: config.transport,
            agent: UserAgent::new(config, start),
            start,
            now: start,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            told: Vec::new(),
            call: CallRef(1),
            peer: Peer::default(),
        })
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with("config ") {
                continue;
            }
            self.step(line).map_err(|why| {
                format!(
                    "line {}: `{line}`: {why}\nso far:\n{}",
                    number + 1,
                    self.told.join("\n")
                )
            })?;
        }
        self.nothing_unexpected()
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let (time, rest) = line.split_once(char::is_whitespace).ok_or("no time")?;
        let at = self.start + duration(time)?;
        self.advance(at)?;
        let rest = rest.trim();
        let (op, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let rest = rest.trim();
        match op {
            "->" => self.expect_sent(at, rest),
            "ev" => self.expect_event(at, rest),
            "do" => self.nothing_unexpected().and_then(|()| self.command(rest)),
            "<-" => self.nothing_unexpected().and_then(|()| self.receive(rest)),
            "!!" => {
                self.nothing_unexpected()?;
                let to = PEER.parse().unwrap();
                self.input(Input::TransportError {
                    to,
                    error: rest.into(),
                });
                Ok(())
            }
            "silence" => self.nothing_unexpected(),
            "idle" => {
                self.nothing_unexpected()?;
                if self.agent.is_idle() {
                    Ok(())
                } else {
                    Err("the agent is not idle".into())
                }
            }
            _ => Err("unknown operation".into()),
        }
    }

    fn nothing_unexpected(&self) -> Result<(), String> {
        match self.sent.front() {
            None => Ok(()),
            Some((at, _, bytes, again)) => Err(format!(
                "at {:?} the agent sent, again={again}: {}",
                *at - self.start,
                String::from_utf8_lossy(bytes)
            )),
        }
    }

    /// Lets every deadline up to `to` pass.
    fn advance(&mut self, to: Instant) -> Result<(), String> {
        for _ in 0..100_000 {
            match self.agent.next_deadline().filter(|at| *at <= to) {
                Some(at) => {
                    self.now = at.max(self.now);
                    self.input(Input::Timeout);
                }
                None => {
                    self.now = to.max(self.now);
                    return Ok(());
                }
            }
        }
        Err("the agent's deadline does not move".into())
    }

    fn input(&mut self, input: Input) {
        self.agent.handle(self.now, input);
        while let Some(output) = self.agent.poll() {
            let at = self.now - self.start;
            match output {
                Output::Transmit {
                    to,
                    bytes,
                    retransmission,
                } => {
                    let line = String::from_utf8_lossy(&bytes);
                    let line = line.lines().next().unwrap_or_default();
                    self.told
                        .push(format!("  {at:?} -> {line} again={retransmission}"));
                    self.sent
                        .push_back((self.now, to.host.to_string(), bytes, retransmission));
                }
                Output::Event(event) => {
                    self.told.push(format!("  {at:?} ev {event:?}"));
                    if let Event::Incoming { call, .. } = &event {
                        self.call = *call;
                    }
                    self.events.push_back((self.now, event));
                }
            }
        }
    }

    fn expect_sent(&mut self, at: Instant, what: &str) -> Result<(), String> {
        let (when, to, bytes, again) = self.sent.pop_front().ok_or("nothing was sent")?;
        if when != at {
            return Err(format!("sent at {:?}", when - self.start));
        }
        let message = parse(&bytes)?;
        let checks_at = [" has ", " lacks "]
            .iter()
            .filter_map(|word| what.find(word))
            .min();
        let (head, checks) = what.split_at(checks_at.unwrap_or(what.len()));
        let mut words = head.split_whitespace();
        let name = match message.status() {
            Some(code) => format!("{code} {}", message.cseq().1),
            None => message.method().unwrap().to_string(),
        };
        let mut wanted = words.next().unwrap_or_default().to_owned();
        if wanted.parse::<u16>().is_ok() {
            wanted = format!("{wanted} {}", words.next().unwrap_or_default());
        }
        if wanted != name {
            return Err(format!("sent {name}"));
        }
        let mut expected_again = false;
        while let Some(word) = words.next() {
            match word {
                "again" => expected_again = true,
                "to" if words.next() == Some(to.as_str()) => {}
                "to" => return Err(format!("sent to {to}")),
                other => return Err(format!("unknown word {other}")),
            }
        }
        if expected_again != again {
            return Err(format!("retransmission is {again}"));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for check in checks
            .split(" & ")
            .map(str::trim)
            .filter(|check| !check.is_empty())
        {
            let good = match check.split_once(' ') {
                Some(("has", part)) => text.contains(&part.replace("\\r\\n", "\r\n")),
                Some(("lacks", part)) => !text.contains(part),
                _ => return Err(format!("unknown check {check}")),
            };
            if !good {
                return Err(format!("`{check}` does not hold in\n{text}"));
            }
        }
        self.peer.learn(message);
        Ok(())
    }

    fn expect_event(&mut self, at: Instant, what: &str) -> Result<(), String> {
        while let Some((when, event)) = self.events.pop_front() {
            let text = format!("{event:?}");
            if when == at
                && what
                    .split_whitespace()
                    .all(|word| text.contains(&word.replace("\\s", " ")))
            {
                return Ok(());
            }
        }
        Err("no such event".into())
    }

    fn command(&mut self, what: &str) -> Result<(), String> {
        let mut words = what.split_whitespace();
        let name = words.next().unwrap_or_default();
        let mut rest: Vec<&str> = words.collect();
        let call = self.call;
        let body = Bytes::from_static(b"v=0 agent");
        let code = || {
            rest.first()
                .and_then(|code| code.parse().ok())
                .ok_or("no code")
        };
        let command = match name {
            "register" => Command::Register,
            "unregister" => Command::Unregister,
            "invite" => {
                let offer = (rest.first() != Some(&"nooffer")).then_some(body);
                rest.retain(|word| *word != "nooffer");
                let target = rest.first().unwrap_or(&"sip:peer@192.0.2.2:5060");
                let target = Uri::parse(target).map_err(|error| error.to_string())?;
                Command::Invite {
                    call,
                    target,
                    offer,
                }
            }
            "cancel" => Command::Cancel { call },
            "bye" => Command::Bye { call },
            "ring" => Command::Ring { call },
            "answer" => Command::Answer { call, body },
            "reject" => Command::Reject {
                call,
                code: code()?,
                reason: "".into(),
            },
            "reinvite" => Command::Reinvite { call, offer: body },
            "answer-offer" => Command::AnswerOffer { call, body },
            "reject-offer" => Command::RejectOffer {
                call,
                code: code()?,
            },
            "options" => Command::Options {
                target: Uri::parse("sip:peer@192.0.2.2:5060").unwrap(),
            },
            other => return Err(format!("unknown command {other}")),
        };
        self.input(Input::Command(command));
        Ok(())
    }

    fn receive(&mut self, what: &str) -> Result<(), String> {
        let mut parts = what.split(" | ");
        let head = parts.next().unwrap_or_default();
        let headers: Vec<(&str, &str)> = parts
            .filter_map(|line| line.split_once(':'))
            .map(|(n, v)| (n, v.trim()))
            .collect();
        let bytes = self.peer.compose(head, &headers)?;
        let message = parse(&bytes)?;
        let at = self.now - self.start;
        self.told.push(format!("  {at:?} <- {head}"));
        let from = PEER.parse().unwrap();
        self.input(Input::Message {
            message,
            from,
            transport: self.transport,
        });
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1.0),
        None => (text.strip_suffix('s').ok_or("time without a unit")?, 1000.0),
    };
    let number: f64 = digits.parse().map_err(|_| "bad time")?;
    Ok(Duration::from_millis((number * unit).round() as u64))
}

fn configure(config: &mut UaConfig, option: &str) -> Result<(), String> {
    match option.split_once(' ').unwrap_or((option, "")) {
        ("tcp", _) => config.transport = Transport::Tcp,
        ("proxy", _) => config.outbound_proxy = Some(HostPort::Ip(PEER.parse().unwrap())),
        ("credentials", _) => {
            config.credentials = Some(Credentials {
                username: "alice".into(),
                password: "secret".into(),
                realm: None,
            });
        }
        ("expires", seconds) => {
            let expires_s = seconds.parse().map_err(|_| "bad expires")?;
            let address = HostPort::Ip(PEER.parse().unwrap());
            config.registrar = Some(RegistrarConfig { address, expires_s });
        }
        ("ipv6", _) => config.local = "[2001:db8::1]:5060".parse().unwrap(),
        (other, _) => return Err(format!("unknown option {other}")),
    }
    Ok(())
}

fn base_config() -> UaConfig {
    UaConfig {
        user: "alice".into(),
        domain: "example.org".into(),
        display: None,
        local: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        registrar: Some(RegistrarConfig {
            address: HostPort::Ip(PEER.parse().unwrap()),
            expires_s: 60,
        }),
        outbound_proxy: None,
        credentials: None,
        timers: TimerConfig::default(),
        contact_user: "alice".into(),
        call_id_prefix: "c".into(),
        branch_prefix: "b".into(),
        user_agent: "Carillon".into(),
        seed: 1,
    }
}
