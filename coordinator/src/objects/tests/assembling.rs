//! Saved tests, and what becomes of them at a start.

use serde_json::{Map, json};
use shared::api::{BulkAccounts, SavedTest, UpdateRegistrar};
use shared::definition::{Media, Network};

use super::media::wav;
use super::*;

fn pairs() -> TestDefinition {
    definition(json!({
        "name": "pairs",
        "duration": "60s",
        "groups": {
            "zz": {"registrar": "pbx", "count": 2, "calls": {"group": "aa"}, "media": "hello.wav"},
            "aa": {"registrar": "pbx", "count": 2, "receives": true, "accounts": {"pattern": "u{3..9}"}}
        }
    }))
}

fn codes(assembled: &Assembled) -> Vec<&str> {
    let problems = assembled.problems.iter();
    problems.map(|problem| problem.code.as_str()).collect()
}

async fn filled(bench: &Bench) -> (OrganizationId, ProjectId, RegistrarId, SavedTest) {
    let (own, project, pbx) = bench.home().await;
    let bulk = BulkAccounts {
        pattern: Some("u{1..5}".to_owned()),
        password: Some("canary-{username}".to_owned()),
        ..BulkAccounts::default()
    };
    bench.bulk_accounts(own, project, pbx, bulk).await.unwrap();
    let name = "hello.wav".to_owned();
    bench
        .create_media(own, project, name, wav(), None)
        .await
        .unwrap();
    let test = bench
        .create_test(own, project, pairs(), None)
        .await
        .unwrap();
    (own, project, pbx, test)
}

#[actix_rt::test]
async fn a_test_is_saved_changed_and_found_as_it_was_written() {
    let directory = Directory::new();
    let (own, project, test) = {
        let bench = Bench::open(&directory);
        let (own, project, _, test) = filled(&bench).await;
        assert_eq!((test.endpoints, test.revision), (4, 1));
        let change = json!({"name": "other", "duration": null, "trace_sample": 3});
        let change: Map<_, _> = change.as_object().unwrap().clone();
        let changed = bench
            .patch_test(own, project, test.id, change, Some(1))
            .await
            .unwrap();
        assert_eq!(changed.definition.duration, None);
        assert_eq!(
            (changed.revision, changed.definition.trace_sample),
            (2, Some(3))
        );
        for (bad, field) in [
            (json!({"nam": 1}), "nam"),
            (json!({"groups": {}}), "groups"),
            (json!({"name": ""}), "name"),
            (json!({"duration": 5}), "duration"),
        ] {
            let bad: Map<_, _> = bad.as_object().unwrap().clone();
            let error = bench
                .patch_test(own, project, test.id, bad, None)
                .await
                .unwrap_err();
            assert_eq!(invalid(error)[0].0, field);
        }
        let stale = bench
            .replace_test(own, project, test.id, pairs(), Some(1))
            .await;
        assert_eq!(
            stale.unwrap_err(),
            ObjectError::RevisionMismatch { current: 2 }
        );
        // The name that it had is free again.
        bench
            .create_test(own, project, pairs(), None)
            .await
            .unwrap();
        let taken = bench
            .replace_test(own, project, test.id, pairs(), Some(2))
            .await;
        assert_eq!(taken.unwrap_err(), ObjectError::NameTaken { field: "name" });
        (own, project, changed)
    };
    let bench = Bench::open(&directory);
    assert_eq!(bench.test(own, project, test.id).await.unwrap(), test);
    let groups: Vec<&String> = test.definition.groups.keys().collect();
    assert_eq!(
        groups,
        ["zz", "aa"],
        "in the order in which they were written"
    );
    let page = bench
        .tests(own, project, &ListQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 2);
    bench
        .delete_test(own, project, test.id, None)
        .await
        .unwrap();
    let gone = bench.test(own, project, test.id).await;
    assert_eq!(gone.unwrap_err(), ObjectError::NotFound);
}

