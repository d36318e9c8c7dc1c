//! The bus over a real nats-server: what is heard, what an outage does, large messages, TLS, who may
//! do what, slow readers, garbage.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step is a failed test, and a skipped one says so"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::bus::{Bus, BusMessage, NatsBus, NatsConfig, Published, Subscription, make_nkey};
use shared::id::NodeId;
use shared::wire::{HELLO, command_subject, report_subject};
use tests::{NatsAccount, NatsServer, NatsSubscriber, until};

const WITHIN: Duration = Duration::from_secs(20);

/// A bus that is connected.
fn bus(config: NatsConfig) -> Arc<NatsBus> {
    let bus = NatsBus::connect(config).unwrap();
    up(&bus, 1);
    bus
}

fn open_bus(server: &NatsServer) -> Arc<NatsBus> {
    bus(NatsConfig {
        name: "test".to_owned(),
        ..NatsConfig::new(&server.url())
    })
}

/// Waits for the bus' connection with this number.
fn up(bus: &NatsBus, connections: u64) {
    until("the bus being connected", WITHIN, || {
        let state = bus.state();
        (state.connected && state.connections >= connections).then_some(())
    });
}

fn down(bus: &NatsBus) {
    until("the bus noticing", WITHIN, || {
        (!bus.is_connected()).then_some(())
    });
}

fn hear(subscription: &mut Subscription) -> BusMessage {
    until("a message", WITHIN, || subscription.try_next())
}

const TAKEN: Published = Published {
    delivered: 1,
    refused: 0,
};
const REFUSED: Published = Published {
    delivered: 0,
    refused: 1,
};

#[test]
fn what_is_published_is_heard_by_all_who_listen_in_order_and_by_a_stranger() {
    let Some(server) = NatsServer::start() else {
        return;
    };
    let (one, two) = (open_bus(&server), open_bus(&server));
    let mut witness = NatsSubscriber::new(server.port(), "nodes.>");
    let mut all = one.subscribe("nodes.*.report", 1_000);
    let mut own = two.subscribe("nodes.a.report", 1_000);
    // Who publishes after he subscribed hears himself; the other's subscription is on its way alone.
    until("the other's subscription", WITHIN, || {
        let _ = two.publish("nodes.first.report", Bytes::new());
        all.try_next()
    });
    for n in 0..500u32 {
        let payload = Bytes::copy_from_slice(&n.to_be_bytes());
        assert_eq!(two.publish("nodes.a.report", payload), TAKEN);
    }
    for n in 0..500u32 {
        let heard = hear(&mut own);
        assert_eq!(&heard.payload[..], n.to_be_bytes());
        let mut heard = hear(&mut all);
        while heard.subject == "nodes.first.report" {
            heard = hear(&mut all);
        }
        assert_eq!(heard.subject, "nodes.a.report");
        assert_eq!(&heard.payload[..], n.to_be_bytes());
    }
    let last = witness.wait("the last one", WITHIN, |message| {
        (message.payload == 499u32.to_be_bytes()).then(|| message.subject.clone())
    });
    assert_eq!(last, "nodes.a.report");
    witness.publish("nodes.a.report", b"from outside");
    assert_eq!(&hear(&mut all).payload[..], b"from outside");
    assert!(two.flush(WITHIN));
}

#[test]
fn an_outage_refuses_at_once_delivers_nothing_late_and_ends_by_itself() {
    let Some(mut server) = NatsServer::start() else {
        return;
    };
    let bus = open_bus(&server);
    let mut heard = bus.subscribe("x", 1_000);
    for round in 1..=5u64 {
        server.kill();
        down(&bus);
        for _ in 0..100 {
            assert_eq!(bus.publish("x", Bytes::from_static(b"late")), REFUSED);
        }
        assert!(!bus.flush(Duration::ZERO));
        server.restart();
        let mut witness = NatsSubscriber::new(server.port(), "x");
        up(&bus, round + 1);
        assert_eq!(bus.publish("x", Bytes::from(round.to_string())), TAKEN);
        assert_eq!(hear(&mut heard).payload, round.to_string());
        let all = witness.drain();
        assert!(
            all.iter().all(|message| message.payload != b"late"),
            "{all:?}"
        );
    }
    assert_eq!(bus.reconnects(), 5);
    let counts = bus.counts();
    assert_eq!((counts.refused, counts.received), (500, 5));
}

