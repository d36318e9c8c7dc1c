//! baresip, a telephone that others wrote, registered at Kamailio: it calls us and is called by
//! us, with G.711 and Opus, and both sides' packet counts agree.

use std::time::Duration;

use shared::wire::MediaReport;
use tests::{Baresip, BaresipCall, Carillon, Kamailio, Reported, alone, until};

fn test(port: u16, codec: &str) -> String {
    format!(
        r#"name = "telephone"
duration = "16s"

[registrars.pbx]
domain = "127.0.0.1"
port = {port}

[groups.caller]
registrar = "pbx"
accounts = [{{ username = "carol", password = "pw-carol" }}]
calls = "sip:bob@127.0.0.1:{port}"
call_duration = "6s"
codecs = ["{codec}"]

[groups.callee]
registrar = "pbx"
accounts = [{{ username = "dave", password = "pw-dave" }}]
receives = true
codecs = ["{codec}"]
"#
    )
}

#[test]
fn g711_both_ways() {
    both_ways("PCMU", "PCMU");
}

#[test]
fn opus_both_ways() {
    both_ways("opus", "opus");
}

fn both_ways(ours: &str, theirs: &str) {
    let _machine = alone();
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let Some(mut phone) = Baresip::register("bob", kamailio.port(), theirs) else {
        return;
    };
    let mut run = Carillon::run("telephone", &test(kamailio.port(), ours), &[]);
    // We call it first; it hangs up nothing, our call ends after six seconds.
    phone.wait_for("CALL_ESTABLISHED", Duration::from_secs(10));
    phone.wait_for("CALL_CLOSED", Duration::from_secs(12));
    run.wait_while_running("the callee at Kamailio", Duration::from_secs(5), || {
        kamailio.contacts() >= 2
    });
    // Then it calls us; our run's end ends that call.
    phone.dial(&format!("sip:dave@127.0.0.1:{}", kamailio.port()));
    phone.wait_for("CALL_ESTABLISHED", Duration::from_secs(5));
    phone.wait_for("CALL_CLOSED", Duration::from_secs(20));
    let finished = run.wait(Duration::from_secs(30));
    finished.assert_ended(0);
    let calls = until(
        "baresip's figures of two calls",
        Duration::from_secs(5),
        || Some(phone.calls()).filter(|calls| calls.len() == 2),
    );
    let result = finished.result();
    for (name, call) in ["carol", "dave"].iter().zip(&calls) {
        let endpoint = result
            .endpoints
            .iter()
            .find(|endpoint| endpoint.account == *name);
        let report = &endpoint
            .unwrap_or_else(|| panic!("no endpoint {name}"))
            .report();
        let media = report.calls.first().and_then(|call| call.media.as_ref());
        agree(
            name,
            media.unwrap_or_else(|| panic!("no media of {name}")),
            call,
            theirs,
        );
    }
}

/// Both sides' counts; what one side sends after the other has closed its port is not counted.
fn agree(name: &str, ours: &MediaReport, theirs: &BaresipCall, codec: &str) {
    let context = format!("{name}: {ours:?}\nbaresip: {theirs:?}");
    assert!(ours.codec.eq_ignore_ascii_case(codec), "{context}");
    assert!(
        ours.rx_packets >= 100 && ours.tx_packets >= 100,
        "{context}"
    );
    assert_eq!(ours.rx_lost, 0, "{context}");
    assert!(ours.rx_packets.abs_diff(theirs.sent) <= TAIL, "{context}");
    assert!(
        ours.tx_packets.abs_diff(theirs.received) <= TAIL,
        "{context}"
    );
    if let Some(lost) = theirs.lost_here {
        assert_eq!(lost, 0, "{context}");
    }
    if let Some(lost) = theirs.lost_at_peer {
        assert_eq!(lost, 0, "{context}");
    }
    // What its RTCP told us.
    if let Some(lost) = ours.tx_lost_reported {
        assert!(lost.abs() <= 1, "{context}");
    }
    assert_eq!(ours.strangers, 0, "{context}");
    assert!(ours.mos.is_some(), "{context}");
}

/// 100 ms of audio: what is on its way, or was sent while BYE was.
const TAIL: u64 = 5;
