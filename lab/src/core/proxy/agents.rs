//! The product's own user agents against the lab, in virtual time, over links that lose.

use std::collections::BTreeMap;
use std::time::Duration;

use ::sip::digest::Credentials;
use ::sip::ua::{
    CallRef, Command, Destination, Event, FailureKind, HostPort, Input as UaInput,
    Output as UaOutput, RegistrarConfig, TimerConfig, Transport, UaConfig, UserAgent,
};
use ::sip::wire::Uri;

use super::super::random::Random;
use super::*;
use crate::config::{Action, Fault, Faults};
use crate::fake::{parse, sdp};

const CALL: CallRef = CallRef(1);

struct World {
    now: Instant,
    start: Instant,
    lab: SocketAddr,
    proxy: Proxy,
    agents: Vec<(SocketAddr, UserAgent)>,
    // (when, number) to (from, to, octets)
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Bytes)>,
    sent: u64,
    link: Random,
    loss_pct: f64,
    events: Vec<(usize, Event)>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl World {
    fn new(config: LabConfig, seed: u64, loss_pct: f64) -> Self {
        let (start, lab) = (Instant::now(), address(5070));
        Self {
            now: start,
            start,
            lab,
            proxy: Proxy::new(start, config, lab, 42),
            agents: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            link: Random::new(seed),
            loss_pct,
            events: Vec::new(),
        }
    }

    fn agent(&mut self, user: &str, password: &str, port: u16) -> usize {
        let lab = HostPort::Ip(self.lab);
        let credentials = Credentials {
            username: user.into(),
            password: password.into(),
            realm: None,
        };
        let config = UaConfig {
            user: user.into(),
            domain: "127.0.0.1".into(),
            display: None,
            local: address(port),
            transport: Transport::Udp,
            registrar: Some(RegistrarConfig {
                address: lab.clone(),
                expires_s: 60,
            }),
            outbound_proxy: Some(lab),
            credentials: Some(credentials),
            timers: TimerConfig::default(),
            contact_user: format!("e{port}").into(),
            call_id_prefix: format!("{port}-").into(),
            branch_prefix: format!("-{port}-").into(),
            user_agent: "Carillon".into(),
            seed: u64::from(port),
        };
        self.agents
            .push((address(port), UserAgent::new(config, self.now)));
        self.agents.len() - 1
    }

    fn command(&mut self, agent: usize, command: Command) {
        self.agents[agent]
            .1
            .handle(self.now, UaInput::Command(command));
        self.drain(agent);
    }

    fn call(&mut self, agent: usize, callee: &str) {
        let target = Uri::parse(&format!("sip:{callee}@127.0.0.1")).unwrap();
        let offer = Some(Bytes::from(sdp(address(6100))));
        self.command(
            agent,
            Command::Invite {
                call: CALL,
                target,
                offer,
            },
        );
    }

    fn drain(&mut self, agent: usize) {
        let from = self.agents[agent].0;
        while let Some(output) = self.agents[agent].1.poll() {
            match output {
                UaOutput::Transmit {
                    to: Destination { host, .. },
                    bytes,
                    ..
                } => {
                    let HostPort::Ip(to) = host else {
                        panic!("{host}")
                    };
                    self.put(from, to, bytes);
                }
                UaOutput::Event(event) => self.events.push((agent, event)),
            }
        }
    }

    fn put(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let lost = self.link.percent(self.loss_pct);
        let delay = Duration::from_micros((self.link.unit() * 10_000.0) as u64);
        if !lost {
            self.sent += 1;
            self.wire
                .insert((self.now + delay, self.sent), (from, to, bytes));
        }
    }

    fn proxy(&mut self, input: Input) {
        self.proxy.handle(self.now, input);
        while let Some(output) = self.proxy.poll() {
            if let Output::Send(flow, bytes) = output {
                self.put(self.lab, flow.peer, bytes);
            }
        }
    }

    /// Lets the world go on until `done`, or for ten minutes of its time.
    fn run(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            let agents = self
                .agents
                .iter()
                .filter_map(|(_, agent)| agent.next_deadline());
            let wire = self.wire.first_key_value().map(|((at, _), _)| *at);
            let next = agents.chain(wire).chain(self.proxy.next_deadline()).min();
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if self.now.duration_since(self.start) > Duration::from_secs(600) {
                break;
            }
            self.step();
        }
        panic!(
            "it never came to that: {:#?}\n{:?}",
            self.events,
            self.proxy.stats()
        );
    }

    fn step(&mut self) {
        if let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (from, to, bytes) = entry.remove();
            if to == self.lab {
                self.proxy(Input::Message(parse(&bytes), Flow::udp(from)));
            } else if let Some(agent) = self.agents.iter().position(|(at, _)| *at == to) {
                let message = parse(&bytes);
                let input = UaInput::Message {
                    message,
                    from,
                    transport: Transport::Udp,
                };
                self.agents[agent].1.handle(self.now, input);
                self.drain(agent);
            }
            return;
        }
        self.proxy(Input::Timeout);
        for agent in 0..self.agents.len() {
            if self.agents[agent]
                .1
                .next_deadline()
                .is_some_and(|at| at <= self.now)
            {
                self.agents[agent].1.handle(self.now, UaInput::Timeout);
                self.drain(agent);
            }
        }
    }

    fn saw(&self, agent: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events
            .iter()
            .any(|(who, event)| *who == agent && wanted(event))
    }

    fn register_all(&mut self) {
        for agent in 0..self.agents.len() {
            self.command(agent, Command::Register);
        }
        let count = self.agents.len();
        self.run(|world| {
            (0..count).all(|n| world.saw(n, |event| matches!(event, Event::Registered { .. })))
        });
    }

    /// The number of the call that an agent received.
    fn received(&self, agent: usize) -> CallRef {
        let found = self.events.iter().find_map(|(who, event)| match event {
            Event::Incoming { call, .. } if *who == agent => Some(*call),
            _ => None,
        });
        found.unwrap()
    }
}

