//! Two endpoints joined by a virtual link: the script from REGISTER-less readiness to the report.

mod fence;
mod property;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::codec::{CodecId, EncodedClip};
use media::stream::{Playout, StreamSummary};
use shared::id::{EndpointIndex, GroupIndex, NodeId, RunId};
use shared::metric::{self, MetricId};
use shared::phase::{Outcome, Phase};
use shared::wire::EndpointReport;
use sip::ua::{HostPort, RegistrarConfig, TimerConfig, Transport, UaConfig};

use super::{EndpointCore, EndpointSpec, Input, LocalPorts, Output, Profile, Role};
use crate::core::trace::TraceBounds;

fn profile(group: u16, codecs: &[CodecId]) -> Profile {
    let clip = |codec: &CodecId| {
        let frames = vec![Bytes::from_static(&[0xff; 160])];
        let clip = EncodedClip {
            frames,
            ptime_ms: 20,
            ticks_per_frame: codec.ticks(20),
        };
        (*codec, Arc::new(clip))
    };
    Profile {
        run: RunId(7),
        node: NodeId("n".into()),
        group: GroupIndex(group),
        codecs: codecs.to_vec(),
        clips: Some(codecs.iter().map(clip).collect()),
        ptime_ms: 20,
        call_duration: Some(Duration::from_secs(3)),
        ring_time: Duration::from_millis(500),
        rtcp_mux: true,
        rtcp_interval: Duration::from_secs(1),
        rtcp_xr: true,
        playout: Playout::Fixed { delay_ms: 40 },
        plc: true,
        registrar: "registrar r (127.0.0.1:5060 over UDP)".into(),
        aor_domain: String::new(),
        duration: Duration::from_secs(20),
        ring_limit: Duration::from_secs(10),
        clock_domain: "test".into(),
        sampled_audio: false,
        trace: TraceBounds::for_endpoints(2),
    }
}

fn spec(index: u32, role: Role, port: u16, registrar: Option<SocketAddr>) -> EndpointSpec {
    let ua = UaConfig {
        user: format!("u{index}").into(),
        domain: "127.0.0.1".into(),
        display: None,
        local: SocketAddr::from(([127, 0, 0, 1], port)),
        transport: Transport::Udp,
        registrar: registrar.map(|at| RegistrarConfig {
            address: HostPort::Ip(at),
            expires_s: 3600,
        }),
        outbound_proxy: None,
        credentials: None,
        timers: TimerConfig::default(),
        contact_user: format!("u{index}.{index:x}").into(),
        call_id_prefix: format!("{index:x}-").into(),
        branch_prefix: format!("{index:x}-").into(),
        user_agent: "test".into(),
        seed: u64::from(index) + 1,
    };
    EndpointSpec {
        index: EndpointIndex(index),
        place: 0,
        role,
        ua,
        seed: u64::from(index) + 99,
    }
}

struct Party {
    core: EndpointCore,
    at: SocketAddr,
    ready: Option<String>,
    report: Option<Box<EndpointReport>>,
    phases: Vec<Phase>,
    samples: Vec<(MetricId, f32)>,
    media_starts: usize,
}

struct World {
    start: Instant,
    now: Instant,
    parties: Vec<Party>,
    wire: VecDeque<Datagram>,
    /// Sent to nobody of this world.
    lost: Vec<Datagram>,
}

type Datagram = (Instant, SocketAddr, SocketAddr, Bytes);

const HOP: Duration = Duration::from_millis(5);

impl World {
    fn new(parties: Vec<(Profile, EndpointSpec)>) -> Self {
        let start = Instant::now();
        let parties = parties
            .into_iter()
            .map(|(profile, spec)| Party {
                at: spec.ua.local,
                core: EndpointCore::new(Rc::new(profile), spec, start, start),
                ready: None,
                report: None,
                phases: Vec::new(),
                samples: Vec::new(),
                media_starts: 0,
            })
            .collect();
        Self {
            start,
            now: start,
            parties,
            wire: VecDeque::new(),
            lost: Vec::new(),
        }
    }

