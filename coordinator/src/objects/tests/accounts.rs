//! SIP accounts: counted exactly, found in every order, sealed.

use futures_util::future::join_all;
use shared::api::{BulkAccounts, UpdateAccount};

use super::*;
use crate::store::keys;
use crate::testing::Random;

const CANARY: &str = "c4n4ry-p4ssw0rd";

fn pattern(pattern: &str) -> BulkAccounts {
    BulkAccounts {
        pattern: Some(pattern.to_owned()),
        password: Some(format!("{CANARY}-{{username}}")),
        ..BulkAccounts::default()
    }
}

async fn counted(bench: &Bench, home: (OrganizationId, ProjectId, RegistrarId)) -> usize {
    let counted = bench
        .registrar(home.0, home.1, home.2)
        .await
        .unwrap()
        .accounts;
    let control = &bench.inner.control;
    let names = control
        .count(&keys::accounts(home.0, home.2), usize::MAX)
        .unwrap();
    let ids = control
        .count(&keys::account_ids(home.0, home.2), usize::MAX)
        .unwrap();
    assert_eq!((names, ids), (counted as usize, counted as usize));
    names
}

#[actix_rt::test]
async fn the_count_is_exact_whatever_happens_at_once() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let home = bench.home().await;
    let (own, project, pbx) = home;
    let singles = (0..40).map(|n| {
        let new = account(&format!("u{}", n % 20), "p");
        bench.create_account(own, project, pbx, new, None)
    });
    let (singles, bulk) = tokio::join!(
        join_all(singles),
        bench.bulk_accounts(own, project, pbx, pattern("u{10..29}"))
    );
    let made = singles.iter().flatten().count();
    let bulk = bulk.unwrap();
    assert_eq!(made + bulk.created as usize, 30);
    assert_eq!(bulk.created + bulk.updated, 20);
    assert_eq!(counted(&bench, home).await, 30);
    let all = definition(serde_json::json!({
        "name": "n", "groups": {"g": {"registrar": "pbx", "count": 1}}
    }));
    let candidates = async || {
        let assembled = bench.assemble(own, project, &all, &[]).await.unwrap();
        assembled.pools[0].candidates.len()
    };
    assert_eq!((candidates().await, candidates().await), (30, 30));
    let gone = singles
        .iter()
        .flatten()
        .take(7)
        .map(|account| bench.delete_account(own, project, pbx, account.id, None));
    assert_eq!(join_all(gone).await.iter().flatten().count(), 7);
    assert_eq!(counted(&bench, home).await, 23);
    assert_eq!(candidates().await, 23, "a change is seen by the next start");
    let again = bench
        .bulk_accounts(own, project, pbx, pattern("u{0..29}"))
        .await
        .unwrap();
    assert_eq!((again.created, again.updated, again.accounts), (7, 23, 30));
    assert_eq!(counted(&bench, home).await, 30);
}

#[actix_rt::test]
async fn an_import_in_several_batches_is_whole() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let home = bench.home().await;
    let many = u32::try_from(BULK_ATOMIC).unwrap() * 2 + 5;
    let bulk = pattern(&format!("u{{1..{many}}}"));
    let result = bench
        .bulk_accounts(home.0, home.1, home.2, bulk)
        .await
        .unwrap();
    assert_eq!((result.created, result.accounts), (many, many));
    assert_eq!(counted(&bench, home).await, many as usize);
    // A registrar goes with its accounts, in batches, and its name is free again.
    bench
        .delete_registrar(home.0, home.1, home.2, None)
        .await
        .unwrap();
    assert!(bench.registrar(home.0, home.1, home.2).await.is_err());
    let control = &bench.inner.control;
    assert_eq!(
        control.count(&keys::accounts(home.0, home.2), 9).unwrap(),
        0
    );
    assert_eq!(
        control
            .count(&keys::account_ids(home.0, home.2), 9)
            .unwrap(),
        0
    );
    assert_eq!(control.count(&keys::setting("purge/"), 9).unwrap(), 0);
    bench
        .create_registrar(home.0, home.1, registrar("pbx"), None)
        .await
        .unwrap();
}