fn failure(world: &World, agent: usize) -> (Option<u16>, FailureKind) {
    let found = world.events.iter().find_map(|(who, event)| match event {
        Event::CallFailed { code, kind, .. } if *who == agent => Some((*code, *kind)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_whole_call_survives_a_bad_network() {
    for (seed, loss_pct) in [
        (1, 0.0),
        (2, 5.0),
        (3, 10.0),
        (4, 10.0),
        (5, 20.0),
        (6, 20.0),
    ] {
        println!("seed {seed}, {loss_pct} % loss");
        let mut world = World::new(LabConfig::default(), seed, loss_pct);
        let (a, b) = (
            world.agent("a", "pw-a", 6000),
            world.agent("b", "pw-b", 7000),
        );
        world.register_all();
        world.call(a, "b");
        world.run(|world| world.saw(b, |event| matches!(event, Event::Incoming { .. })));
        let incoming = world.received(b);
        world.command(b, Command::Ring { call: incoming });
        let body = Bytes::from(sdp(address(7100)));
        world.command(
            b,
            Command::Answer {
                call: incoming,
                body,
            },
        );
        world.run(|world| {
            world.saw(a, |event| matches!(event, Event::Answered { .. }))
                && world.saw(b, |event| matches!(event, Event::Confirmed { .. }))
        });
        world.command(b, Command::Bye { call: incoming });
        world.run(|world| {
            world.saw(a, |event| matches!(event, Event::RemoteBye { .. }))
                && world.saw(b, |event| {
                    matches!(event, Event::ByeCompleted { code: 200, .. })
                })
        });
        for agent in [a, b] {
            world.command(agent, Command::Unregister);
        }
        world.run(|world| {
            [a, b]
                .iter()
                .all(|n| world.saw(*n, |e| matches!(e, Event::Unregistered { .. })))
        });
        let stats = world.proxy.stats();
        assert_eq!(
            (stats.registered_now, stats.calls, stats.calls_ended),
            (0, 1, 1)
        );
        assert_eq!((stats.malformed, stats.refused), (0, 0));
        world.run(|world| world.agents.iter().all(|(_, agent)| agent.is_idle()));
    }
}

#[test]
fn registrations_are_kept_alive() {
    let mut world = World::new(LabConfig::default(), 7, 0.0);
    world.agent("a", "pw-a", 6000);
    world.register_all();
    let later = world.now + Duration::from_secs(400);
    world.run(|world| world.now >= later);
    let stats = world.proxy.stats();
    assert_eq!((stats.registered_now, stats.expired), (1, 0));
    assert!(stats.registrations >= 6, "{stats:?}");
}

#[test]
fn failures_come_out_as_what_they_are() {
    let answer = |code| {
        Some(Action::Answer {
            code,
            retry_after_s: None,
        })
    };
    let cases = [
        (None, Some(404), FailureKind::Refused),
        (answer(486), Some(486), FailureKind::Refused),
        (answer(603), Some(603), FailureKind::Refused),
        (Some(Action::Silence), None, FailureKind::Timeout),
    ];
    for (action, code, kind) in cases {
        let invite = action
            .map(|action| Fault {
                action,
                percent: 100.0,
            })
            .into_iter()
            .collect();
        let faults = Faults {
            invite,
            ..Faults::default()
        };
        let mut world = World::new(
            LabConfig {
                faults,
                ..LabConfig::default()
            },
            8,
            0.0,
        );
        let a = world.agent("a", "pw-a", 6000);
        world.register_all();
        world.call(a, "nobody");
        world.run(|world| world.saw(a, |event| matches!(event, Event::CallFailed { .. })));
        assert_eq!(failure(&world, a), (code, kind), "{action:?}");
    }
}

#[test]
fn a_call_that_is_given_up_ends_at_both_ends() {
    let mut world = World::new(LabConfig::default(), 9, 0.0);
    let (a, b) = (
        world.agent("a", "pw-a", 6000),
        world.agent("b", "pw-b", 7000),
    );
    world.register_all();
    world.call(a, "b");
    world.run(|world| world.saw(b, |event| matches!(event, Event::Incoming { .. })));
    let incoming = world.received(b);
    world.command(b, Command::Ring { call: incoming });
    world.run(|world| world.saw(a, |event| matches!(event, Event::Progress { .. })));
    world.command(a, Command::Cancel { call: CALL });
    world.run(|world| {
        world.saw(a, |event| matches!(event, Event::CallFailed { .. }))
            && world.saw(b, |event| matches!(event, Event::IncomingCancelled { .. }))
    });
    assert_eq!(failure(&world, a), (Some(487), FailureKind::Cancelled));
    assert_eq!(world.proxy.stats().calls_failed, 1);
}

#[test]
fn a_wrong_password_ends_the_registration() {
    let mut world = World::new(LabConfig::default(), 10, 0.0);
    let a = world.agent("a", "wrong", 6000);
    world.command(a, Command::Register);
    let failed = |event: &Event| {
        matches!(
            event,
            Event::RegistrationFailed {
                code: Some(401),
                ..
            }
        )
    };
    world.run(|world| world.saw(a, failed));
    assert_eq!(world.proxy.stats().registered_now, 0);
}