#[test]
fn what_was_taken_when_the_connection_broke_is_not_delivered_later() {
    let Some(mut server) = NatsServer::start() else {
        return;
    };
    let bus = open_bus(&server);
    // The server takes nothing more, and the client does not know it yet.
    server.signal("STOP");
    let mut taken = 0u64;
    while bus.publish("x", Bytes::from(vec![1; 256 << 10])) == TAKEN {
        taken += 1;
        assert!(taken < 10_000, "nothing bounds what waits");
    }
    assert!(taken > 0);
    server.kill();
    down(&bus);
    server.restart();
    let mut witness = NatsSubscriber::new(server.port(), "x");
    up(&bus, 2);
    assert_eq!(bus.publish("x", Bytes::from_static(b"now")), TAKEN);
    let first = witness.next(WITHIN).unwrap();
    assert_eq!(first.payload, b"now");
    let counts = bus.counts();
    assert!(counts.lost > 0 && counts.lost <= taken, "{counts:?}");
    assert!(counts.refused > 0, "{counts:?}");
}

#[test]
fn a_server_that_comes_later_is_found_and_a_dead_link_is_noticed() {
    let Some(mut server) = NatsServer::start() else {
        return;
    };
    server.kill();
    let bus = NatsBus::connect(NatsConfig {
        // The first of them is nobody.
        url: format!("nats://127.0.0.1:1,{}", server.url()),
        ..NatsConfig::default()
    })
    .unwrap();
    let mut heard = bus.subscribe("x", 8);
    let trouble = until("a reason", WITHIN, || bus.state().trouble);
    assert!(trouble.contains("127.0.0.1:1"), "{trouble}");
    assert_eq!(bus.publish("x", Bytes::new()), REFUSED);
    server.restart();
    up(&bus, 1);
    assert_eq!(bus.state().trouble, None);
    assert_eq!(bus.publish("x", Bytes::from_static(b"hello")), TAKEN);
    assert_eq!(&hear(&mut heard).payload[..], b"hello");
    // The connection stays open, nobody answers.
    server.signal("STOP");
    down(&bus);
    server.signal("CONT");
    up(&bus, 2);
}

#[test]
fn large_messages_go_through_whole_and_public_ones_are_not_cut() {
    let Some(server) = NatsServer::configured("max_payload: 65536\nmax_pending: 128MB\n") else {
        return;
    };
    let bus = open_bus(&server);
    let subject = "carillon.internal.nodes.a.command";
    let mut heard = bus.subscribe("carillon.internal.>", 8);
    let mut witness = NatsSubscriber::new(server.port(), "carillon.internal.>");
    let large: Bytes = (0..8u32 << 20).map(|n| (n % 251) as u8).collect();
    assert_eq!(bus.publish(subject, large.clone()), TAKEN);
    assert_eq!(bus.publish(subject, Bytes::from_static(b"small")), TAKEN);
    assert!(hear(&mut heard).payload == large);
    assert_eq!(&hear(&mut heard).payload[..], b"small");
    // Every part kept to the server's limit, and one of them alone is not taken for a message.
    let part = witness.next(WITHIN).unwrap();
    assert!(part.payload.len() <= 65_536 && part.payload.len() > 60_000);
    witness.publish(subject, &part.payload);
    witness.publish(subject, b"after it");
    assert_eq!(&hear(&mut heard).payload[..], b"after it");
    // Whoever reads JSON could not join it: refused and counted, the rest goes on.
    let before = bus.counts().refused;
    assert_eq!(bus.publish("carillon.v1.x", large), TAKEN);
    until("the refusal", WITHIN, || {
        (bus.counts().refused == before + 1).then_some(())
    });
    assert_eq!(bus.publish(subject, Bytes::from_static(b"goes on")), TAKEN);
    assert_eq!(&hear(&mut heard).payload[..], b"goes on");
}

