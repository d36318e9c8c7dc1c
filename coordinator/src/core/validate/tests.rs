use shared::definition::Network;

use super::*;
use crate::testing;

fn codes(test: &Test, limits: Vec<Problem>, nodes: &Cluster, missing: &[String]) -> Vec<String> {
    let context = Context {
        limits,
        picked: &[],
        nodes,
        missing_media: missing,
    };
    validate(Instant::now(), test, context)
        .into_iter()
        .map(|problem| problem.code)
        .collect()
}

fn one_node() -> Cluster {
    testing::cluster(Instant::now(), [testing::node("local")])
}

fn check(test: &Test) -> Vec<String> {
    codes(test, Vec::new(), &one_node(), &[])
}

#[test]
fn a_right_test_has_no_problem() {
    assert_eq!(check(&testing::pair_test(200, 200)), Vec::<String>::new());
}

#[test]
fn every_problem_is_found_at_once() {
    let mut test = testing::pair_test(200, 100);
    test.groups[0].accounts.truncate(7);
    test.groups[1].codecs.clear();
    test.registrars[0].host = "192.0.2.1".to_owned();
    test.registrars[0].outbound_proxy = Some("sip:[2001:db8::1]:5060;lr".to_owned());
    let limits = vec![Problem::new("credits", String::new())];
    let found = codes(
        &test,
        limits,
        &testing::cluster(Instant::now(), []),
        &["a.wav".to_owned()],
    );
    assert_eq!(
        found,
        [
            "target_group_too_small",
            "no_codec",
            "credits",
            "not_enough_accounts",
            "target_not_allowed",
            "target_not_allowed",
            "media_file_missing",
            "no_node",
        ]
    );
}

#[test]
fn too_few_accounts_name_registrar_needed_and_present() {
    let mut test = testing::pair_test(5, 5);
    test.groups[0].accounts.truncate(2);
    // Those of a pool were counted where they were picked.
    test.groups[1].accounts.clear();
    let nodes = one_node();
    let context = Context {
        limits: Vec::new(),
        picked: &[1],
        nodes: &nodes,
        missing_media: &[],
    };
    let problems = validate(Instant::now(), &test, context);
    let [only] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    for word in ["`pbx`", "needs 5", "2 are present"] {
        assert!(only.sentence.contains(word), "{}", only.sentence);
    }
    let limit = only.limit.as_ref().unwrap();
    assert_eq!((limit.limit, limit.in_use, limit.asked), (2, 0, 5));
}

#[test]
fn descriptors_and_ports_are_counted_by_socket_mode() {
    let mut small = testing::node("small");
    small.free_descriptors = 399;
    small.free_ports = 399;
    let nodes = testing::cluster(Instant::now(), [small]);
    let both = ["not_enough_descriptors", "not_enough_ports"];
    let mut test = testing::pair_test(100, 100);
    let run = |test: &Test| codes(test, Vec::new(), &nodes, &[]);
    assert_eq!(run(&test), both);
    for group in &mut test.groups {
        group.rtcp_mux = true;
    }
    assert_eq!(run(&test), Vec::<String>::new());
    for group in &mut test.groups {
        group.rtcp_mux = false;
        group.sockets = SocketMode::Shared;
    }
    assert_eq!(run(&test), Vec::<String>::new());
}

#[test]
fn only_loopback_and_listed_networks_may_be_sent_to() {
    for (uri, allowed) in [
        ("sip:echo@127.0.0.1", true),
        ("sip:echo@127.8.9.1:5080;transport=tcp", true),
        ("sip:echo@[::1]:5060", true),
        ("sip:echo@[::ffff:127.0.0.1]", true),
        ("SIP:192.0.2.7", false),
        ("<sips:a@192.0.2.7:5061?x=y>", false),
        ("sip:a@10.1.2.3", true),
        ("sip:a@[2001:db8::7]", false),
        ("sip:a@pbx.example.test:5060", true),
        ("tel:+3612345678", true),
        ("", true),
        ("[", true),
    ] {
        let mut test = testing::pair_test(1, 1);
        test.groups[0].target = Target::Uri(uri.to_owned());
        test.allow_targets = vec![Network {
            address: "10.0.0.0".parse().unwrap(),
            prefix: 8,
        }];
        let found = check(&test);
        assert_eq!(found.is_empty(), allowed, "{uri}: {found:?}");
    }
}
