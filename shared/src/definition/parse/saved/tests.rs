//! A saved test is read as the file that says the same.

use std::io;

use serde_json::{Value, json};

use super::super::super::{Media, Target, Transport};
use super::super::parse;
use super::*;
use crate::id::{ProjectId, RegistrarId};
use crate::units::Millis;

fn pbx(name: &str) -> api::Registrar {
    api::Registrar {
        id: RegistrarId(1),
        project: ProjectId(2),
        name: name.to_owned(),
        domain: "example.com".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(5070),
        transport: Transport::Tcp,
        outbound_proxy: None,
        expires_s: 600,
        accounts: 0,
        revision: 1,
        created_unix_ms: 0,
        updated_unix_ms: 0,
    }
}

fn read(json: Value) -> Result<SavedDefinition, Vec<FieldProblem>> {
    let definition = saved_from_json(json)?;
    parse_saved(&definition, &[pbx("other"), pbx("pbx")], &["hello.wav"])
}

fn problems(json: Value) -> Vec<(String, String)> {
    let found = read(json).expect_err("a bad test");
    found
        .into_iter()
        .map(|problem| (problem.field, problem.code))
        .collect()
}

fn pairs() -> Value {
    json!({
        "name": "pairs \"quoted\" \\ \u{7} é",
        "duration": "90s",
        "thresholds": ["zz: call_success >= 99%", "mos.p5 >= 3.5"],
        "trace_sample": 3,
        "groups": {
            "zz": {
                "registrar": "pbx", "count": 20, "calls": {"group": "aa"}, "codecs": ["opus"],
                "media": "hello.wav", "ptime": "40ms", "dscp_rtp": 34, "plc": false, "call_duration": null
            },
            "aa": {
                "registrar": "pbx", "accounts": {"pattern": "user{001..030}"}, "count": 20,
                "receives": true, "ring_time": "500ms"
            }
        }
    })
}

#[test]
fn the_order_of_groups_is_that_of_the_json() {
    let saved = read(pairs()).unwrap();
    let test = &saved.test;
    assert_eq!(test.name, "pairs \"quoted\" \\ \u{7} é");
    assert_eq!(test.groups[0].name, "zz");
    assert_eq!((test.first_endpoint(1), test.endpoint_count()), (20, 40));
    assert_eq!(test.groups[0].target, Target::Group(1));
    assert_eq!(saved.account_patterns[0], None);
    let picked = saved.account_patterns[1].as_ref().unwrap();
    assert_eq!((picked.len(), picked[29].as_str()), (30, "user030"));
    assert!(test.groups.iter().all(|group| group.accounts.is_empty()));
    assert_eq!(test.registrars.len(), 1, "only those that are used");
    assert_eq!(test.registrars[0].port, 5070);
}

#[test]
fn the_same_file_makes_the_same_test() {
    let mut saved = read(pairs()).unwrap().test;
    let text = r#"
        name = "pairs \"quoted\" \\ \u0007 é"
        duration = "90s"
        thresholds = ["zz: call_success >= 99%", "mos.p5 >= 3.5"]
        trace_sample = 3
        [registrars.pbx]
        domain = "example.com"
        host = "127.0.0.1"
        port = 5070
        transport = "tcp"
        expires = "10m"
        [groups.zz]
        registrar = "pbx"
        accounts = { pattern = "x{1..20}", password = "x" }
        calls = { group = "aa" }
        codecs = ["opus"]
        media = "none"
        ptime = "40ms"
        dscp_rtp = 34
        plc = false
        [groups.aa]
        registrar = "pbx"
        accounts = { pattern = "user{001..030}", password = "x" }
        count = 20
        receives = true
        ring_time = "500ms"
    "#;
    let mut file = parse(text, "", &|_| Err(io::Error::other("no files"))).unwrap();
    let name = "hello.wav".to_owned();
    assert_eq!(saved.groups[0].media, Media::Wav { path: name });
    saved.groups[0].media = Media::None;
    for group in &mut file.groups {
        group.accounts.clear();
    }
    assert_eq!(saved, file);
}

