//! The virtual link and the two people at its ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ua::id::Ids;
use crate::ua::*;
use crate::wire::{Incoming, Message, Uri};

/// What the link does to each message, in percent, and how long it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) longest_delay_ms: u64,
    /// Loses everything of one direction from this moment on.
    pub(super) cut: Option<(usize, Duration)>,
}

/// Everything that happened at one end, with its time.
#[derive(Debug, Default)]
pub(super) struct Diary {
    pub(super) events: Vec<(Duration, Event)>,
}

impl Diary {
    pub(super) fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| what(event)).count()
    }

    pub(super) fn first(&self, what: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events
            .iter()
            .find(|(_, event)| what(event))
            .map(|(at, _)| *at)
    }
}

/// Two agents and the messages between them.
pub(super) struct Pair {
    pub(super) agents: [UserAgent; 2],
    pub(super) diaries: [Diary; 2],
    pub(super) transmits: usize,
    pub(super) now: Instant,
    start: Instant,
    weather: Weather,
    random: Ids,
    flying: BTreeMap<(Instant, u64), (usize, Bytes)>,
    commands: BTreeMap<(Instant, u64), (usize, Command)>,
    serial: u64,
    transport: Transport,
}

impl Pair {
    pub(super) fn new(seed: u64, transport: Transport, weather: Weather) -> Self {
        let now = Instant::now();
        let agent = |index: usize| UserAgent::new(config(index, transport, seed), now);
        Self {
            agents: [agent(0), agent(1)],
            diaries: [Diary::default(), Diary::default()],
            transmits: 0,
            now,
            start: now,
            weather,
            random: Ids::new(seed ^ 0xABCD),
            flying: BTreeMap::new(),
            commands: BTreeMap::new(),
            serial: 0,
            transport,
        }
    }

    /// Has a command given at a time.
    pub(super) fn plan(&mut self, at: Duration, agent: usize, command: Command) {
        self.serial += 1;
        self.commands
            .insert((self.start + at, self.serial), (agent, command));
    }

    /// Runs until nothing can happen any more, or `limit`; the caller's and the callee's wishes come
    /// from `react`, which sees every event.
    pub(super) fn run(
        &mut self,
        limit: Duration,
        mut react: impl FnMut(usize, &Event) -> Option<(Duration, Command)>,
    ) {
        let limit = self.start + limit;
        loop {
            let deadlines = self.agents.iter().filter_map(UserAgent::next_deadline);
            let flights = self.flying.keys().next().map(|(at, _)| *at);
            let commands = self.commands.keys().next().map(|(at, _)| *at);
            let Some(next) = deadlines.chain(flights).chain(commands).min() else {
                return;
            };
            if next > limit {
                return;
            }
            self.now = self.now.max(next);
            if let Some((agent, command)) = take_due(&mut self.commands, self.now) {
                self.input(agent, Input::Command(command), &mut react);
            } else if let Some((agent, bytes)) = take_due(&mut self.flying, self.now) {
                if let Ok(Incoming::Message(message)) = Message::parse_datagram(bytes) {
                    let (from, transport) = (address(1 - agent), self.transport);
                    self.input(
                        agent,
                        Input::Message {
                            message,
                            from,
                            transport,
                        },
                        &mut react,
                    );
                }
            } else {
                for agent in 0..2 {
                    if self.agents[agent]
                        .next_deadline()
                        .is_some_and(|at| at <= self.now)
                    {
                        self.input(agent, Input::Timeout, &mut react);
                    }
                }
            }
        }
    }

    fn input(
        &mut self,
        agent: usize,
        input: Input,
        react: &mut impl FnMut(usize, &Event) -> Option<(Duration, Command)>,
    ) {
        self.agents[agent].handle(self.now, input);
        while let Some(output) = self.agents[agent].poll() {
            match output {
                Output::Transmit { to, bytes, .. } => {
                    assert_eq!(to.host, HostPort::Ip(address(1 - agent)), "to nobody else");
                    self.carry(agent, &bytes);
                }
                Output::Event(event) => {
                    let at = self.now - self.start;
                    if let Some((after, command)) = react(agent, &event) {
                        self.plan(at + after, agent, command);
                    }
                    self.diaries[agent].events.push((at, event));
                }
            }
        }
    }

    fn carry(&mut self, from: usize, bytes: &Bytes) {
        self.transmits += 1;
        let at = self.now - self.start;
        let cut = self
            .weather
            .cut
            .is_some_and(|(side, since)| side == from && at >= since);
        let copies = if self.random.next_u64() % 100 < self.weather.doubled {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let lost = self.random.next_u64() % 100 < self.weather.lost;
            let delay_us = self.random.next_u64() % (self.weather.longest_delay_ms * 1000).max(1);
            if !lost && !cut {
                self.serial += 1;
                let arrival = self.now + Duration::from_micros(delay_us + 100);
                self.flying
                    .insert((arrival, self.serial), (1 - from, bytes.clone()));
            }
        }
    }
}

fn take_due<T>(queue: &mut BTreeMap<(Instant, u64), T>, now: Instant) -> Option<T> {
    let first = queue.first_entry().filter(|entry| entry.key().0 <= now)?;
    Some(first.remove())
}

pub(super) fn address(agent: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, if agent == 0 { 1 } else { 2 }], 5060))
}

pub(super) fn target() -> Uri {
    Uri::parse("sip:bob@192.0.2.2:5060").unwrap()
}

pub(super) fn config(index: usize, transport: Transport, seed: u64) -> UaConfig {
    let user = if index == 0 { "alice" } else { "bob" };
    UaConfig {
        user: user.into(),
        domain: "example.org".into(),
        display: None,
        local: address(index),
        transport,
        registrar: Some(RegistrarConfig {
            address: HostPort::Ip(address(1 - index)),
            expires_s: 60,
        }),
        outbound_proxy: None,
        credentials: None,
        timers: TimerConfig::default(),
        contact_user: user.into(),
        call_id_prefix: user.into(),
        branch_prefix: user.into(),
        user_agent: "Carillon".into(),
        seed: seed.wrapping_mul(2).wrapping_add(index as u64),
    }
}
