//! API keys and idempotency records.

use shared::api::{CreateApiKey, ProjectRole, Role};

use super::*;

const DAY: u64 = 86_400_000;

fn key(name: &str) -> CreateApiKey {
    CreateApiKey {
        name: name.to_owned(),
        role: Some(Role::Tester),
        projects: Vec::new(),
        operator: false,
        expires_unix_ms: None,
    }
}

#[actix_rt::test]
async fn a_key_is_known_until_it_is_revoked_or_expires() {
    let directory = Directory::new();
    let secret = {
        let bench = Bench::open(&directory);
        let (own, project, _) = bench.home().await;
        let mut new = key("ci");
        new.projects = vec![ProjectRole {
            project,
            role: None,
        }];
        let made = bench.create_key(own, new, None).await.unwrap();
        let caller = bench.authenticate(&made.secret).unwrap();
        assert_eq!(caller.organization, own);
        assert_eq!(caller.role_in(project), None);
        assert_eq!(caller.role_in(ProjectId(1)), Some(Role::Tester));
        assert!(!format!("{made:?}").is_empty() && !format!("{caller:?}").contains("secret"));
        let other = format!("{}0", &made.secret[..made.secret.len() - 1]);
        assert_eq!(bench.authenticate(&other).unwrap_err(), AuthError::Unknown);
        assert_eq!(bench.authenticate("clk_").unwrap_err(), AuthError::Unknown);
        let revision = made.key.revision;
        let stranger = OrganizationId(1);
        let foreign = bench.revoke_key(stranger, made.key.id, None).await;
        assert_eq!(foreign.unwrap_err(), ObjectError::NotFound);
        bench.maintain(now()).await.unwrap();
        assert!(
            bench
                .key(own, made.key.id)
                .await
                .unwrap()
                .last_used_unix_ms
                .is_some()
        );
        let soon = CreateApiKey {
            expires_unix_ms: Some(now() + 1_000_000),
            ..key("soon")
        };
        let soon = bench.create_key(own, soon, None).await.unwrap();
        let mut past = bench.find::<key::KeyRecord>(&crate::store::keys::api_key(soon.key.id));
        let mut past = past.as_mut().unwrap().take().unwrap().record;
        past.key.expires_unix_ms = Some(now());
        bench.remember_caller(past);
        assert_eq!(
            bench.authenticate(&soon.secret).unwrap_err(),
            AuthError::Expired
        );
        let twice = bench.create_key(own, key("ci"), None).await.unwrap_err();
        assert_eq!(twice, ObjectError::NameTaken { field: "name" });
        let gone = bench
            .revoke_key(own, made.key.id, Some(revision))
            .await
            .unwrap();
        assert!(gone.revoked_unix_ms.is_some());
        assert_eq!(
            bench.authenticate(&made.secret).unwrap_err(),
            AuthError::Revoked
        );
        let again = bench.revoke_key(own, made.key.id, None).await.unwrap();
        assert_eq!(again, gone, "twice changes nothing");
        bench.create_key(own, key("ci"), None).await.unwrap();
        made.secret
    };
    assert!(!directory.holds(&secret) && !directory.holds(&secret[21..]));
    let bench = Bench::open(&directory);
    assert_eq!(bench.authenticate(&secret).unwrap_err(), AuthError::Revoked);
}

#[actix_rt::test]
async fn bad_keys_are_refused_with_every_field() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, _) = bench.home().await;
    let role = |project| ProjectRole {
        project,
        role: None,
    };
    let new = CreateApiKey {
        name: String::new(),
        projects: vec![role(project), role(ProjectId(9)), role(project)],
        expires_unix_ms: Some(1),
        ..key("")
    };
    let error = bench.create_key(own, new, None).await.unwrap_err();
    let wanted = [
        ("name", "missing"),
        ("expires_unix_ms", "out_of_range"),
        ("projects[1].project", "unknown"),
        ("projects[2].project", "duplicate"),
    ];
    let wanted = wanted.map(|(field, code)| (field.to_owned(), code.to_owned()));
    assert_eq!(invalid(error), wanted);
}

#[actix_rt::test]
async fn a_request_is_done_once_whatever_is_repeated() {
    let directory = Directory::new();
    let secret = "the secret of a new key";
    let by = KeyId(5);
    let planned = {
        let bench = Bench::open(&directory);
        let (own, ..) = bench.home().await;
        let begin = async |key: &str, route: &str, hash: u8, now: u64| {
            bench
                .begin(own, by, key, route, [hash; 32], now)
                .await
                .unwrap()
        };
        let Begin::New(first) = begin("k", "POST /keys", 1, 1_000).await else {
            panic!("it is new");
        };
        assert!(matches!(
            begin("k", "POST /keys", 1, 1_001).await,
            Begin::Conflict
        ));
        let planned = first.planned;
        drop(first);
        // The work was not recorded: again with the same id.
        let Begin::New(again) = begin("k", "POST /keys", 1, 1_002).await else {
            panic!("it was not finished");
        };
        assert_eq!(again.planned, planned);
        assert!(matches!(
            bench
                .begin(own, KeyId(6), "k", "POST /keys", [1; 32], 1)
                .await
                .unwrap(),
            Begin::New(_)
        ));
        let answer = StoredAnswer {
            status: 201,
            headers: vec![("location".to_owned(), "/x".to_owned())],
            body: secret.as_bytes().to_vec(),
        };
        assert!(!format!("{answer:?}").contains(secret));
        bench.finish(again, answer.clone()).await.unwrap();
        let Begin::Replay(told) = begin("k", "POST /keys", 1, 1_003).await else {
            panic!("it was finished");
        };
        assert_eq!(told, answer);
        for (route, hash) in [("POST /keys", 2), ("POST /plans", 1)] {
            assert!(matches!(
                begin("k", route, hash, 1_004).await,
                Begin::Mismatch
            ));
        }
        planned
    };
    assert!(!directory.holds(secret));
    let bench = Bench::open(&directory);
    let own = bench
        .organizations(&ListQuery::default())
        .await
        .unwrap()
        .items[0]
        .id;
    let begin = async |now| {
        bench
            .begin(own, by, "k", "POST /keys", [1; 32], now)
            .await
            .unwrap()
    };
    assert!(
        matches!(begin(1_005).await, Begin::Replay(_)),
        "also after a restart"
    );
    let Begin::New(anew) = begin(1_000 + DAY).await else {
        panic!("it is kept for a day");
    };
    assert_ne!(anew.planned, planned);
    bench.maintain(1_000 + 3 * DAY).await.unwrap();
    drop(anew);
    bench.maintain(1_000 + 3 * DAY).await.unwrap();
    let prefix = crate::store::keys::idempotencies(own);
    assert_eq!(bench.inner.control.count(&prefix, 9).unwrap(), 0);
}
