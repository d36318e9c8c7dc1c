//! Against the lab's relay, which loses, delays and jitters by seed and logs every packet: what we
//! measured is what it did, and the MOS is what the E-model makes of that. tshark, which shares
//! nothing with us, is asked as well.
//!
//! What the relay did stands in its log, not in its configuration: a busy machine makes it hold
//! packets longer than it was told, and that is then what has to be measured.
//!
//! The oracle is written out here from ITU-T G.107 and RFC 3550, apart from the product's code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use lab::{Direction, Impairment, Lab, LabConfig, LabHandle, Loss, RelayConfig};
use shared::result::RunResult;
use shared::wire::MediaReport;
use tests::{Carillon, Reported, RtpStream, Scratch, Tshark};

/// A lab with its relay, and the group pair that goes through it.
struct Route {
    name: &'static str,
    lab: LabHandle,
    log: std::path::PathBuf,
}

fn impaired(name: &'static str, index: u16, impair: Impairment, scratch: &Scratch) -> Route {
    let log = scratch.path().join(format!("{name}.csv"));
    let first = FIRST_PORT + index * PORTS_EACH;
    let config = LabConfig {
        seed: 100 + u64::from(index),
        relay: Some(RelayConfig {
            ports: first..=first + PORTS_EACH - 1,
            impair,
            log: Some(log.clone()),
            ..RelayConfig::default()
        }),
        ..LabConfig::default()
    };
    Route {
        name,
        lab: Lab::start(config).unwrap(),
        log,
    }
}

fn random(percent: f64) -> Impairment {
    Impairment {
        loss: Loss::Random { percent },
        ..Impairment::default()
    }
}

fn all_paths(scratch: &Scratch) -> Vec<Route> {
    // Mean loss 100 · 1 / (1 + 30) = 3.2 %, bursts of 3.3 packets.
    let bursty = Loss::Gilbert { p: 1.0, q: 30.0 };
    let shapes = [
        ("clean", Impairment::default()),
        ("one", random(1.0)),
        ("two", random(2.0)),
        ("five", random(5.0)),
        (
            "bursty",
            Impairment {
                loss: bursty,
                ..Impairment::default()
            },
        ),
        (
            "jitter",
            Impairment {
                jitter_ms: 40.0,
                ..Impairment::default()
            },
        ),
        (
            "delay",
            Impairment {
                delay_ms: 80.0,
                ..Impairment::default()
            },
        ),
    ];
    shapes
        .into_iter()
        .zip(0..)
        .map(|((name, impair), index)| impaired(name, index, impair, scratch))
        .collect()
}

/// One test file with a pair of groups for each lab: all of them at the same time.
fn test(paths: &[Route]) -> String {
    let mut text =
        "name = \"impairments\"\nduration = \"40s\"\nbuildup = \"2s\"\nthresholds = []\n"
            .to_owned();
    for path in paths {
        let (name, port) = (path.name, path.lab.sip_addr().port());
        write!(
            text,
            r#"
[registrars.{name}]
domain = "127.0.0.1"
port = {port}

[groups.{name}-callers]
registrar = "{name}"
accounts = {{ pattern = "{name}-caller{{1..{PAIRS}}}", password = "pw-{{username}}" }}
calls = {{ group = "{name}-callees" }}
call_duration = "30s"
codecs = ["PCMU"]
playout = "fixed:60ms"

[groups.{name}-callees]
registrar = "{name}"
accounts = {{ pattern = "{name}-callee{{1..{PAIRS}}}", password = "pw-{{username}}" }}
receives = true
codecs = ["PCMU"]
playout = "fixed:60ms"
"#
        )
        .unwrap();
    }
    text
}

