//! Through a real Kamailio: registrations, calls between two groups of ours, and nothing left.

use std::time::Duration;

use shared::phase::{Outcome, RunStatus};
use tests::{Carillon, Kamailio, Reported, alone};

/// Callers of one group call callees of another through the registrar at this port.
fn pairs(port: u16, count: u32, duration: &str, call: &str) -> String {
    let last = 1_000 + count;
    format!(
        r#"name = "pairs"
duration = "{duration}"
buildup = "5s"
thresholds = ["registration_success >= 100%", "call_success >= 100%", "mos.p5 >= 4.3"]

[registrars.pbx]
domain = "127.0.0.1"
port = {port}

[groups.callers]
registrar = "pbx"
accounts = {{ pattern = "caller{{1001..{last}}}", password = "pw-{{username}}" }}
calls = {{ group = "callees" }}
call_duration = "{call}"

[groups.callees]
registrar = "pbx"
accounts = {{ pattern = "callee{{1001..{last}}}", password = "pw-{{username}}" }}
receives = true
"#
    )
}

#[test]
fn two_hundred_pairs_register_call_and_leave_nothing_behind() {
    let _machine = alone();
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let test = pairs(kamailio.port(), 200, "40s", "20s");
    let mut run = Carillon::run("pairs", &test, &[]);
    run.wait_while_running("400 contacts at Kamailio", Duration::from_secs(20), || {
        kamailio.contacts() == 400
    });
    let finished = run.wait(Duration::from_secs(60));
    let result = finished.result();
    finished.assert_ended(0);
    assert_eq!(result.status, RunStatus::Completed);

    let counts = &result.all.counts;
    assert_eq!(counts.endpoints, 400);
    assert_eq!(
        (counts.registrations_succeeded, counts.registrations_failed),
        (400, 0)
    );
    assert_eq!(
        (
            counts.calls_attempted,
            counts.calls_established,
            counts.calls_failed
        ),
        (200, 200, 0)
    );
    assert_eq!((counts.calls_received, counts.calls_completed), (200, 200));
    assert_eq!(counts.unregistered, 400);
    // Kamailio's own view: everybody came, was challenged once, and has gone.
    assert_eq!(kamailio.contacts(), 0);
    assert!(
        kamailio.counter("registrar:accepted_regs") >= 800,
        "REGISTER and un-REGISTER of each"
    );

    for endpoint in &result.endpoints {
        let report = endpoint.report();
        assert_eq!(
            report.outcome,
            Outcome::Success,
            "{}: {}",
            report.account,
            report.reason
        );
        let media = report.calls[0].media.as_ref().expect("media of a call");
        assert_eq!(
            (media.rx_lost, media.loss_pct),
            (0, Some(0.0)),
            "{}",
            report.account
        );
        assert!(media.mos.expect("a MOS") >= 4.3, "{}", report.account);
        // 20 s at 50 packets a second, minus what fits into setting up and hanging up, and what was
        // not sent where this machine held us up.
        assert!(
            media.rx_packets + result.generator.skipped_packets >= 950 && media.rx_packets <= 1_010,
            "{}: {}",
            report.account,
            media.rx_packets
        );
    }
}

#[test]
fn every_second_of_every_endpoint_is_in_the_result() {
    let _machine = alone();
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let test =
        pairs(kamailio.port(), 2, "20s", "5s").replace("buildup = \"5s\"", "buildup = \"0s\"");
    let finished = Carillon::run("seconds", &test, &[]).wait(Duration::from_secs(40));
    finished.assert_ended(0);
    let result = finished.result();
    assert_eq!(result.endpoints.len(), 4);
    for endpoint in &result.endpoints {
        let with_audio: Vec<u32> = endpoint
            .seconds
            .iter()
            .filter(|second| {
                second
                    .values
                    .get("rx.packets")
                    .is_some_and(|packets| *packets >= 1.0)
            })
            .map(|second| second.second)
            .collect();
        assert!(
            with_audio.len() >= 4,
            "{}: {with_audio:?}",
            endpoint.report().account
        );
        let whole: Vec<_> = with_audio
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(
            whole.iter().all(|step| *step == 1),
            "a gap in {with_audio:?}"
        );
        for key in [
            "jitter_ms",
            "loss_pct",
            "mos",
            "rx.bitrate_bps",
            "tx.packets",
        ] {
            let seconds = endpoint
                .seconds
                .iter()
                .filter(|second| second.values.contains_key(key));
            assert!(
                seconds.count() >= 3,
                "{key} of {}",
                endpoint.report().account
            );
        }
    }
}
