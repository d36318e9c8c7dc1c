//! What comes after a run is over.

use std::time::Duration;

use serde_json::json;
use shared::phase::RunStatus;
use tests::{Scripted, Service, Stage, session, until};

const SOON: Duration = Duration::from_secs(10);

/// RFC 3261 §17.2.2, Timer J: the answer to a BYE may be lost, and who sent it asks again.
#[test]
fn a_bye_that_is_repeated_after_the_runs_end_is_answered_again() {
    let service = Service::start_new("late");
    // A registrar that believes everybody, and then calls who registered.
    let mut peer = Scripted::udp("127.0.0.1");
    let stage = Stage::new(&service.api(), "late", peer.local().port(), 1);
    let test = stage.test(json!({
        "name": "late",
        "duration": "3s",
        "groups": { "callees": { "count": 1, "registrar": "pbx", "receives": true } },
    }));
    let run = stage.start(&test);
    let register = peer.expect("REGISTER", SOON);
    let contact = register.contact().expect("a Contact").to_owned();
    let lines = [format!("Contact: <{contact}>;expires=300")];
    peer.answer(&register, 200, "r", &lines, "");
    let at = contact
        .rsplit('@')
        .next()
        .unwrap()
        .parse()
        .expect("an address");
    let media = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let offer = session(media.local_addr().unwrap(), "0", "sendrecv");
    // Until it has heard that it is registered it is not there.
    let mut call = until("the call", SOON, || {
        let mut call = peer.invite("anybody", at, &offer);
        let answer = loop {
            let heard = peer.receive(SOON)?;
            if heard.status().is_some_and(|code| code >= 200) {
                break heard;
            }
        };
        peer.acknowledge(&mut call, &answer);
        answer.is("200").then_some(call)
    });
    peer.request(&mut call, "BYE", &[], "");
    assert_eq!(peer.expect("200", SOON).header("CSeq"), "2 BYE");
    let gone = peer.expect("REGISTER", SOON);
    peer.answer(&gone, 200, "r", &[], "");
    let ended = stage.wait_for_end(run.id, SOON);
    assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
    // The same once more, as a proxy that heard no answer sends it.
    call.cseq -= 1;
    peer.request(&mut call, "BYE", &[], "");
    assert_eq!(peer.expect("200", SOON).header("CSeq"), "2 BYE");
}