#[test]
fn what_was_measured_is_what_the_relay_did() {
    let scratch = Scratch::new("impairments");
    let paths = all_paths(&scratch);
    // The packets of the path with loss, where they leave the relay for us: its ports only.
    let two = FIRST_PORT + 2 * PORTS_EACH;
    let capture = Tshark::capture(two, two + PORTS_EACH - 1);
    let finished = Carillon::run("impairments", &test(&paths), &[]).wait(Duration::from_secs(90));
    finished.assert_ended(0);
    let result = finished.result();
    let streams = capture.map(Tshark::streams);
    for path in paths {
        let stats = path.lab.shutdown();
        assert_eq!(
            (stats.relay_send_errors, stats.log_lines_lost),
            (0, 0),
            "{}",
            path.name
        );
        let log = read_log(&path.log);
        let ends = ends_of(result, path.name);
        assert_eq!(ends.len(), 2 * PAIRS, "{}", path.name);
        for end in &ends {
            let call = stats.calls.iter().find(|call| call.call_id == end.call_id);
            let call = call
                .unwrap_or_else(|| panic!("{}: the relay has no call {}", path.name, end.call_id));
            let logged = |direction: &str| {
                log.get(&(end.call_id.clone(), direction.to_owned()))
                    .unwrap_or_else(|| panic!("{}: nothing logged {direction}", path.name))
            };
            let (to_caller, to_callee) = (logged("to_caller"), logged("to_callee"));
            let (counts, towards, away) = if end.caller {
                (&call.to_caller, to_caller, to_callee)
            } else {
                (&call.to_callee, to_callee, to_caller)
            };
            check_end(path.name, end, counts, towards, away);
            check_round_trips(path.name, end, towards, away);
            if let (Some(streams), "two") = (&streams, path.name) {
                tshark_agrees(end, &towards.rtp, streams);
            }
        }
    }
}

/// One end of one call.
struct End {
    call_id: String,
    caller: bool,
    media: MediaReport,
    /// Of each second that had a round trip.
    rtt_ms: Vec<f64>,
}

fn ends_of(result: &RunResult, name: &str) -> Vec<End> {
    let prefix = format!("{name}-");
    result
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.group_name.starts_with(&prefix))
        .flat_map(|endpoint| {
            let rtt_ms: Vec<f64> = endpoint
                .seconds
                .iter()
                .filter_map(|second| second.values.get("rtt_ms").copied())
                .collect();
            endpoint.report().calls.iter().map(move |call| End {
                call_id: call.call_id.clone(),
                caller: call.caller,
                media: call.media.clone().expect("media"),
                rtt_ms: rtt_ms.clone(),
            })
        })
        .collect()
}

/// `towards` the end the relay's packets went, which came from the other one, and `away` its own.
fn check_end(name: &str, end: &End, counts: &Direction, towards: &Way, away: &Way) {
    let media = &end.media;
    let context = format!(
        "{name}, {} end: {media:#?}",
        if end.caller { "caller's" } else { "callee's" }
    );
    assert!(media.rx_expected >= 1_400, "{context}");
    // What the relay still held when it closed the call was never sent.
    let held = match name {
        "jitter" => 3,
        "delay" => 5,
        _ => 0,
    };
    let sent = sent_of(&towards.rtp);
    assert!(
        sent <= counts.relayed && counts.relayed - sent <= held,
        "the log has {sent} packets sent, the relay counted {}; {context}",
        counts.relayed
    );
    // An end stops sending when it stops receiving: what left the relay before that has come.
    let stopped = away.last_received() - STOP_DOUBT_US;
    let before = |packet: &&Logged| packet.released.is_some_and(|at| at < stopped);
    let certain = towards.rtp.iter().filter(before).count() as u64;
    assert!(
        media.rx_packets <= sent && media.rx_packets >= certain,
        "the relay sent {sent} on, {certain} of them before the end stopped; {context}"
    );
    // What the relay lost before the first packet that it sent on and behind the last, nobody can know
    // to be missing: no sequence number around it came (RFC 3550 §A.3).
    let lost = |packet: &&Logged| packet.released.is_none();
    let unknown = towards.rtp.iter().take_while(lost).count();
    let unknown = unknown + towards.rtp.iter().rev().take_while(lost).count();
    let known = |count: u64| count as f64 - unknown as f64;
    let relay_loss_pct = 100.0 * known(counts.dropped) / known(counts.received);
    let measured = f64::from(media.loss_pct.unwrap());
    assert!(
        (measured - relay_loss_pct).abs() <= 0.3,
        "the relay lost {relay_loss_pct} %; {context}"
    );

    let packets = received(&towards.rtp, media.rx_packets);
    // Loss and bursts as the relay made them, the delay as we measured it.
    let sequence = Played::of(packets);
    assert_eq!(sequence.lost as i64, media.rx_lost, "{context}");
    let delay = f64::from(media.delay_ms.unwrap());
    if name != "jitter" {
        // A busy machine makes packets late: what the playout buffer discarded for that is lost to
        // the ear as well, and makes other runs than the relay did.
        let discarded = 100.0 * media.discarded as f64 / media.rx_expected as f64;
        let burst_ratio = match media.discarded {
            0 => sequence.burst_ratio(),
            _ => f64::from(media.burst_r.unwrap()).max(1.0),
        };
        let expected = mos(sequence.loss_pct() + discarded, burst_ratio, delay);
        let got = f64::from(media.mos.unwrap());
        let context =
            format!("the oracle says {expected} for {sequence:?} and {delay} ms; {context}");
        assert!((got - expected).abs() <= 0.02, "{context}");
    }
    let jitter = Jitter::of(packets);
    let context = format!("the log says {jitter:?}; {context}");
    let got = f64::from(media.jitter_mean_ms.unwrap());
    assert!(
        (got - jitter.mean).abs() <= 1.0 + jitter.mean_doubt,
        "{context}"
    );
    let got = f64::from(media.jitter_max_ms.unwrap());
    assert!(
        (got - jitter.max).abs() <= 2.0 + jitter.max_doubt,
        "{context}"
    );
}