    fn tell(&mut self, party: usize, input: Input) {
        let now = self.now;
        let this = &mut self.parties[party];
        this.core.handle(now, input);
        while let Some(output) = this.core.poll() {
            let port = 40_000 + 2 * u16::try_from(party).unwrap();
            let rtp = SocketAddr::from(([127, 0, 0, 1], port));
            match output {
                Output::Transmit { to, bytes } => {
                    let HostPort::Ip(to) = to.host else {
                        panic!("a name in a test")
                    };
                    self.wire.push_back((now + HOP, this.at, to, bytes));
                }
                Output::Reserve { call } => {
                    let ports = Ok(LocalPorts { rtp, rtcp: rtp });
                    this.core.handle(now, Input::Reserved { call, ports });
                }
                Output::StartMedia(_) => this.media_starts += 1,
                Output::StopMedia { call } => {
                    if this.media_starts > 0 {
                        let summary = StreamSummary {
                            tx_packets: 150,
                            rx_packets: 150,
                            ..StreamSummary::default()
                        };
                        let summary = Box::new(summary);
                        this.core.handle(now, Input::MediaEnded { call, summary });
                    }
                }
                Output::Ready { uri } => this.ready = Some(uri),
                Output::Sample(metric, value) => this.samples.push((metric, value)),
                Output::Phase(phase) => this.phases.push(phase),
                Output::Ended { report, .. } => this.report = Some(report),
                Output::RedirectMedia { .. } | Output::ClaimCallId { .. } => {}
            }
        }
    }

    /// Runs virtual time until nothing more is due or `limit` has passed.
    fn run(&mut self, limit: Duration) {
        let end = self.start + limit;
        loop {
            let timer = self
                .parties
                .iter()
                .enumerate()
                .filter_map(|(index, party)| Some((party.core.next_deadline()?, index)))
                .min();
            let arrival = self.wire.front().map(|(at, ..)| *at);
            let next = [timer.map(|(at, _)| at), arrival]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|at| *at <= end) else {
                return;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some((at, from, to, bytes)) = self.wire.pop_front() else {
                    return;
                };
                let Some(party) = self.parties.iter().position(|party| party.at == to) else {
                    self.lost.push((at, from, to, bytes));
                    continue;
                };
                let parsed = sip::wire::Message::parse_datagram(bytes).expect("we send SIP");
                if let sip::wire::Incoming::Message(message) = parsed {
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
            } else if let Some((_, index)) = timer {
                self.tell(index, Input::Timeout);
            }
        }
    }

    fn report(&self, party: usize) -> &EndpointReport {
        self.parties[party]
            .report
            .as_ref()
            .expect("the endpoint ended")
    }

    fn value(&self, party: usize, metric: MetricId) -> Option<f32> {
        let samples = &self.parties[party].samples;
        samples
            .iter()
            .find(|(id, _)| *id == metric)
            .map(|(_, value)| *value)
    }
}

fn pair(caller: &[CodecId], callee: &[CodecId]) -> World {
    let mut world = World::new(vec![
        (profile(0, caller), spec(0, Role::Caller, 5101, None)),
        (profile(1, callee), spec(1, Role::Partner, 5102, None)),
    ]);
    for party in 0..2 {
        let due = world.start;
        world.tell(party, Input::Begin { due });
    }
    world
}

fn dial(world: &mut World) {
    let target = world.parties[1]
        .ready
        .clone()
        .expect("ready without a registrar");
    let due = world.start;
    world.tell(0, Input::Dial { target, due });
}

#[test]
fn a_call_is_made_measured_and_ended_by_the_caller() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcma, CodecId::Pcmu]);
    dial(&mut world);
    world.run(Duration::from_secs(60));
    for party in 0..2 {
        let report = world.report(party);
        assert_eq!(report.outcome, Outcome::Success, "{}", report.reason);
        assert_eq!(report.phase, Phase::Closed);
        assert_eq!(report.call_code, Some(200));
        let call = &report.calls[0];
        assert!(call.established);
        assert_eq!(call.call_id, world.report(0).calls[0].call_id);
        assert!(call.call_id.starts_with("0-"), "{}", call.call_id);
        assert_eq!(
            call.media.as_ref().map(|media| media.codec.as_str()),
            Some("PCMU")
        );
        assert_eq!(world.parties[party].media_starts, 1);
        let phases = &world.parties[party].phases;
        assert!(phases.is_sorted(), "phases only go forward: {phases:?}");
        assert!(phases.contains(&Phase::Incall));
    }
    // One hop each way, plus the ring time for the 200.
    let setup_ms = world.value(0, metric::CALL_SETUP).expect("setup time");
    assert!((setup_ms - 510.0).abs() < 0.5, "{setup_ms}");
    let pdd_ms = world.value(0, metric::CALL_PDD).expect("post-dial delay");
    assert!((pdd_ms - 10.0).abs() < 0.5, "{pdd_ms}");
    let ring_ms = world.value(0, metric::CALL_RING).expect("ring time");
    assert!((ring_ms - 500.0).abs() < 0.5, "{ring_ms}");
    let duration_ms = world.report(0).calls[0].duration_ms.expect("duration");
    assert!((duration_ms - 3_000.0).abs() < 0.5, "{duration_ms}");
}

