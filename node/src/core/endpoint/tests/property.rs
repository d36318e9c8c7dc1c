//! What holds for every endpoint whatever the network, the media engine and the user do: it ends in
//! bounded time, says so once and last, goes forward only and gives back all that it took.
//!
//! Callers and callees over a link that loses, doubles and reorders, with a registrar that may die, a
//! media engine that may refuse or fall silent, and a stop at any time. All of it from a seed.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use sip::ua::Transport;
use sip::wire::{Incoming, Message, ResponseWriter};

use super::*;
use crate::core::endpoint::{MEDIA_PATIENCE, STOP_PATIENCE};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn ms(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
struct Weather {
    loss_pct: u64,
    double_pct: u64,
    delay_ms: u64,
    /// Of reservations and stream starts.
    refuse_pct: u64,
    /// Of ends of streams that the engine never tells.
    silent_pct: u64,
    /// The registrar answers until then; none: for ever.
    registrar_until: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Reserved,
    Started,
    Refused,
    Stopped,
}

struct Watched {
    core: EndpointCore,
    at: SocketAddr,
    role: Role,
    ready: Option<String>,
    dialed: bool,
    phases: Vec<Phase>,
    counts: BTreeMap<MetricId, u32>,
    media: BTreeMap<u32, Media>,
    /// +1 claimed, −1 released; refusals release what was never claimed.
    claims: HashMap<String, i32>,
    report: Option<Box<EndpointReport>>,
    ended_at: Option<Instant>,
    stop_at: Option<Instant>,
}

enum Due {
    Packet {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    },
    MediaEnd {
        party: usize,
        call: u32,
    },
    Begin(usize),
    Stop(usize),
}

struct Chaos {
    seed: u64,
    random: Random,
    weather: Weather,
    start: Instant,
    now: Instant,
    parties: Vec<Watched>,
    /// Due times with the key of what is due, latest last.
    queue: BinaryHeap<std::cmp::Reverse<(Instant, u64)>>,
    due: HashMap<u64, Due>,
    next_key: u64,
}

const REGISTRAR: ([u8; 4], u16) = ([127, 0, 0, 9], 5060);
const DURATION: Duration = Duration::from_secs(20);

impl Chaos {
    fn new(seed: u64, roles: &[Role]) -> Self {
        let mut random = Random(seed);
        let start = Instant::now();
        let weather = Weather {
            loss_pct: [0, 0, 5, 20, 60][random.below(5) as usize],
            double_pct: random.below(30),
            delay_ms: [1, 20, 300][random.below(3) as usize],
            refuse_pct: [0, 0, 0, 20][random.below(4) as usize],
            silent_pct: [0, 0, 0, 30][random.below(4) as usize],
            registrar_until: random
                .percent(30)
                .then(|| Duration::from_millis(random.below(25_000))),
        };
        let registers = random.percent(60);
        let stops = random.percent(70);
        let ring = random.ms(3_000);
        let call = random.ms(15_000);
        let mut chaos = Self {
            seed,
            weather,
            start,
            now: start,
            parties: Vec::new(),
            queue: BinaryHeap::new(),
            due: HashMap::new(),
            next_key: 0,
            random,
        };
        for (index, role) in (0_u32..).zip(roles) {
            let mut shared = profile(0, &[CodecId::Pcmu]);
            (shared.ring_time, shared.duration) = (ring, DURATION);
            shared.call_duration = Some(call);
            shared.ring_limit = Duration::from_secs(6);
            let registrar = registers.then(|| SocketAddr::from(REGISTRAR));
            let mut spec = spec(index, *role, 5_101 + index as u16, registrar);
            if let Some(registrar) = &mut spec.ua.registrar {
                registrar.expires_s = 10;
            }
            let at = spec.ua.local;
            chaos.parties.push(Watched {
                core: EndpointCore::new(Rc::new(shared), spec, start, start),
                at,
                role: *role,
                ready: None,
                dialed: false,
                phases: vec![Phase::Initializing],
                counts: BTreeMap::new(),
                media: BTreeMap::new(),
                claims: HashMap::new(),
                report: None,
                ended_at: None,
                stop_at: None,
            });
            let party = index as usize;
            let begin = chaos.random.ms(2_000);
            chaos.at(begin, Due::Begin(party));
            if stops {
                let stop = chaos.random.ms(26_000);
                chaos.at(stop, Due::Stop(party));
            }
        }
        chaos
    }

    fn at(&mut self, wait: Duration, what: Due) {
        self.next_key += 1;
        self.due.insert(self.next_key, what);
        self.queue
            .push(std::cmp::Reverse((self.now + wait, self.next_key)));
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &Bytes) {
        let copies = 1 + u32::from(self.random.percent(self.weather.double_pct));
        for _ in 0..copies {
            if !self.random.percent(self.weather.loss_pct) {
                let wait = Duration::from_millis(1) + self.random.ms(self.weather.delay_ms);
                let bytes = bytes.clone();
                self.at(wait, Due::Packet { from, to, bytes });
            }
        }
    }

    fn tell(&mut self, party: usize, input: Input) {
        let now = self.now;
        self.parties[party].core.handle(now, input);
        while let Some(output) = self.parties[party].core.poll() {
            if let Some(answer) = self.perform(party, output) {
                self.parties[party].core.handle(now, answer);
            }
        }
        self.group_duties();
    }

    fn perform(&mut self, party: usize, output: Output) -> Option<Input> {
        let seed = self.seed;
        let this = &mut self.parties[party];
        assert!(
            this.report.is_none(),
            "seed {seed}: {output:?} follows Ended"
        );
        match output {
            Output::Transmit { to, bytes } => {
                let HostPort::Ip(to) = to.host else {
                    panic!("seed {seed}: a name")
                };
                let from = this.at;
                self.send(from, to, &bytes);
            }
            Output::Reserve { call } => {
                let refused = self.random.percent(self.weather.refuse_pct);
                let this = &mut self.parties[party];
                if refused {
                    let ports = Err("no ports are free".to_owned());
                    return Some(Input::Reserved { call, ports });
                }
                let before = this.media.insert(call, Media::Reserved);
                assert_eq!(before, None, "seed {seed}: call {call} reserves twice");
                let rtp = SocketAddr::from(([127, 0, 0, 1], 40_000 + 2 * party as u16));
                let ports = Ok(LocalPorts { rtp, rtcp: rtp });
                return Some(Input::Reserved { call, ports });
            }
            Output::StartMedia(start) => {
                let call = start.call;
                let refused = self.random.percent(self.weather.refuse_pct);
                let state = self.parties[party].media.get_mut(&call);
                let state = state.expect("started without ports");
                assert_eq!(*state, Media::Reserved, "seed {seed}: call {call}");
                *state = if refused {
                    Media::Refused
                } else {
                    Media::Started
                };
                let what = "the engine is busy".to_owned();
                return refused.then_some(Input::MediaRefused { call, what });
            }
            Output::RedirectMedia { call, .. } => {
                let state = this.media.get(&call);
                assert_eq!(state, Some(&Media::Started), "seed {seed}: call {call}");
            }
            Output::StopMedia { call } => {
                let before = this.media.insert(call, Media::Stopped);
                assert!(
                    matches!(before, Some(Media::Reserved | Media::Started)),
                    "seed {seed}: {before:?} stopped"
                );
                let tells = !self.random.percent(self.weather.silent_pct);
                if before == Some(Media::Started) && tells {
                    let wait = self.random.ms(30);
                    self.at(wait, Due::MediaEnd { party, call });
                }
            }
            Output::Ready { uri } => this.ready = Some(uri),
            Output::ClaimCallId { call_id, claimed } => {
                *this.claims.entry(call_id).or_default() += if claimed { 1 } else { -1 };
            }
            Output::Sample(metric, _) => *this.counts.entry(metric).or_default() += 1,
            Output::Phase(phase) => this.phases.push(phase),
            Output::Ended { report, .. } => {
                this.report = Some(report);
                this.ended_at = Some(self.now);
            }
        }
        None
    }

    /// What the group actor does: the last party is the callee of all before it.
    fn group_duties(&mut self) {
        let callee = self.parties.len() - 1;
        for caller in 0..callee {
            let waits = !self.parties[caller].dialed && self.parties[caller].ready.is_some();
            if !waits {
                continue;
            }
            let due = self.now;
            if let Some(target) = self.parties[callee].ready.clone() {
                self.parties[caller].dialed = true;
                // Called by its Contact, so that the registrar need not be a proxy as well.
                let at = self.parties[callee].at;
                let target = if target.contains("127.0.0.1") {
                    target
                } else {
                    format!("sip:u@{at}")
                };
                self.tell(caller, Input::Dial { target, due });
            } else if self.parties[callee].report.is_some() {
                self.parties[caller].dialed = true;
                let reason = "it failed".to_owned();
                self.tell(caller, Input::NoCallee { reason });
            }
        }
        let callers_over = self.parties[..callee].iter().all(|it| it.report.is_some());
        let partner = &self.parties[callee];
        if partner.role == Role::Partner && callers_over && partner.report.is_none() {
            let begun = partner.core.begun_registering || partner.ready.is_some();
            if begun && !partner.dialed {
                self.parties[callee].dialed = true;
                self.tell(callee, Input::NoCaller);
            }
        }
    }

    fn happen(&mut self, what: Due) {
        match what {
            Due::Packet { from, to, bytes } => self.arrive(from, to, bytes),
            Due::MediaEnd { party, call } => {
                let summary = Box::new(StreamSummary::default());
                self.tell(party, Input::MediaEnded { call, summary });
            }
            Due::Begin(party) => {
                let due = self.now;
                self.tell(party, Input::Begin { due });
            }
            Due::Stop(party) => {
                self.parties[party].stop_at = Some(self.now);
                self.tell(party, Input::Stop);
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let Ok(Incoming::Message(message)) = Message::parse_datagram(bytes) else {
            panic!("seed {}: we send SIP", self.seed)
        };
        if to == SocketAddr::from(REGISTRAR) {
            let dead = self.weather.registrar_until;
            if dead.is_none_or(|until| self.now - self.start < until) {
                let answer = ResponseWriter::to(&message, 200, "OK").to_tag("r").finish();
                self.send(to, from, &answer);
            }
            return;
        }
        if let Some(party) = self.parties.iter().position(|party| party.at == to) {
            let transport = Transport::Udp;
            self.tell(
                party,
                Input::Sip {
                    message,
                    from,
                    transport,
                },
            );
        }
    }

    /// Runs until everybody has ended; fails where time or patience runs out.
    fn run(&mut self) {
        let end = self.start + Duration::from_secs(200);
        let mut steps = 0_u32;
        while self.parties.iter().any(|party| party.report.is_none()) {
            steps += 1;
            assert!(steps < 100_000, "seed {}: spins", self.seed);
            let timer = (0..self.parties.len())
                .filter_map(|party| Some((self.parties[party].core.next_deadline()?, party)))
                .min();
            let event = self.queue.peek().map(|it| it.0);
            match (timer, event) {
                (Some((at, party)), event) if event.is_none_or(|(due, _)| at < due) => {
                    self.now = self.now.max(at);
                    self.tell(party, Input::Timeout);
                }
                (_, Some((at, key))) => {
                    self.queue.pop();
                    self.now = self.now.max(at);
                    if let Some(what) = self.due.remove(&key) {
                        self.happen(what);
                    }
                }
                _ => panic!("seed {}: nothing is due and somebody lives", self.seed),
            }
            assert!(self.now < end, "seed {}: {:?}", self.seed, self.weather);
        }
    }

    fn check(&self) {
        for (index, party) in self.parties.iter().enumerate() {
            let what = format!("seed {} party {index}: {:?}", self.seed, self.weather);
            let ended = party.ended_at.expect("ended");
            if let Some(stop) = party.stop_at {
                let limit = STOP_PATIENCE + MEDIA_PATIENCE;
                assert!(ended <= stop + limit, "{what}: {:?}", ended - stop);
            }
            assert!(
                party.phases.is_sorted_by(|a, b| a < b),
                "{what}: {:?}",
                party.phases
            );
            assert_eq!(party.phases.last(), Some(&Phase::Closed), "{what}");
            assert!(
                party
                    .media
                    .values()
                    .all(|state| matches!(state, Media::Stopped | Media::Refused)),
                "{what}: {:?}",
                party.media
            );
            assert!(
                party.claims.values().all(|balance| *balance <= 0),
                "{what}: {:?}",
                party.claims
            );
            assert_eq!(party.core.next_deadline(), None, "{what}");
            self.check_counts(party, &what);
        }
    }

    fn check_counts(&self, party: &Watched, what: &str) {
        let count = |metric| party.counts.get(&metric).copied().unwrap_or(0);
        let report = party.report.as_ref().expect("ended");
        let attempts = count(metric::CALL_ATTEMPTS);
        let made = report.calls.iter().filter(|call| call.caller).count();
        assert_eq!(attempts as usize, made, "{what}: {report:?}");
        let (established, failed) = (count(metric::CALL_ESTABLISHED), count(metric::CALL_FAILED));
        if party.role == Role::Caller {
            assert_eq!(attempts, established + failed, "{what}: {report:?}");
        }
        let confirmed = report.calls.iter().filter(|call| call.established).count();
        assert_eq!(established as usize, confirmed, "{what}: {report:?}");
        assert!(count(metric::CALL_ENDED) <= established, "{what}");
        assert!(count(metric::CALL_DURATION) <= established, "{what}");
        let registered = count(metric::REG_SUCCESS) + count(metric::REG_FAILED);
        assert!(registered <= count(metric::REG_ATTEMPTS), "{what}");
        assert!(!report.reason.is_empty(), "{what}");
    }
}

#[test]
fn every_endpoint_ends_once_and_gives_back_what_it_took() {
    let mut seen: BTreeMap<u8, u32> = BTreeMap::new();
    let mut established = 0;
    for seed in 0..400 {
        let mut pair = Chaos::new(seed, &[Role::Caller, Role::Partner]);
        pair.run();
        pair.check();
        let callers = [Role::Caller, Role::Caller, Role::Caller, Role::Receiver];
        let mut many = Chaos::new(seed | 1 << 32, &callers);
        many.run();
        many.check();
        for party in pair.parties.iter().chain(&many.parties) {
            let report = party.report.as_ref().expect("ended");
            *seen.entry(report.outcome as u8).or_default() += 1;
            established += report.calls.iter().filter(|call| call.established).count();
        }
    }
    // Seeds that reach little would prove little.
    assert!(established > 500, "{established}");
    for outcome in [
        Outcome::Success,
        Outcome::CompletedWithWarnings,
        Outcome::RegistrationFailed,
        Outcome::CallFailed,
        Outcome::Timeout,
        Outcome::Oserror,
        Outcome::TeardownError,
    ] {
        let count = seen.get(&(outcome as u8)).copied().unwrap_or(0);
        assert!(count > 10, "{outcome:?}: {seen:?}");
    }
}