/// Every round trip is the sum of how long the relay held the report that came and, before it, the
/// report that it answers. The rest, through loopback and back, is far below the tolerance.
fn check_round_trips(name: &str, end: &End, towards: &Way, away: &Way) {
    let held_at_least = if name == "delay" { 80.0 } else { 0.0 };
    for way in [towards, away] {
        for hold in way.holds_ms() {
            // The log's times have one decimal of a microsecond.
            assert!(hold >= held_at_least - 0.001, "{name}: held {hold} ms");
        }
    }
    let expected: Vec<f64> = towards
        .reports
        .iter()
        .filter_map(|answer| {
            let heard = |report: &&Report| report.released <= answer.received;
            let answered = away.reports.iter().rfind(heard)?;
            Some(answer.hold_ms() + answered.hold_ms())
        })
        .collect();
    let got = &end.rtt_ms;
    let context = format!("{name}: measured {got:?} ms, the log says {expected:?} ms");
    // The first report may find nothing to answer, the last one nobody to read it.
    let samples = end.media.rtt_samples as usize;
    assert!(
        !got.is_empty() && samples <= expected.len() && samples + 2 >= expected.len(),
        "{samples} samples; {context}"
    );
    // A second has the mean of its samples, three at most: reports are 0.41 s to 1.23 s apart
    // (RFC 3550 §6.3.1, with an interval of 1 s).
    let seconds: Vec<f64> = (1..=3)
        .flat_map(|count| expected.windows(count))
        .map(|samples| samples.iter().sum::<f64>() / samples.len() as f64)
        .collect();
    let distance = |rtt: &f64| {
        let distances = seconds.iter().map(|second| (rtt - second).abs());
        distances.fold(f64::INFINITY, f64::min)
    };
    // Half of them may have waited for a processor between a stamp and its packet.
    let mut distances: Vec<f64> = got.iter().map(distance).collect();
    distances.sort_by(f64::total_cmp);
    assert!(distances[distances.len() / 2] <= 2.0, "{context}");
}

/// tshark saw the relay's packets to and from both ends; each stream that we received is among
/// them, with the same count, loss and jitter up to where the capture ends.
fn tshark_agrees(end: &End, packets: &[Logged], streams: &[RtpStream]) {
    let media = &end.media;
    let port: u16 = media.local.rsplit(':').next().unwrap().parse().unwrap();
    let stream = streams
        .iter()
        .find(|stream| stream.to == port && Some(stream.ssrc) == media.remote_ssrc)
        .unwrap_or_else(|| panic!("tshark has no stream to {port}: {streams:?}"));
    let context = format!("{stream:?}\n{media:?}");
    assert!(stream.packets <= sent_of(packets), "{context}");
    // What dumpcap had not yet taken from the kernel when it was told to end, it never writes.
    let seen = received(packets, stream.packets);
    let left = |packets: &[Logged]| packets.iter().rev().find_map(|packet| packet.released);
    let unseen = left(packets).unwrap() - left(seen).unwrap();
    assert!(unseen <= DUMPCAP_BEHIND_US, "{unseen} us; {context}");
    let ours = received(packets, media.rx_packets);
    let lost = Played::of(seen).lost as i64;
    assert_eq!(stream.lost, lost, "{context}");
    let after = Played::of(ours).lost as i64 - lost;
    assert_eq!(stream.lost + after, media.rx_lost, "{context}");
    let mean = f64::from(media.jitter_mean_ms.unwrap());
    let max = f64::from(media.jitter_max_ms.unwrap());
    assert!((stream.mean_jitter_ms - mean).abs() <= 0.5, "{context}");
    assert!((stream.max_jitter_ms - max).abs() <= 1.0, "{context}");
}

