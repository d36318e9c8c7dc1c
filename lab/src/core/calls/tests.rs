use super::*;

const SDP_A: &[u8] = b"c=IN IP4 127.0.0.1\r\nm=audio 6000 RTP/AVP 0\r\n";
const SDP_B: &[u8] = b"c=IN IP4 127.0.0.1\r\nm=audio 7000 RTP/AVP 0\r\n";

fn flow(port: u16) -> Flow {
    Flow::udp(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
}

fn beginning(call_id: &str, cseq: u32) -> Beginning<'_> {
    let callee = Callee {
        uri: "sip:b@127.0.0.1:5081".to_owned(),
        flow: flow(5081),
    };
    Beginning {
        call_id,
        caller_tag: "a",
        cseq,
        caller: flow(5080),
        callee,
    }
}

fn relayed() -> (Calls, SipStats) {
    let mut calls = Calls::new("127.0.0.1".parse().unwrap(), true, true);
    for port in (40_000..40_020).step_by(2) {
        calls.port_ready(port);
    }
    (calls, SipStats::default())
}

fn commands(calls: &mut Calls) -> Vec<MediaCommand> {
    std::iter::from_fn(|| calls.command()).collect()
}

fn text(body: Result<Option<Vec<u8>>, Full>) -> String {
    String::from_utf8(body.unwrap().unwrap()).unwrap()
}

#[test]
fn both_descriptions_name_the_relay_and_repeat() {
    let now = Instant::now();
    let (mut calls, mut stats) = relayed();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    let offer = text(calls.describe("c", "a", true, SDP_A, &mut stats));
    assert!(offer.contains("m=audio 40002 RTP/AVP 0"), "{offer}");
    let answer = text(calls.describe("c", "a", false, SDP_B, &mut stats));
    assert!(answer.contains("m=audio 40000 RTP/AVP 0"), "{answer}");
    let all = commands(&mut calls);
    assert_eq!(all.len(), 4, "{all:?}");
    let MediaCommand::Target { port, target } = &all[3] else {
        panic!("{all:?}")
    };
    assert_eq!(
        (port.side, target.rtp.unwrap().port()),
        (Side::Callee, 7000)
    );
    // The same INVITE again: the same ports.
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    assert_eq!(
        text(calls.describe("c", "a", true, SDP_A, &mut stats)),
        offer
    );
    assert_eq!((stats.calls, calls.live()), (1, 1));
    // A re-INVITE from the callee: its From carries the callee's tag.
    let again = text(calls.describe("c", "b", true, SDP_B, &mut stats));
    assert!(again.contains("m=audio 40000"), "{again}");
}

#[test]
fn a_call_ends_by_bye_and_lingers() {
    let now = Instant::now();
    let (mut calls, mut stats) = relayed();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    calls.answered(now, "c", &mut stats);
    calls.answered(now, "c", &mut stats);
    calls.failed(now, "c", &mut stats);
    assert_eq!(calls.next_deadline(), None);
    calls.bye(now, "c", &mut stats);
    calls.bye(now, "c", &mut stats);
    assert_eq!(
        (stats.calls_answered, stats.calls_ended, stats.calls_failed),
        (1, 1, 0)
    );
    commands(&mut calls);
    calls.expire(now + LINGER, &mut stats);
    assert_eq!(
        commands(&mut calls),
        vec![MediaCommand::Close { id: SessionId(1) }]
    );
    assert_eq!(stats.calls_ended, 1);
}

#[test]
fn a_failed_call_can_be_tried_again() {
    let now = Instant::now();
    let (mut calls, mut stats) = relayed();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    calls.failed(now, "c", &mut stats);
    assert_eq!(calls.live(), 0);
    calls.begin(now, beginning("c", 2), &mut stats).unwrap();
    assert_eq!((stats.calls, stats.calls_failed, calls.live()), (2, 1, 1));
    assert_eq!(calls.next_deadline(), Some(now + LONGEST_SETUP));
}

#[test]
fn silence_ends_an_answered_call_only() {
    let now = Instant::now();
    let (mut calls, mut stats) = relayed();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    calls.idle(SessionId(1), &mut stats);
    assert_eq!(calls.live(), 1);
    calls.answered(now, "c", &mut stats);
    calls.idle(SessionId(1), &mut stats);
    assert_eq!((calls.live(), stats.calls_ended), (0, 1));
}

#[test]
fn no_ports_means_no_call() {
    let now = Instant::now();
    let mut calls = Calls::new("127.0.0.1".parse().unwrap(), true, true);
    let mut stats = SipStats::default();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    assert_eq!(calls.describe("c", "a", true, SDP_A, &mut stats), Err(Full));
    assert_eq!(calls.ports_wanted(), PORTS_AT_HAND);
}

#[test]
fn public_media_targets_are_refused() {
    let now = Instant::now();
    let (mut calls, mut stats) = relayed();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    let sdp = b"c=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 0\r\n";
    calls.describe("c", "a", true, sdp, &mut stats).unwrap();
    let all = commands(&mut calls);
    let Some(MediaCommand::Target { target, .. }) = all.last() else {
        panic!("{all:?}")
    };
    assert_eq!((target.rtp, stats.refused), (None, 2));
}

#[test]
fn without_a_relay_descriptions_pass_untouched() {
    let now = Instant::now();
    let mut calls = Calls::new("127.0.0.1".parse().unwrap(), false, true);
    let mut stats = SipStats::default();
    calls.begin(now, beginning("c", 1), &mut stats).unwrap();
    assert_eq!(calls.describe("c", "a", true, SDP_A, &mut stats), Ok(None));
    assert_eq!(commands(&mut calls), vec![]);
    assert_eq!(calls.flow_to_peer_of("c", "a"), Some(flow(5081)));
    assert_eq!(calls.flow_to_peer_of("c", "b"), Some(flow(5080)));
}