#[test]
fn garbage_and_slow_readers_are_counted_and_harm_nobody() {
    let Some(server) = NatsServer::start() else {
        return;
    };
    let bus = open_bus(&server);
    let mut slow = bus.subscribe("carillon.internal.>", 4);
    let mut other = bus.subscribe("other", 8);
    // The subscriptions are known to the server once the bus hears itself.
    assert_eq!(bus.publish("other", Bytes::new()), TAKEN);
    hear(&mut other);
    let mut stranger = NatsSubscriber::connect(server.port(), None);
    let head = [0xCA, 0x50, 0xA7, 0x01];
    for payload in [
        &head[..],
        &[0xFF; 40],
        b"",
        &[&head[..], &[0xFF; 60]].concat(),
    ] {
        stranger.publish("carillon.internal.nodes.a.report", payload);
    }
    for n in 0..96u8 {
        stranger.publish("carillon.internal.nodes.a.report", &[n]);
    }
    until("all of it", WITHIN, || {
        let counts = bus.counts();
        (counts.received + counts.overflow == 101).then_some(())
    });
    assert_eq!((slow.refused(), bus.counts().overflow), (96, 96));
    assert_eq!(&slow.try_next().unwrap().payload[..], head);
    assert_eq!(bus.publish("other", Bytes::from_static(b"!")), TAKEN);
    assert_eq!(&hear(&mut other).payload[..], b"!");
    // A subject that is none does no harm to the next.
    let before = bus.counts().refused;
    assert_eq!(bus.publish("no good", Bytes::new()), TAKEN);
    assert_eq!(bus.publish("other", Bytes::from_static(b"?")), TAKEN);
    assert_eq!(&hear(&mut other).payload[..], b"?");
    assert_eq!(bus.counts().refused, before + 1);
}

#[test]
fn an_nkey_opens_the_door_and_another_does_not() {
    let (seed, public) = make_nkey().unwrap();
    let users = format!("authorization {{ users: [ {{ nkey: {public} }} ] }}\n");
    let Some(server) = NatsServer::configured(&users) else {
        return;
    };
    let with = |seed: &str, name: &str| NatsConfig {
        url: server.url(),
        nkey_seed_file: Some(server.scratch().write(name, seed)),
        ..NatsConfig::default()
    };
    let bus = bus(with(&format!("{seed}\n"), "right.nk"));
    let mut heard = bus.subscribe("x", 8);
    assert_eq!(bus.publish("x", Bytes::from_static(b"in")), TAKEN);
    assert_eq!(&hear(&mut heard).payload[..], b"in");
    let (other, _) = make_nkey().unwrap();
    let outside = NatsBus::connect(with(&other, "wrong.nk")).unwrap();
    refused_at_the_door(&outside);
    let error = NatsBus::connect(with("SUANOTHING", "broken.nk")).unwrap_err();
    assert!(error.to_string().contains("seed of a user"), "{error}");
}