#[test]
fn defaults_are_those_of_the_file() {
    let json = json!({"name": "n", "groups": {"g": {"calls": "sip:echo@127.0.0.1", "count": 1}}});
    let test = read(json).unwrap().test;
    let file = "name = \"n\"\n[groups.g]\ncalls = \"sip:echo@127.0.0.1\"\ncount = 1\n";
    let file = parse(file, "", &|_| Err(io::Error::other("no files"))).unwrap();
    assert_eq!(test, file);
    assert_eq!(test.duration, Millis(60_000));
}

#[test]
fn every_mistake_is_told_with_its_path_and_code() {
    let found = problems(json!({
        "name": "bad",
        "duration": "90",
        "groups": {
            "callers": {
                "registrar": "pbxx", "count": 2, "calls": {"group": "callees"},
                "codecs": ["PCMU", "G729"], "media": "helo.wav", "colour": 1
            },
            "callees": {"registrar": "pbx", "receives": true, "accounts": [{"username": "a", "password": "canary"}]},
            "more": {"registrar": "pbx", "count": 3, "accounts": {"pattern": "u{1..9}", "password": "canary"}},
            "none": {"count": 1, "accounts": {"pattern": "u{1..9}"}, "receives": true, "sip_bind": "127.0.0.1:0"}
        }
    }));
    let wanted = [
        ("duration", "invalid"),
        ("groups.callers.registrar", "registrar_missing"),
        ("groups.callers.codecs[1]", "invalid"),
        ("groups.callers.media", "media_missing"),
        ("groups.callers.colour", "unknown_field"),
        ("groups.callees.accounts", "invalid"),
        ("groups.more.accounts.password", "invalid"),
        ("groups.none.accounts", "invalid"),
    ];
    for (field, code) in wanted {
        let one = (field.to_owned(), code.to_owned());
        assert!(found.contains(&one), "{field} {code}: {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn no_problem_repeats_a_value_that_may_be_a_password() {
    let json = json!({
        "name": "bad",
        "groups": {"g": {
            "registrar": {"password": "canary"}, "media": {"password": "canary"}, "count": "canary",
            "accounts": {"password": "canary"}, "codecs": {"password": "canary"}, "plc": "canary"
        }}
    });
    let found = read(json).expect_err("a bad test");
    assert!(found.len() >= 5, "{found:?}");
    for problem in found {
        assert!(!problem.detail.contains("canary"), "{problem:?}");
    }
}

#[test]
fn keys_of_the_test_itself_are_checked() {
    let found = problems(json!({
        "nam": "x", "groups": {}, "registrars": {}, "thresholds": "x", "trace_sample": -1
    }));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        ["nam", "registrars", "name", "thresholds", "trace_sample"]
    );
    assert_eq!(problems(json!({"name": "x", "groups": {}})).len(), 1);
    let null = problems(json!({"name": "x", "groups": {"g": null}}));
    assert!(
        null.iter().any(|(field, _)| field == "groups.g"),
        "{null:?}"
    );
    assert_eq!(problems(json!([])).len(), 1);
    let own = json!({
        "name": "x", "allow_targets": ["10.0.0.0/8"],
        "groups": {"g": {"count": 1, "calls": "sip:a@192.0.2.1"}}
    });
    let not_allowed = ("groups.g.calls".to_owned(), "target_not_allowed".to_owned());
    assert_eq!(problems(own), [not_allowed]);
}

#[test]
fn no_json_makes_it_panic() {
    let odd = [
        json!(null),
        json!(""),
        json!("\u{0}\u{7f}\u{85}\"\\"),
        json!(18_446_744_073_709_551_615_u64),
        json!(-1.5e300),
        json!([null, [[]], {}]),
        json!({"": {"\n": null}}),
    ];
    let whole = pairs();
    for value in &odd {
        for key in whole["groups"]["zz"].as_object().unwrap().keys() {
            let mut changed = whole.clone();
            changed["groups"]["zz"][key] = value.clone();
            let _ = read(changed);
        }
        let mut changed = whole.clone();
        changed["groups"]["zz"] = value.clone();
        let _ = read(changed);
        let mut named = whole.clone();
        named["groups"][value.to_string()] = value.clone();
        let _ = read(named);
    }
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([{ "a": deep }]);
    }
    let mut changed = whole;
    changed["groups"]["zz"]["codecs"] = deep;
    assert!(read(changed).is_err());
}
