//! Ctrl-C in mid-run: every call ends, every registration goes, the results are written.

use std::time::{Duration, Instant};

use shared::phase::RunStatus;
use shared::result::Verdict;
use tests::{Carillon, Kamailio};

#[test]
fn an_interrupted_run_tidies_up_within_five_seconds() {
    let Some(kamailio) = Kamailio::start() else {
        return;
    };
    let test = format!(
        r#"name = "interrupted"
duration = "2m"
buildup = "4s"

[registrars.pbx]
domain = "127.0.0.1"
port = {}

[groups.callers]
registrar = "pbx"
accounts = {{ pattern = "caller{{001..200}}", password = "pw-{{username}}" }}
calls = {{ group = "callees" }}

[groups.callees]
registrar = "pbx"
accounts = {{ pattern = "callee{{001..200}}", password = "pw-{{username}}" }}
receives = true
"#,
        kamailio.port()
    );
    let mut run = Carillon::run("interrupted", &test, &[]);
    run.wait_while_running("400 contacts at Kamailio", Duration::from_secs(20), || {
        kamailio.contacts() == 400
    });
    // Two INVITEs and an ACK of each call came by: 200 answers of the callees have passed.
    run.wait_while_running("200 calls answered", Duration::from_secs(20), || {
        kamailio.counter("core:rcv_replies_2xx_invite") >= 200
    });
    let byes = kamailio.counter("core:rcv_requests_bye");
    run.process().signal("INT");
    let interrupted = Instant::now();
    let finished = run.wait(Duration::from_secs(20));
    let took = interrupted.elapsed();
    assert_eq!(finished.code, Some(130), "{}", finished.output);
    assert!(took <= Duration::from_secs(5), "it took {took:?}");
    assert_eq!(kamailio.contacts(), 0, "registrations are left");
    assert!(
        kamailio.counter("core:rcv_requests_bye") - byes >= 200,
        "BYEs are missing"
    );

    let result = finished.result();
    assert_eq!(
        (result.status, result.verdict),
        (RunStatus::Completed, Verdict::Interrupted)
    );
    assert_eq!(result.all.counts.calls_established, 200);
    assert_eq!(result.all.counts.calls_completed, 200);
    assert_eq!(result.all.counts.unregistered, 400);
    assert!(result.all.packets_received > 0);
}
