//! Against the lab's relay, which loses, delays and jitters by seed and logs every packet: what we
//! measured is what it did, and the MOS is what the E-model makes of that. tshark, which shares
//! nothing with us, is asked as well.
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

use lab::{Impairment, Lab, LabConfig, LabHandle, Loss, RelayConfig};
use shared::result::RunResult;
use shared::wire::MediaReport;
use tests::{Carillon, RtpStream, Scratch, Tshark};

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
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let result = finished.result();
    assert!(
        !result.generator.saturated,
        "{:?}",
        result.generator.reasons
    );
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
            let direction = if end.caller {
                &call.to_caller
            } else {
                &call.to_callee
            };
            let name = if end.caller { "to_caller" } else { "to_callee" };
            let packets = log.get(&(end.call_id.clone(), name.to_owned()));
            let packets = packets.unwrap_or_else(|| panic!("{}: nothing logged", path.name));
            let loss = direction.loss_pct().unwrap();
            check_end(path.name, end, loss, direction.relayed, packets);
        }
        if let (Some(streams), "two") = (&streams, path.name) {
            tshark_agrees(&ends, streams);
        }
    }
}

/// One end of one call.
struct End {
    call_id: String,
    caller: bool,
    media: MediaReport,
    /// Median of the seconds.
    rtt_ms: f64,
}

fn ends_of(result: &RunResult, name: &str) -> Vec<End> {
    let prefix = format!("{name}-");
    result
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.group_name.starts_with(&prefix))
        .flat_map(|endpoint| {
            let mut rtt_ms: Vec<f64> = endpoint
                .seconds
                .iter()
                .filter_map(|second| second.values.get("rtt_ms").copied())
                .collect();
            rtt_ms.sort_by(f64::total_cmp);
            let median = rtt_ms[rtt_ms.len() / 2];
            endpoint.report.calls.iter().map(move |call| End {
                call_id: call.call_id.clone(),
                caller: call.caller,
                media: call.media.clone().expect("media"),
                rtt_ms: median,
            })
        })
        .collect()
}

fn check_end(name: &str, end: &End, relay_loss_pct: f64, relayed: u64, packets: &[Logged]) {
    let media = &end.media;
    let context = format!(
        "{name}, {} end: {media:#?}",
        if end.caller { "caller's" } else { "callee's" }
    );
    assert!(media.rx_expected >= 1_400, "{context}");
    // What the relay still held when the call ended came too late to be received.
    let held = match name {
        "jitter" => 3,
        "delay" => 5,
        _ => 1,
    };
    let late = relayed.saturating_sub(media.rx_packets);
    assert!(
        media.rx_packets <= relayed && late <= held,
        "the relay sent {relayed} on; {context}"
    );
    let measured = f64::from(media.loss_pct.unwrap());
    assert!(
        (measured - relay_loss_pct).abs() <= 0.3,
        "the relay lost {relay_loss_pct} %; {context}"
    );

    // Loss and bursts as the relay made them, the delay as we measured it.
    let sequence = Played::of(packets);
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
    let (mean_jitter, max_jitter) = jitter_ms(packets);
    let got = f64::from(media.jitter_mean_ms.unwrap());
    assert!(
        (got - mean_jitter).abs() <= 1.0,
        "the log's mean jitter is {mean_jitter} ms; {context}"
    );
    let got = f64::from(media.jitter_max_ms.unwrap());
    assert!(
        (got - max_jitter).abs() <= 2.0,
        "the log's largest jitter is {max_jitter} ms; {context}"
    );

    let rtt = end.rtt_ms;
    let (low, high) = if name == "delay" {
        (158.0, 162.0)
    } else {
        (0.0, 45.0)
    };
    assert!((low..=high).contains(&rtt), "RTT {rtt} ms; {context}");
}

/// tshark saw the relay's packets to and from both ends; each stream that we received is among
/// them, with the same count, loss and jitter.
fn tshark_agrees(ends: &[End], streams: &[RtpStream]) {
    for end in ends {
        let media = &end.media;
        let port: u16 = media.local.rsplit(':').next().unwrap().parse().unwrap();
        let stream = streams
            .iter()
            .find(|stream| stream.to == port && Some(stream.ssrc) == media.remote_ssrc)
            .unwrap_or_else(|| panic!("tshark has no stream to {port}: {streams:?}"));
        let context = format!("{stream:?}\n{media:?}");
        assert_eq!(stream.packets, media.rx_packets, "{context}");
        assert_eq!(stream.lost, media.rx_lost, "{context}");
        let mean = f64::from(media.jitter_mean_ms.unwrap());
        let max = f64::from(media.jitter_max_ms.unwrap());
        assert!((stream.mean_jitter_ms - mean).abs() <= 0.5, "{context}");
        assert!((stream.max_jitter_ms - max).abs() <= 1.0, "{context}");
    }
}

/// A line of the relay's log.
#[derive(Clone, Copy, Debug)]
struct Logged {
    sequence: u16,
    timestamp: u32,
    /// Microseconds; none for a packet that was lost.
    released: Option<f64>,
}

/// RTP packets by call and direction, in the order in which they arrived at the relay.
fn read_log(path: &Path) -> HashMap<(String, String), Vec<Logged>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut log: HashMap<(String, String), Vec<Logged>> = HashMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [
            _,
            released,
            call,
            direction,
            "rtp",
            sequence,
            timestamp,
            _,
            fate,
        ] = cells[..]
        else {
            continue;
        };
        let released = match fate {
            "sent" => Some(released.parse().unwrap()),
            "lost" => None,
            other => panic!("{}: a packet was {other}", path.display()),
        };
        let key = (call.trim_matches('"').to_owned(), direction.to_owned());
        let packet = Logged {
            sequence: sequence.parse().unwrap(),
            timestamp: timestamp.parse().unwrap(),
            released,
        };
        log.entry(key).or_default().push(packet);
    }
    // The log is written as packets leave; a lost one is written when it came.
    for packets in log.values_mut() {
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

/// RFC 3550 §6.4.1 over the moments at which the relay sent: mean of all values and the largest.
fn jitter_ms(packets: &[Logged]) -> (f64, f64) {
    let came: Vec<(f64, u32)> = packets
        .iter()
        .filter_map(|packet| packet.released.map(|at| (at, packet.timestamp)))
        .collect();
    let (mut jitter, mut sum, mut largest) = (0.0f64, 0.0f64, 0.0f64);
    for pair in came.windows(2) {
        let spacing = (pair[1].0 - pair[0].0) / 1_000.0;
        let intended = f64::from(pair[1].1.wrapping_sub(pair[0].1)) / 8.0;
        jitter += ((spacing - intended).abs() - jitter) / 16.0;
        sum += jitter;
        largest = largest.max(jitter);
    }
    (sum / (came.len() - 1) as f64, largest)
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
