//! The peers by themselves: what the other suites rely on is true of them on this machine.

use std::time::Duration;

use tests::{Baresip, Kamailio, Sipp, Tshark, until};

#[test]
fn kamailio_answers_and_knows_nobody() {
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    assert_eq!(kamailio.contacts(), 0);
    assert_eq!(kamailio.counter("registrar:accepted_regs"), 0);
}

#[test]
fn sipp_calls_sipp_with_audio_that_tshark_sees() {
    let Some(mut callee) = Sipp::answering(Duration::from_secs(30)) else {
        return;
    };
    let Some(capture) = Tshark::capture(1_024, 65_535) else {
        return;
    };
    let target = format!("127.0.0.1:{}", callee.port());
    let talk = Duration::from_secs(2);
    let Some(mut caller) = Sipp::calling(&target, "anyone", 2, 2, talk) else {
        return;
    };
    let counted = caller.wait(Duration::from_secs(20));
    assert_eq!(
        (counted.successful, counted.failed),
        (2, 0),
        "{}",
        caller.errors()
    );
    assert_eq!(callee.stop().failed, 0);
    let streams = capture.streams();
    // Out and back, for each call; the echo is the same stream from the other side.
    let long = streams
        .iter()
        .filter(|stream| stream.packets >= 80 && stream.lost == 0);
    assert!(long.count() >= 4, "{streams:?}");
}

#[test]
fn baresip_registers_at_kamailio_and_calls_sipp() {
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let Some(mut callee) = Sipp::answering(Duration::from_secs(30)) else {
        return;
    };
    let Some(mut phone) = Baresip::register("bob", kamailio.port(), "PCMU") else {
        return;
    };
    assert_eq!(kamailio.contacts(), 1);
    phone.dial(&format!("sip:anyone@127.0.0.1:{}", callee.port()));
    phone.wait_for("CALL_ESTABLISHED", Duration::from_secs(5));
    phone.wait_for("CALL_RTPESTAB", Duration::from_secs(5));
    phone.hang_up();
    phone.wait_for("CALL_CLOSED", Duration::from_secs(5));
    let calls = until("baresip's figures", Duration::from_secs(5), || {
        Some(phone.calls()).filter(|calls| !calls.is_empty())
    });
    assert!(calls[0].sent >= 1 && calls[0].received >= 1, "{calls:?}");
    drop(phone);
    until("baresip's un-REGISTER", Duration::from_secs(5), || {
        (kamailio.contacts() == 0).then_some(())
    });
    callee.stop();
}
