//! Commands that come twice, late, in the wrong order, forged or as garbage: one effect, counted, no
//! panic. Everything is sent over the real bus by somebody who may publish everywhere.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use shared::api::{Node, Run};
use shared::bus::{Bus, BusMessage, NatsBus, Subscription};
use shared::id::NodeId;
use shared::phase::RunStatus;
use shared::wire::{
    DesiredState, Downward, HELLO, LifeId, Message, Order, Report, Upward, command_subject, decode,
    encode, report_subject,
};
use tests::until;

use crate::fixture::{
    Cluster, Moments, PATIENCE, listen, no_second_is_missing, pairs, result, stage, start, target,
};

const CALLS: u32 = 10;

fn refused(cluster: &Cluster) -> u64 {
    let nodes: Vec<Node> = cluster.list();
    nodes.iter().map(|node| node.refused_commands).sum()
}

#[test]
fn commands_that_come_twice_late_disordered_forged_or_broken_change_nothing() {
    let Some(cluster) = Cluster::start("commands", &[("a", "eu"), ("b", "us")]) else {
        return;
    };
    let bus = listen(&cluster);
    let mut heard = bus.subscribe("carillon.internal.nodes.*.command", 100_000);
    let mut reports = bus.subscribe("carillon.internal.nodes.*.report", 100_000);
    let lab = target();
    let stage = stage(&cluster, &lab, CALLS * 2);
    let test = pairs(&stage, CALLS, "25s", &json!({}));
    let run = start(&cluster, &stage, &test, &lab);
    let commands = drain(&mut heard);
    assert!(commands.len() > 4, "{} commands were heard", commands.len());
    // The users are there, so their passwords would be seen.
    let told = |text: &[u8]| {
        let has =
            |message: &BusMessage| message.payload.windows(text.len()).any(|part| part == text);
        commands.iter().any(has)
    };
    assert!(told(b"user0001"), "no command has the test");
    assert!(!told(b"pw-user"), "a SIP password is on the bus");
    let before = refused(&cluster);

    // Twice, and in the wrong order: everything that was ever said, backwards and again.
    for message in commands.iter().rev().chain(&commands).chain(&commands) {
        let _ = bus.publish(&message.subject, message.payload.clone());
    }
    forged(bus.as_ref(), &run, &commands);
    foreign(bus.as_ref(), &mut reports);
    garbage(bus.as_ref(), &commands);

    until("the refusals being counted", PATIENCE, || {
        (refused(&cluster) > before + 3).then_some(())
    });
    // Late: when every one of them has expired.
    std::thread::sleep(Duration::from_secs(11));
    let before = refused(&cluster);
    for message in &commands {
        let _ = bus.publish(&message.subject, message.payload.clone());
    }
    until("the late ones being counted", PATIENCE, || {
        (refused(&cluster) >= before + commands.len() as u64).then_some(())
    });

    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        cluster.tell()
    );
    assert_eq!(ended.reason, "ended", "{ended:#?}");
    let result = result(&cluster, &run);
    assert_eq!(
        lab.stats().sip.calls_answered,
        u64::from(CALLS),
        "calls were made twice"
    );
    assert_eq!(result.endpoints.len(), CALLS as usize * 2);
    no_second_is_missing(&result);
    let metrics = cluster.api().get("/metrics").expect(200).text();
    for counter in [
        "carillon_bus_unreadable_total",
        "carillon_bus_messages_not_taken_total{kind=\"foreign\"}",
    ] {
        let line = metrics.lines().find(|line| line.starts_with(counter));
        let line = line.unwrap_or_else(|| panic!("{counter} is not in:\n{metrics}"));
        assert!(!line.ends_with(" 0"), "{line}");
    }
    assert!(!cluster.tell().contains("panicked"), "{}", cluster.tell());
}

/// Stops that must not be obeyed, made from a lease that was heard.
fn forged(bus: &NatsBus, run: &Run, commands: &[BusMessage]) {
    // Forged: a stop by an older coordinator, one for another life, one that has expired.
    let template = commands.iter().rev().find_map(|message| {
        let decoded: Message<Downward> = decode(&message.payload).ok()?;
        matches!(decoded.body, Downward::Lease(_))
            .then_some((message.subject.clone(), decoded.head))
    });
    let (subject, head) = template.expect("a lease");
    let stop = Downward::Order(Order {
        run: run.id,
        run_epoch: head.epoch,
        sequence: u64::MAX,
        state: DesiredState::Stopped,
        stored_to: u64::MAX,
    });
    let mut heads = [head; 3];
    heads[0].epoch -= 1;
    heads[1].life = LifeId(head.life.0 ^ 1);
    heads[2].expires_boot_us = 1;
    for head in heads {
        let payload = encode(&Message { head, body: &stop }).expect("a message");
        let _ = bus.publish(&subject, payload);
    }
}

/// What a node measured, under other names.
fn foreign(bus: &NatsBus, reports: &mut Subscription) {
    let mut measured = Vec::new();
    // Foreign: what node a measured, under the name of a node that does not exist and of node b.
    let frames = until("frames of node a", PATIENCE, || {
        measured.extend(drain(reports));
        let frames: Vec<BusMessage> = measured
            .iter()
            .filter(|message| is_frame_of_a(message))
            .cloned()
            .collect();
        (!frames.is_empty()).then_some(frames)
    });
    for message in frames {
        let Ok(Message {
            head,
            body: Upward::Item(item),
        }) = decode::<Message<Upward>>(&message.payload)
        else {
            continue;
        };
        for other in ["b", "nobody"] {
            let payload = encode(&Message {
                head,
                body: Upward::Item(item.clone()),
            })
            .expect("a message");
            let _ = bus.publish(&report_subject(&NodeId(other.into())), payload);
        }
    }
}

/// Random octets, real commands cut and with flipped bits, and empty ones, on every subject.
fn garbage(bus: &NatsBus, commands: &[BusMessage]) {
    let mut random = Moments::new();
    let subjects = [
        command_subject(&NodeId("a".into())),
        report_subject(&NodeId("a".into())),
        report_subject(&NodeId("x y".replace(' ', "_"))),
        HELLO.to_owned(),
    ];
    for round in 0..5_000_usize {
        let subject = &subjects[round % subjects.len()];
        let mut octets: Vec<u8> = match round % 3 {
            0 => (0..random.next() % 300)
                .map(|_| (random.next() & 0xff) as u8)
                .collect(),
            _ => commands[round % commands.len()].payload.to_vec(),
        };
        match round % 3 {
            1 => octets.truncate(random.next() as usize % (octets.len() + 1)),
            2 if !octets.is_empty() => {
                let place = random.next() as usize % octets.len();
                octets[place] ^= 1 << (random.next() % 8);
            }
            _ => {}
        }
        let published = bus.publish(subject, Bytes::from(octets));
        assert_eq!(published.refused, 0, "the bus refused");
    }
}

fn drain(subscription: &mut Subscription) -> Vec<BusMessage> {
    std::iter::from_fn(|| subscription.try_next()).collect()
}

fn is_frame_of_a(message: &BusMessage) -> bool {
    let read = decode::<Message<Upward>>(&message.payload);
    let frame = read.is_ok_and(|message| {
        matches!(message.body, Upward::Item(item) if matches!(item.report, Report::Frame(_)))
    });
    frame && message.subject == report_subject(&NodeId("a".into()))
}