/// What the relay's log tells of one direction of a call.
#[derive(Debug, Default)]
struct Way {
    /// By timestamp.
    rtp: Vec<Logged>,
    /// RTCP that was sent on, in order.
    reports: Vec<Report>,
}

impl Way {
    /// When the last packet of any kind came from the sending end.
    fn last_received(&self) -> f64 {
        let rtp = self.rtp.iter().map(|packet| packet.received);
        let reports = self.reports.iter().map(|report| report.received);
        rtp.chain(reports).fold(0.0, f64::max)
    }

    /// How long each packet was held.
    fn holds_ms(&self) -> impl Iterator<Item = f64> {
        let rtp = self.rtp.iter();
        let rtp = rtp.filter_map(|packet| Some((packet.released? - packet.received) / 1_000.0));
        rtp.chain(self.reports.iter().map(Report::hold_ms))
    }
}

/// An RTCP packet that the relay sent on; microseconds.
#[derive(Clone, Copy, Debug)]
struct Report {
    received: f64,
    released: f64,
}

impl Report {
    fn hold_ms(&self) -> f64 {
        (self.released - self.received) / 1_000.0
    }
}

/// A line of the relay's log with RTP; microseconds.
#[derive(Clone, Copy, Debug)]
struct Logged {
    sequence: u16,
    timestamp: u32,
    received: f64,
    /// None for a packet that was lost.
    released: Option<f64>,
    /// How long the sending took: the packet left within this time before `released`.
    sending: f64,
}

/// Packets by call and direction, in the order in which they arrived at the relay.
fn read_log(path: &Path) -> HashMap<(String, String), Way> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut log: HashMap<(String, String), Way> = HashMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [
            received,
            released,
            call,
            direction,
            kind,
            sequence,
            timestamp,
            _,
            fate,
            sending,
        ] = cells[..]
        else {
            panic!("{}: {line}", path.display());
        };
        let key = (call.trim_matches('"').to_owned(), direction.to_owned());
        let way = log.entry(key).or_default();
        let received = received.parse().unwrap();
        match (kind, fate) {
            ("rtp", "sent" | "lost") => way.rtp.push(Logged {
                sequence: sequence.parse().unwrap(),
                timestamp: timestamp.parse().unwrap(),
                received,
                released: (fate == "sent").then(|| released.parse().unwrap()),
                sending: sending.parse().unwrap_or(0.0),
            }),
            ("rtcp", "sent") => way.reports.push(Report {
                received,
                released: released.parse().unwrap(),
            }),
            _ => panic!("{}: {line}", path.display()),
        }
    }
    // The log is written as packets leave; a lost one is written when it came.
    for way in log.values_mut() {
        let packets = &mut way.rtp;
        let first = packets.iter().map(|packet| packet.timestamp).min().unwrap();
        packets.sort_by_key(|packet| packet.timestamp.wrapping_sub(first));
        assert!(
            packets
                .windows(2)
                .all(|pair| pair[0].sequence.wrapping_add(1) == pair[1].sequence)
        );
    }
    log
}

fn sent_of(packets: &[Logged]) -> u64 {
    let sent = |packet: &&Logged| packet.released.is_some();
    packets.iter().filter(sent).count() as u64
}

/// The part of the log that the end knows: up to the last packet that it received.
fn received(packets: &[Logged], count: u64) -> &[Logged] {
    let mut seen = 0;
    let last = packets.iter().position(|packet| {
        seen += u64::from(packet.released.is_some());
        seen == count
    });
    &packets[..=last.unwrap()]
}

/// What a receiver can know of a sequence: from the first packet that came to the last.
#[derive(Debug)]
struct Played {
    expected: usize,
    lost: usize,
    runs: usize,
}