#[test]
fn no_common_codec_is_a_failed_negotiation_on_both_sides() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Opus]);
    dial(&mut world);
    world.run(Duration::from_secs(60));
    for party in 0..2 {
        let report = world.report(party);
        assert_eq!(
            report.outcome,
            Outcome::NegotiationFailed,
            "{}",
            report.reason
        );
        assert_eq!(report.call_code, Some(488));
    }
}

#[test]
fn a_dead_registrar_is_no_answer_inside_timer_f() {
    let dead = SocketAddr::from(([127, 0, 0, 1], 9));
    let party = (
        profile(0, &[CodecId::Pcmu]),
        spec(0, Role::Caller, 5101, Some(dead)),
    );
    let mut longer = party;
    longer.0.duration = Duration::from_secs(120);
    let mut world = World::new(vec![longer]);
    let due = world.start;
    world.tell(0, Input::Begin { due });
    world.run(Duration::from_secs(100));
    let report = world.report(0);
    assert_eq!(report.outcome, Outcome::RegistrationFailed);
    assert_eq!(report.registration_code, None);
    assert!(
        report.reason.starts_with("no answer from registrar r"),
        "{}",
        report.reason
    );
    // Timer F, then one attempt to remove what may stand although its answer was lost.
    assert!(world.now - world.start <= Duration::from_millis(33_100));
    let removals = world
        .wire
        .iter()
        .chain(&world.lost)
        .filter(|(_, _, to, bytes)| {
            *to == dead && String::from_utf8_lossy(bytes).contains("Expires: 0\r\n")
        });
    assert_eq!(removals.count(), 2);
}

#[test]
fn a_callee_that_never_answers_is_cancelled_at_the_ring_limit() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcmu]);
    let mut slow = profile(1, &[CodecId::Pcmu]);
    slow.ring_time = Duration::from_secs(100);
    let start = world.start;
    let slow = spec_core(slow, start);
    world.parties[1].core = slow;
    world.parties[1].ready = None;
    world.tell(1, Input::Begin { due: start });
    dial(&mut world);
    world.run(Duration::from_secs(60));
    let report = world.report(0);
    assert_eq!(report.outcome, Outcome::Timeout, "{}", report.reason);
    assert_eq!(report.call_code, Some(487));
    assert_eq!(world.report(1).outcome, Outcome::CompletedWithWarnings);
}

fn spec_core(profile: Profile, start: Instant) -> EndpointCore {
    EndpointCore::new(
        Rc::new(profile),
        spec(1, Role::Partner, 5102, None),
        start,
        start,
    )
}

#[test]
fn a_stop_ends_the_call_with_bye_and_both_sides_know() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcmu]);
    dial(&mut world);
    world.run(Duration::from_millis(1_500));
    assert_eq!(world.parties[0].core.phase(), Phase::Incall);
    world.tell(0, Input::Stop);
    world.tell(1, Input::Stop);
    world.run(Duration::from_secs(10));
    for party in 0..2 {
        let report = world.report(party);
        assert_eq!(report.outcome, Outcome::Success, "{}", report.reason);
        assert!(report.calls[0].established);
    }
    assert!(world.now - world.start < Duration::from_secs(2));
}

#[test]
fn a_callee_without_a_caller_leaves_and_an_unreachable_one_is_an_os_error() {
    let mut world = pair(&[CodecId::Pcmu], &[CodecId::Pcmu]);
    world.tell(1, Input::NoCaller);
    assert_eq!(world.report(1).outcome, Outcome::CompletedWithWarnings);
    dial(&mut world);
    let to = world.parties[1].at;
    world.tell(
        0,
        Input::TransportError {
            to,
            error: "connection refused".into(),
        },
    );
    world.run(Duration::from_secs(60));
    let report = world.report(0);
    assert_eq!(report.outcome, Outcome::Oserror, "{}", report.reason);
}