#[actix_rt::test]
async fn csv_files_are_read_and_every_fault_is_told() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx) = bench.home().await;
    let csv = |text: &str| BulkAccounts {
        csv: Some(text.to_owned()),
        ..BulkAccounts::default()
    };
    let good = "username;password;realm\nalice;\"a;b\";r\nbob;pw;\n";
    let result = bench
        .bulk_accounts(own, project, pbx, csv(good))
        .await
        .unwrap();
    assert_eq!((result.created, result.accounts), (2, 2));
    let long = format!("x,{}\nx,pw\nok,pw\n", "p".repeat(257));
    for (bulk, wanted) in [
        (csv("alice\nbob,pw\n,pw\n"), vec!["csv[1]", "csv[3]"]),
        (csv(&long), vec!["csv", "csv"]),
        (BulkAccounts::default(), vec!["pattern"]),
        (pattern("u{9..1}"), vec!["pattern"]),
        (pattern("u{1..2}@x"), vec!["pattern"]),
        (
            BulkAccounts {
                password: None,
                ..pattern("u{1..2}")
            },
            vec!["password"],
        ),
        (
            BulkAccounts {
                csv: Some(String::new()),
                ..pattern("u{1..2}")
            },
            vec!["csv"],
        ),
    ] {
        let error = bench
            .bulk_accounts(own, project, pbx, bulk)
            .await
            .unwrap_err();
        let fields: Vec<String> = invalid(error).into_iter().map(|p| p.0).collect();
        assert_eq!(fields, wanted);
    }
    assert_eq!(
        bench.registrar(own, project, pbx).await.unwrap().accounts,
        2,
        "nothing of it is stored"
    );
}

#[actix_rt::test]
async fn pages_in_every_order_are_the_whole_list() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx) = bench.home().await;
    let mut random = Random::new(1);
    let mut names: Vec<String> = (0..1_200)
        .map(|n| format!("u{}-{n}", random.below(900)))
        .collect();
    let csv: String = names.iter().map(|name| format!("{name},pw\n")).collect();
    let bulk = BulkAccounts {
        csv: Some(csv),
        ..BulkAccounts::default()
    };
    bench.bulk_accounts(own, project, pbx, bulk).await.unwrap();
    let created = names.clone();
    names.sort();
    for (sort, wanted) in [
        (Sort::Created, created.clone()),
        (Sort::Newest, created.into_iter().rev().collect()),
        (Sort::Name, names.clone()),
        (
            Sort::NameDescending,
            names.into_iter().rev().collect::<Vec<_>>(),
        ),
    ] {
        for part in [None, Some("U1")] {
            let wanted: Vec<&String> = wanted
                .iter()
                .filter(|name| part.is_none() || name.contains("u1"))
                .collect();
            let mut query = ListQuery {
                sort,
                name: part.map(str::to_owned),
                limit: Some(113),
                cursor: None,
            };
            let mut told = Vec::new();
            loop {
                let page = bench.accounts(own, project, pbx, &query).await.unwrap();
                told.extend(page.items.into_iter().map(|account| account.username));
                query.cursor = page.next_cursor;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(told.iter().collect::<Vec<_>>(), wanted, "{sort:?} {part:?}");
        }
    }
}

#[actix_rt::test]
async fn no_password_stands_in_the_store_or_in_an_answer() {
    let directory = Directory::new();
    {
        let bench = Bench::open(&directory);
        let (own, project, pbx) = bench.home().await;
        let one = account("alice", CANARY);
        assert!(!format!("{one:?}").contains(CANARY));
        let alice = bench
            .create_account(own, project, pbx, one, None)
            .await
            .unwrap();
        bench
            .bulk_accounts(own, project, pbx, pattern("u{1..50}"))
            .await
            .unwrap();
        let change = UpdateAccount {
            password: Some(format!("{CANARY}-new")),
            ..UpdateAccount::default()
        };
        let changed = bench
            .update_account(own, project, pbx, alice.id, change, Some(1))
            .await;
        let changed = changed.unwrap();
        assert_eq!(changed.revision, 2);
        assert!(!serde_json::to_string(&changed).unwrap().contains(CANARY));
        let bad = account("alice\n", &format!("{CANARY}\n"));
        let error = bench
            .create_account(own, project, pbx, bad, None)
            .await
            .unwrap_err();
        assert!(!format!("{error:?} {error}").contains(CANARY), "{error:?}");
        let home = account::Home {
            organization: own,
            project,
            registrar: pbx,
        };
        let stored = bench
            .read::<account::AccountRecord>(&home.account("alice"))
            .unwrap();
        let opened = stored.record.open(&bench.inner.sealer, home).unwrap();
        assert_eq!(opened.password, format!("{CANARY}-new"));
        let elsewhere = account::Home {
            registrar: RegistrarId(1),
            ..home
        };
        assert!(stored.record.open(&bench.inner.sealer, elsewhere).is_err());
    }
    assert!(!directory.holds(CANARY));
    assert!(
        directory.holds("alice"),
        "user names are not secret, so the search finds things"
    );
}