#[test]
fn credentials_open_the_door_as_far_as_they_say_and_those_of_another_account_do_not() {
    let account = NatsAccount::new();
    let Some(server) = NatsServer::configured(&account.configuration()) else {
        return;
    };
    let with = |text: &str, name: &str| NatsConfig {
        url: server.url(),
        credentials_file: Some(server.scratch().write(name, text)),
        ..NatsConfig::default()
    };
    let both = bus(with(
        &account.credentials(&["x", "y"], &["x", "y"]),
        "both.creds",
    ));
    let one = bus(with(&account.credentials(&["x"], &["x"]), "one.creds"));
    let mut heard = both.subscribe("x", 8);
    let mut other = both.subscribe("y", 8);
    until("the subscription", WITHIN, || {
        let _ = both.publish("y", Bytes::from_static(b"allowed"));
        other.try_next()
    });
    // The server takes from each what its credentials name, and drops the rest.
    assert_eq!(one.publish("y", Bytes::from_static(b"forbidden")), TAKEN);
    assert_eq!(one.publish("x", Bytes::from_static(b"in")), TAKEN);
    assert_eq!(&hear(&mut heard).payload[..], b"in");
    while let Some(message) = other.try_next() {
        assert_eq!(&message.payload[..], b"allowed");
    }
    let foreign = NatsAccount::new().credentials(&["x"], &["x"]);
    refused_at_the_door(&NatsBus::connect(with(&foreign, "foreign.creds")).unwrap());
    let half = account.credentials(&["x"], &["x"]);
    let half = half.split("-----BEGIN USER NKEY SEED").next().unwrap();
    let error = NatsBus::connect(with(half, "half.creds"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("half.creds"), "{error}");
}

#[test]
fn a_server_that_asks_for_certificates_lets_in_who_has_one() {
    let Some(server) = NatsServer::shipped_with_client_certificates() else {
        return;
    };
    server.sign_client("fra1.pem", "fra1-key.pem");
    let file = |name: &str| Some(server.scratch().path().join(name));
    bus(NatsConfig {
        tls_cert_file: file("fra1.pem"),
        tls_key_file: file("fra1-key.pem"),
        ..user(&server, "fra1")
    });
    let without = NatsBus::connect(user(&server, "fra1")).unwrap();
    let trouble = until("a reason", WITHIN, || without.state().trouble);
    println!("without a certificate: {trouble}");
    assert!(!without.is_connected());
}

fn refused_at_the_door(bus: &NatsBus) {
    let trouble = until("the refusal", WITHIN, || {
        bus.state()
            .trouble
            .filter(|why| why.contains("refuses who we say"))
    });
    assert!(!bus.is_connected(), "{trouble}");
    assert_eq!(bus.publish("x", Bytes::new()), REFUSED);
}

/// A user of the shipped configuration.
fn user(server: &NatsServer, name: &str) -> NatsConfig {
    NatsConfig {
        url: server.url(),
        user: Some(name.to_owned()),
        password: Some(server.password(name)),
        tls_ca_file: Some(server.scratch().path().join("tls/ca.pem")),
        ..NatsConfig::default()
    }
}

#[test]
fn the_shipped_configuration_asks_for_tls_and_a_password() {
    let Some(server) = NatsServer::shipped() else {
        return;
    };
    bus(user(&server, "coordinator"));
    let wrong = NatsConfig {
        password: Some("guess".to_owned()),
        ..user(&server, "coordinator")
    };
    refused_at_the_door(&NatsBus::connect(wrong).unwrap());
    let nobody = NatsConfig {
        user: None,
        password: None,
        ..user(&server, "coordinator")
    };
    refused_at_the_door(&NatsBus::connect(nobody).unwrap());
    // Another authority has not signed this server.
    let stranger = NatsConfig {
        tls_ca_file: None,
        ..user(&server, "coordinator")
    };
    let stranger = NatsBus::connect(stranger).unwrap();
    let trouble = until("a reason", WITHIN, || stranger.state().trouble);
    assert!(
        trouble.contains("TLS") || trouble.contains("certificate"),
        "{trouble}"
    );
    assert!(!stranger.is_connected());
    // The name in the certificate counts.
    let other = NatsConfig {
        url: format!("tls://localhost:{}", server.port()),
        ..user(&server, "coordinator")
    };
    let other = NatsBus::connect(other).unwrap();
    until("a reason", WITHIN, || other.state().trouble);
    assert!(!other.is_connected());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of who may do what")]
fn each_role_may_do_its_own_work_and_no_more() {
    let Some(server) = NatsServer::shipped() else {
        return;
    };
    let coordinator = bus(user(&server, "coordinator"));
    let node = bus(user(&server, "fra1"));
    let other = bus(user(&server, "fra2"));
    let watcher = bus(user(&server, "subscriber"));
    let [own, foreign] = ["fra1", "fra2"].map(|name| NodeId(name.to_owned()));

    let mut reports = coordinator.subscribe("carillon.internal.>", 1_000);
    let mut commands = node.subscribe(&command_subject(&own), 8);
    let mut hello = node.subscribe(HELLO, 8);
    let mut others_commands = other.subscribe(&command_subject(&foreign), 8);
    let mut public = watcher.subscribe("carillon.v1.>", 8);
    // What each may: it arrives.
    let ask = |who: &NatsBus, subject: &str, at: &mut Subscription| {
        until(subject, WITHIN, || {
            let _ = who.publish(subject, Bytes::from_static(b"allowed"));
            at.try_next()
        });
    };
    ask(&node, &report_subject(&own), &mut reports);
    ask(&coordinator, &command_subject(&own), &mut commands);
    ask(
        &coordinator,
        &command_subject(&foreign),
        &mut others_commands,
    );
    ask(&coordinator, HELLO, &mut hello);
    ask(&coordinator, "carillon.v1.runs.1.status", &mut public);
    for bus in [&coordinator, &node, &other, &watcher] {
        assert_eq!(bus.counts().denied, 0);
    }

    // What they may not: the server says no, and nobody hears it.
    let forged: [(&NatsBus, String); 10] = [
        (&node, report_subject(&foreign)),
        (&node, command_subject(&foreign)),
        (&node, command_subject(&own)),
        (&node, HELLO.to_owned()),
        (&node, "carillon.v1.runs.1.status".to_owned()),
        (&node, "anything".to_owned()),
        (&watcher, "carillon.v1.runs.1.status".to_owned()),
        (&watcher, report_subject(&own)),
        (&watcher, command_subject(&own)),
        (&watcher, HELLO.to_owned()),
    ];
    for (who, subject) in forged {
        let before = who.counts().denied;
        assert_eq!(who.publish(&subject, Bytes::from_static(b"forged")), TAKEN);
        until(&format!("a no to {subject}"), WITHIN, || {
            (who.counts().denied > before).then_some(())
        });
    }
    let listened: [(&NatsBus, String); 8] = [
        (&node, command_subject(&foreign)),
        (&node, "carillon.internal.nodes.*.command".to_owned()),
        (&node, report_subject(&foreign)),
        (&node, "carillon.v1.>".to_owned()),
        (&node, ">".to_owned()),
        (&watcher, "carillon.internal.>".to_owned()),
        (&watcher, command_subject(&own)),
        (&watcher, ">".to_owned()),
    ];
    let mut secret: Vec<Subscription> = listened
        .iter()
        .map(|(who, pattern)| {
            let before = who.counts().denied;
            let subscription = who.subscribe(pattern, 8);
            until(&format!("a no to {pattern}"), WITHIN, || {
                (who.counts().denied > before).then_some(())
            });
            subscription
        })
        .collect();
    // One more of each kind, after which everything forged would have come.
    let last = Bytes::from_static(b"last");
    for (who, subject) in [
        (&coordinator, command_subject(&own)),
        (&coordinator, command_subject(&foreign)),
        (&coordinator, HELLO.to_owned()),
        (&coordinator, "carillon.v1.runs.1.status".to_owned()),
        (&node, report_subject(&own)),
    ] {
        assert_eq!(who.publish(&subject, last.clone()), TAKEN);
    }
    for at in [
        &mut reports,
        &mut commands,
        &mut others_commands,
        &mut hello,
        &mut public,
    ] {
        loop {
            let message = hear(at);
            assert!(message.payload != "forged", "{}", message.subject);
            if message.payload == last {
                break;
            }
        }
    }
    for subscription in &mut secret {
        assert_eq!(subscription.try_next(), None);
    }
}

#[test]
fn faults_of_the_configuration_are_told_at_once() {
    let to = NatsConfig::new;
    for (config, word) in [
        (to("http://127.0.0.1"), "nats://HOST:4222"),
        (
            NatsConfig {
                nkey_seed_file: Some("/nowhere/seed.nk".into()),
                ..to("nats://127.0.0.1")
            },
            "/nowhere/seed.nk",
        ),
        (
            NatsConfig {
                tls_ca_file: Some("/nowhere/ca.pem".into()),
                ..to("tls://127.0.0.1")
            },
            "/nowhere/ca.pem",
        ),
    ] {
        let error = NatsBus::connect(config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
