//! SIPp as the peer, both ways: our callers against its echo, its callers against our group.

use std::time::Duration;

use shared::result::RunResult;
use tests::{Carillon, Reported, Sipp, alone, free_ports};

const CALLS: u32 = 100;

#[test]
fn a_hundred_of_our_callers_talk_to_sipps_echo() {
    let _machine = alone();
    let Some(mut sipp) = Sipp::answering(Duration::from_secs(60)) else {
        return;
    };
    let test = format!(
        r#"name = "to sipp"
duration = "30s"
buildup = "4s"
thresholds = ["call_success >= 100%"]

[groups.callers]
count = {CALLS}
calls = "sip:echo@127.0.0.1:{}"
call_duration = "8s"
"#,
        sipp.port()
    );
    let finished = Carillon::run("to-sipp", &test, &[]).wait(Duration::from_secs(50));
    finished.assert_ended(0);
    let counted = sipp.stop();
    assert_eq!(
        (counted.successful, counted.failed),
        (u64::from(CALLS), 0),
        "{}",
        sipp.errors()
    );
    let result = finished.result();
    assert_eq!(result.all.counts.calls_established, u64::from(CALLS));
    assert_eq!(result.all.counts.calls_failed, 0);
    assert_metrics_of_every_call(result, 380);
}

#[test]
fn a_hundred_of_sipps_callers_talk_to_our_group() {
    let _machine = alone();
    let [port] = free_ports();
    let test = format!(
        r#"name = "from sipp"
duration = "25s"
thresholds = []

[groups.callees]
count = {CALLS}
receives = true
sip_bind = "127.0.0.1:{port}"
"#
    );
    let mut run = Carillon::run("from-sipp", &test, &[]);
    run.wait_while_running(
        "our group answering OPTIONS",
        Duration::from_secs(10),
        || answers(port),
    );
    let target = format!("127.0.0.1:{port}");
    let talk = Duration::from_secs(6);
    let Some(mut sipp) = Sipp::calling(&target, "callees", CALLS, 25, talk) else {
        return;
    };
    let counted = sipp.wait(Duration::from_secs(60));
    let finished = run.wait(Duration::from_secs(50));
    finished.assert_ended(0);
    assert_eq!(
        (counted.successful, counted.failed),
        (u64::from(CALLS), 0),
        "{}",
        sipp.errors()
    );
    let result = finished.result();
    assert_eq!(result.all.counts.calls_received, u64::from(CALLS));
    assert_eq!(result.all.counts.calls_completed, u64::from(CALLS));
    assert_metrics_of_every_call(result, 250);
}

/// Every call has a media report with received audio, its loss, jitter and MOS.
fn assert_metrics_of_every_call(result: &RunResult, packets: u64) {
    let mut calls = 0;
    for report in result.endpoints.iter().map(Reported::report) {
        for call in &report.calls {
            let media = call
                .media
                .as_ref()
                .unwrap_or_else(|| panic!("{}: no media", report.account));
            // Ours were not sent where this machine held us up; SIPp's always are.
            let due = media.rx_packets + result.generator.skipped_packets;
            assert!(due >= packets, "{}: {media:?}", report.account);
            assert_eq!(
                (media.codec.as_str(), media.rx_lost),
                ("PCMU", 0),
                "{}",
                report.account
            );
            assert!(
                media.jitter_mean_ms.is_some() && media.mos.is_some(),
                "{}: {media:?}",
                report.account
            );
            calls += 1;
        }
    }
    assert_eq!(calls, CALLS);
}

/// True where a receiver that is ready answers OPTIONS at this port: before that it is 480.
fn answers(port: u16) -> bool {
    let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") else {
        return false;
    };
    let Ok(local) = socket.local_addr() else {
        return false;
    };
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .ok();
    let request = format!(
        "OPTIONS sip:callees@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready{}\r\n\
         From: <sip:ready@127.0.0.1>;tag=1\r\nTo: <sip:callees@127.0.0.1:{port}>\r\nCall-ID: ready@{local}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        local.port()
    );
    let mut answer = [0; 2_048];
    socket
        .send_to(request.as_bytes(), ("127.0.0.1", port))
        .is_ok()
        && socket
            .recv(&mut answer)
            .is_ok_and(|length| answer[..length].starts_with(b"SIP/2.0 200 "))
}