#[actix_rt::test]
async fn a_test_is_assembled_with_what_the_project_has() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx, test) = filled(&bench).await;
    let assembled = bench
        .assemble(own, project, &test.definition, &[])
        .await
        .unwrap();
    assert_eq!(codes(&assembled), [] as [&str; 0]);
    let pools: Vec<(u16, Vec<&str>)> = assembled
        .pools
        .iter()
        .map(|pool| {
            assert_eq!(pool.registrar, pbx);
            let names = pool
                .candidates
                .iter()
                .map(|(_, account)| account.username.as_str());
            (pool.group, names.collect())
        })
        .collect();
    let all = vec!["u1", "u2", "u3", "u4", "u5"];
    assert_eq!(pools, [(0, all), (1, vec!["u3", "u4", "u5"])]);
    assert_eq!(assembled.pools[0].candidates[0].1.password, "canary-u1");
    assert_eq!(
        assembled.pools[0].candidates[2].0,
        assembled.pools[1].candidates[0].0
    );
    let Media::Wav { path } = &assembled.test.groups[0].media else {
        panic!("a file");
    };
    assert!(Path::new(path).is_absolute() && Path::new(path).exists());
    assert!(
        assembled
            .test
            .groups
            .iter()
            .all(|group| group.accounts.is_empty())
    );
    let document = assembled.document.to_string();
    assert!(document.contains("\"registrars\":{\"pbx\""), "{document}");
    assert!(!document.contains("canary"), "{document}");
}

#[actix_rt::test]
async fn what_has_gone_since_the_test_was_saved_is_told_all_at_once() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx, test) = filled(&bench).await;
    let file = bench
        .media_files(own, project, &ListQuery::default())
        .await
        .unwrap()
        .items;
    bench
        .delete_media(own, project, file[0].id, None)
        .await
        .unwrap();
    bench
        .delete_registrar(own, project, pbx, None)
        .await
        .unwrap();
    let assembled = bench
        .assemble(own, project, &test.definition, &[])
        .await
        .unwrap();
    assert_eq!(
        codes(&assembled),
        [
            "registrar_missing",
            "media_file_missing",
            "registrar_missing"
        ]
    );
    assert_eq!(
        assembled.test.endpoint_count(),
        4,
        "good for the limits all the same"
    );
}

#[actix_rt::test]
async fn targets_lie_within_what_the_operator_allows() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx, test) = filled(&bench).await;
    let change = UpdateRegistrar {
        host: Some("10.1.2.3".to_owned()),
        ..UpdateRegistrar::default()
    };
    bench
        .update_registrar(own, project, pbx, change, None)
        .await
        .unwrap();
    let networks = |texts: &[&str]| -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let own_list = |list: Option<&[&str]>| {
        let mut definition = test.definition.clone();
        definition.allow_targets =
            list.map(|list| list.iter().map(|text| (*text).to_owned()).collect());
        definition
    };
    for (operator, list, wanted, allowed) in [
        (vec![], None, 1, vec![]),
        (vec!["10.0.0.0/8"], None, 0, vec!["10.0.0.0/8"]),
        (
            vec!["10.0.0.0/8"],
            Some(&["10.1.0.0/16"][..]),
            0,
            vec!["10.1.0.0/16"],
        ),
        (vec!["10.1.0.0/16"], Some(&["10.0.0.0/8"][..]), 1, vec![]),
        (
            vec!["10.0.0.0/8"],
            Some(&["10.2.0.0/16"][..]),
            1,
            vec!["10.2.0.0/16"],
        ),
        (
            vec!["10.0.0.0/8"],
            Some(&["0.0.0.0/0", "10.1.0.0/16"][..]),
            1,
            vec!["10.1.0.0/16"],
        ),
    ] {
        let definition = own_list(list);
        let operator = networks(&operator);
        let assembled = bench
            .assemble(own, project, &definition, &operator)
            .await
            .unwrap();
        assert_eq!(
            codes(&assembled),
            vec!["target_not_allowed"; wanted],
            "{list:?}"
        );
        assert_eq!(assembled.test.allow_targets, networks(&allowed));
    }
}
