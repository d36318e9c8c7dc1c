//! Test files as data: `data/definition/bad/NAME.toml` with the mistakes expected in `NAME.err`
//! (UPDATE=1 writes them anew, for review in the diff), and `good/`.

use std::fs;
use std::path::PathBuf;

use super::super::{Codec, Comparison, Media, Playout, SocketMode, Target, Transport};
use super::*;

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/definition")).join(kind)
}

fn parse_in(kind: &str, text: &str) -> Result<Test, Vec<Mistake>> {
    parse(text, "unnamed", &|path| fs::read(folder(kind).join(path)))
}

fn good(name: &str) -> Test {
    let text = fs::read_to_string(folder("good").join(name)).unwrap();
    parse_in("good", &text).unwrap_or_else(|mistakes| panic!("{name}: {mistakes:#?}"))
}

#[test]
fn bad_files_tell_every_mistake_with_line_and_key() {
    let mut names: Vec<PathBuf> = fs::read_dir(folder("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 8, "the folder of bad files is there");
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let mistakes = parse_in("bad", &text).expect_err("a bad file");
        let lines: String = mistakes
            .iter()
            .map(|mistake| format!("{mistake}\n"))
            .collect();
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &lines).unwrap();
        }
        assert_eq!(
            lines,
            fs::read_to_string(&expected).unwrap(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn five_mistakes_are_five() {
    let text = fs::read_to_string(folder("bad").join("five.toml")).unwrap();
    let mistakes = parse_in("bad", &text).expect_err("five mistakes");
    let places: Vec<(u32, &str)> = mistakes
        .iter()
        .map(|mistake| (mistake.line, mistake.key.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            (3, "duration"),
            (8, "registrars.pbx.prot"),
            (13, "groups.callers.accounts"),
            (14, "groups.callers.calls.group"),
            (15, "groups.callers.codecs[1]"),
        ]
    );
}

#[test]
fn a_group_and_a_target_are_enough() {
    let test = good("minimal.toml");
    assert_eq!(test.name, "unnamed");
    assert_eq!(
        (test.duration, test.buildup),
        (Millis(60_000), Millis(10_000))
    );
    let group = &test.groups[0];
    assert_eq!(group.codecs, [Codec::Pcmu, Codec::Pcma]);
    assert_eq!((group.ptime_ms, group.rtcp_interval), (20, Millis(1_000)));
    assert_eq!(group.playout, Playout::Fixed { delay_ms: 40 });
    assert_eq!(
        (group.sockets, group.rtcp_mux, group.plc),
        (SocketMode::Own, true, true)
    );
    assert_eq!(group.target, Target::Uri("sip:echo@127.0.0.1".into()));
    assert_eq!(group.registrar, None);
}

#[test]
fn groups_registrars_and_accounts_are_put_together() {
    let test = good("pairs.toml");
    let registrar = &test.registrars[0];
    assert_eq!(
        (registrar.host.as_str(), registrar.port),
        ("10.1.2.3", 5060)
    );
    assert_eq!(
        (registrar.transport, registrar.expires_s),
        (Transport::Tcp, 600)
    );
    assert_eq!(registrar.outbound_proxy.as_deref(), Some("10.1.2.4:5060"));
    let (callers, callees) = (&test.groups[0], &test.groups[1]);
    assert_eq!((callers.count, callers.accounts.len()), (20, 20));
    assert_eq!(callers.accounts[6].username, "user0007");
    assert_eq!(callers.accounts[6].password, "pw-user0007");
    assert_eq!(callers.accounts[6].realm.as_deref(), Some("example.com"));
    assert_eq!(callers.target, Target::Group(1));
    assert_eq!(callers.codecs, [Codec::Opus, Codec::Pcma]);
    assert_eq!(
        callers.playout,
        Playout::Adaptive {
            min_ms: 20,
            max_ms: 120
        }
    );
    assert_eq!((callers.dscp_rtp, callers.dscp_sip), (34, 0));
    assert_eq!(callers.media, Media::Tone { hz: 440 });
    assert_eq!(callees.count, 20, "one for each account");
    assert_eq!(callees.accounts[2].auth_username, "auth03");
    assert_eq!(
        (callees.media.clone(), callees.ring_time),
        (Media::None, Millis(500))
    );
    assert_eq!(test.endpoint_count(), 40);
}

#[test]
fn thresholds_are_read_in_the_unit_of_their_metric() {
    let thresholds = good("pairs.toml").thresholds;
    let short: Vec<_> = thresholds
        .iter()
        .map(|t| {
            (
                t.group.as_deref(),
                t.metric.as_str(),
                t.aggregate.as_deref(),
                t.op,
                t.value,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            (None, "mos", Some("p5"), Comparison::AtLeast, 3.8),
            (
                Some("callers"),
                "call_success",
                None,
                Comparison::AtLeast,
                99.5
            ),
            (None, "jitter_ms", Some("p95"), Comparison::Less, 30.0),
            (
                None,
                "call.setup_ms",
                Some("p95"),
                Comparison::AtMost,
                1_500.0
            ),
        ]
    );
}

#[test]
fn a_file_cut_or_changed_anywhere_never_panics() {
    let text = fs::read_to_string(folder("good").join("pairs.toml")).unwrap();
    let none = |_: &str| Err(io::Error::other("no files here"));
    for at in 0..text.len() {
        if text.is_char_boundary(at) {
            let _ = parse(&text[..at], "cut", &none);
        }
        for other in ['"', '[', '\n', '=', '{', 'é'] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other.to_string());
            let _ = parse(&changed, "changed", &none);
        }
    }
}

#[test]
fn a_file_of_nonsense_is_told_in_a_bounded_list() {
    let text: String = (0..5_000).map(|n| format!("key{n} = {n}\n")).collect();
    let mistakes = parse_in("bad", &text).expect_err("nonsense");
    assert_eq!(mistakes.len(), 101);
    assert!(mistakes[100].message.contains("more mistakes"));
}
