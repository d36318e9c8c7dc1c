//! Callers that aim our media elsewhere, send what nobody asked for, or are refused: the receivers
//! stay usable and count only what was meant for them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use shared::phase::Outcome;
use tests::{Carillon, Reported, RtpEcho, Scripted, free_ports, rtp_packet, session, until};

use super::{
    SOON, assert_unharmed, call_when_ready, endpoint, hang_up, invite_when_free, receivers,
};

#[test]
fn hostile_callers_leave_receivers_usable() {
    let [own, shared, aimed, single] = free_ports();
    let mut test = "duration = \"6s\"\nbuildup = \"0s\"\n".to_owned();
    test += &receivers("own", own, 1, "sockets = \"own\"");
    test += &receivers("shared", shared, 1, "sockets = \"shared\"");
    test += &receivers("aimed", aimed, 1, "");
    test += &receivers("single", single, 1, "");
    let run = Carillon::run("receivers", &test, &[]);
    let heard = std::thread::scope(|scope| {
        let strangers = [own, shared].map(|port| scope.spawn(move || call_with_strangers(port)));
        scope.spawn(move || aim_at_third_party(aimed));
        scope.spawn(move || refused_invites_hold_nobody(single));
        strangers.map(|thread| thread.join().expect("a call with strangers"))
    });
    let finished = run.wait(Duration::from_secs(30));
    let result = finished.result();
    for (group, sent) in ["own", "shared"].into_iter().zip(heard) {
        let report = endpoint(result, group).report();
        assert_eq!(report.outcome, Outcome::Success, "{group}: {report:?}");
        let media = report.calls[0].media.as_ref().unwrap();
        assert!(
            media.rx_packets > 0 && media.rx_packets <= sent.echoed,
            "{group}: {} of {} packets: {media:?}",
            media.rx_packets,
            sent.echoed
        );
        assert_eq!(
            (media.rx_lost, media.rx_missing, media.rx_duplicates),
            (0, 0, 0),
            "{group}: {media:?}"
        );
        assert_eq!(media.loss_pct, Some(0.0), "{group}: {media:?}");
    }
    let own_media = endpoint(result, "own").report().calls[0]
        .media
        .clone()
        .unwrap();
    assert_eq!(own_media.strangers, STRANGERS, "{own_media:?}");
    // The shared port cannot tell which call a stranger meant: it is counted for the generator,
    // with the few packets that were under way when the call ended.
    let strangers = result.generator.strangers;
    assert!(
        (STRANGERS..STRANGERS + 10).contains(&strangers),
        "{:?}",
        result.generator
    );
    let aimed = endpoint(result, "aimed").report();
    assert_eq!(aimed.outcome, Outcome::Oserror, "{aimed:?}");
    assert!(aimed.reason.contains("198.51.100.77"), "{}", aimed.reason);
    assert!(
        aimed.calls.iter().all(|call| call.media.is_none()),
        "{aimed:?}"
    );
    assert_unharmed(&finished);
}

const STRANGERS: u64 = 50;

/// What a call's peer knows of it.
struct Sent {
    echoed: u64,
}

/// A call whose receiver also gets RTP from a wrong source.
fn call_with_strangers(port: u16) -> Sent {
    let mut caller = Scripted::udp("127.0.0.1");
    let echo = RtpEcho::start("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut caller, port, &echo.session());
    caller.acknowledge(&mut call, &answer);
    let media = answer.media_address().expect("where RTP goes");
    until("RTP of the call", SOON, || {
        (echo.received() > 10).then_some(())
    });
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for sequence in 0..STRANGERS {
        let sequence = u16::try_from(sequence * 7).unwrap();
        stranger
            .send_to(&rtp_packet(sequence, 0xbad), media)
            .unwrap();
    }
    let before = echo.received();
    until("RTP after the strangers", SOON, || {
        (echo.received() > before + 25).then_some(())
    });
    hang_up(&mut caller, &mut call);
    Sent {
        echoed: u64::from(echo.received()),
    }
}

/// An offer that points our media at somebody else.
fn aim_at_third_party(port: u16) {
    let mut caller = Scripted::udp("127.0.0.1");
    let elsewhere = session("198.51.100.77:40000".parse().unwrap(), "0", "sendrecv");
    let (mut call, answer) = call_when_ready(&mut caller, port, &elsewhere);
    caller.acknowledge(&mut call, &answer);
    let bye = caller.expect("BYE", SOON);
    caller.answer(&bye, 200, "", &[], "");
}

/// INVITEs that are refused before anybody rings leave the only receiver free; the ACKs of the
/// refusals reach the transaction that waits for them, so none is repeated.
fn refused_invites_hold_nobody(port: u16) {
    let mut caller = Scripted::udp("127.0.0.1");
    for (line, code) in [
        ("Content-Type: application/unknown", 415),
        ("Require: nothing-we-know", 420),
        ("Accept: text/plain", 406),
    ] {
        let lines = [line.to_owned()];
        let (mut call, refusal) = invite_when_free(&mut caller, port, &lines, "v=0\r\n");
        assert_eq!(refusal.status(), Some(code), "{refusal:?}");
        caller.acknowledge(&mut call, &refusal);
    }
    let echo = RtpEcho::start("127.0.0.1");
    let mut second = Scripted::udp("127.0.0.1");
    let (mut call, answer) = call_when_ready(&mut second, port, &echo.session());
    second.acknowledge(&mut call, &answer);
    // While it is busy one more is refused, and the call goes on.
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut third = caller.invite("somebody", to, &echo.session());
    let busy = caller.expect("486", SOON);
    caller.acknowledge(&mut third, &busy);
    until("RTP of the call", SOON, || {
        (echo.received() > 20).then_some(())
    });
    hang_up(&mut second, &mut call);
    let repeated = caller.receive(Duration::from_millis(700));
    assert!(
        repeated.is_none(),
        "an acknowledged refusal again: {repeated:?}"
    );
}