impl Played {
    fn of(packets: &[Logged]) -> Self {
        let came: Vec<bool> = packets
            .iter()
            .map(|packet| packet.released.is_some())
            .collect();
        let first = came.iter().position(|came| *came).unwrap();
        let last = came.iter().rposition(|came| *came).unwrap();
        let seen = &came[first..=last];
        Self {
            expected: seen.len(),
            lost: seen.iter().filter(|came| !**came).count(),
            runs: seen.windows(2).filter(|pair| pair[0] && !pair[1]).count(),
        }
    }

    fn loss_pct(&self) -> f64 {
        100.0 * self.lost as f64 / self.expected as f64
    }

    /// ITU-T G.107 §7.2 (BurstR): the mean run of losses over the one that random loss would have.
    fn burst_ratio(&self) -> f64 {
        if self.lost == 0 {
            return 1.0;
        }
        let mean_run = self.lost as f64 / self.runs as f64;
        (mean_run * (1.0 - self.loss_pct() / 100.0)).max(1.0)
    }
}

/// MOS-CQ of G.711 with concealment (ITU-T G.113: Ie 0, Bpl 25.1), ITU-T G.107 simplified.
fn mos(ppl_pct: f64, burst_ratio: f64, delay_ms: f64) -> f64 {
    let ie_eff = 95.0 * ppl_pct / (ppl_pct / burst_ratio + 25.1);
    let knee = delay_ms - 177.3;
    let id = 0.024 * delay_ms + if knee > 0.0 { 0.11 * knee } else { 0.0 };
    let r = 93.2 - id - ie_eff;
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// RFC 3550 §6.4.1 over the moments at which the relay sent, in milliseconds.
#[derive(Debug)]
struct Jitter {
    mean: f64,
    max: f64,
    /// How far the two may be wrong, because a packet left somewhere within the time that its
    /// sending took: a few microseconds, unless the relay lost its processor just then.
    mean_doubt: f64,
    max_doubt: f64,
}

impl Jitter {
    fn of(packets: &[Logged]) -> Self {
        let came: Vec<(f64, &Logged)> = packets
            .iter()
            .filter_map(|packet| packet.released.map(|at| (at, packet)))
            .collect();
        let (mut jitter, mut sum, mut max) = (0.0f64, 0.0f64, 0.0f64);
        let (mut doubt, mut doubt_sum, mut max_doubt) = (0.0f64, 0.0f64, 0.0f64);
        for pair in came.windows(2) {
            let ((before, first), (after, second)) = (pair[0], pair[1]);
            let spacing = (after - before) / 1_000.0;
            let intended = f64::from(second.timestamp.wrapping_sub(first.timestamp)) / 8.0;
            jitter += ((spacing - intended).abs() - jitter) / 16.0;
            sum += jitter;
            max = max.max(jitter);
            doubt += ((first.sending + second.sending) / 1_000.0 - doubt) / 16.0;
            doubt_sum += doubt;
            max_doubt = max_doubt.max(doubt);
        }
        let count = (came.len() - 1) as f64;
        Self {
            mean: sum / count,
            max,
            mean_doubt: doubt_sum / count,
            max_doubt,
        }
    }
}

#[test]
fn the_oracle_gives_the_published_values() {
    // G.711 with concealment, no delay, random loss: per cent and MOS.
    for (loss_pct, expected) in [
        (0.0, 4.409),
        (1.0, 4.328),
        (2.0, 4.235),
        (5.0, 3.923),
        (10.0, 3.411),
    ] {
        let got = mos(loss_pct, 1.0, 0.0);
        assert!((got - expected).abs() < 0.001, "{loss_pct} %: {got}");
    }
    // 2 % in longer runs, and a delay of 50 ms.
    assert!(mos(2.0, 2.0, 0.0) < mos(2.0, 1.0, 0.0));
    assert!((mos(0.0, 1.0, 50.0) - 4.385).abs() < 0.001);
}

/// Pairs through each lab.
const PAIRS: usize = 3;
const FIRST_PORT: u16 = 50_000;
const PORTS_EACH: u16 = 64;
/// What an end receives while it stops may be lost to it: from its last look at its sockets to its
/// own last packet, which is no later than a packet time.
const STOP_DOUBT_US: f64 = 40_000.0;
/// How much of the end dumpcap may miss: it looks each 100 ms at blocks that the kernel hands over
/// each 100 ms.
const DUMPCAP_BEHIND_US: f64 = 300_000.0;
