//! The first start, later ones, wrong keys, and deletions that were cut off.

use super::*;
use crate::store::{Commit, keys};

#[actix_rt::test]
async fn the_first_start_makes_everything_once_and_shows_the_secret_until_it_was_seen() {
    let directory = Directory::new();
    let first = {
        let bench = Bench::open(&directory);
        assert_eq!(bench.first_organization().await.unwrap(), None);
        let first = bench.first_start(7).await.unwrap().unwrap();
        let caller = bench.authenticate(&first.secret).unwrap();
        assert!(caller.operator() && caller.organization == first.organization);
        assert_eq!(caller.role(), Some(shared::api::Role::Owner));
        first
    };
    let bench = Bench::open(&directory);
    // A crash came before the secret was printed: another one, for the same key.
    let second = bench.first_start(8).await.unwrap().unwrap();
    assert_eq!(
        (second.key, second.organization),
        (first.key, first.organization)
    );
    assert!(bench.authenticate(&first.secret).is_err());
    bench.authenticate(&second.secret).unwrap();
    bench.first_start_shown().await.unwrap();
    assert!(bench.first_start(9).await.unwrap().is_none());
    bench.authenticate(&second.secret).unwrap();
    let own = bench.first_organization().await.unwrap();
    assert_eq!(own, Some(first.organization));
    let all = bench
        .organizations(&ListQuery::default())
        .await
        .unwrap()
        .items;
    assert_eq!((all.len(), all[0].name.as_str()), (1, "default"));
    let plan = bench.plan(all[0].plan).await.unwrap();
    assert_eq!(
        (plan.name.as_str(), plan.endpoints_per_run),
        ("default", 100_000)
    );
    let answer = bench.delete_plan(plan.id, None).await;
    assert!(matches!(answer, Err(ObjectError::InUse { .. })));
    assert!(!directory.holds(&second.secret));
}

#[actix_rt::test]
async fn another_storage_key_is_refused_with_a_sentence() {
    let directory = Directory::new();
    drop(Bench::open(&directory));
    let other = KeySource {
        text: Some("0".repeat(64)),
        ..directory.key()
    };
    let error = Bench::open_with(&directory, &other).err().unwrap();
    assert!(matches!(error, OpenError::WrongKey(_)));
    assert!(
        error.to_string().contains("CARILLON_STORAGE_KEY"),
        "{error}"
    );
    fs::remove_file(directory.key().file).unwrap();
    let error = Bench::open_with(&directory, &directory.key())
        .err()
        .unwrap();
    assert!(error.to_string().contains("put the file back"), "{error}");
    assert!(!directory.key().file.exists(), "no other key is made");
}

#[actix_rt::test]
async fn a_deletion_that_a_crash_cut_off_is_finished_later() {
    let directory = Directory::new();
    let (own, project, pbx) = {
        let bench = Bench::open(&directory);
        let (own, project, pbx) = bench.home().await;
        let one = account("a", "p");
        bench
            .create_account(own, project, pbx, one, None)
            .await
            .unwrap();
        // As `delete_project` begins, and no further.
        let key = keys::project(own, project);
        let old = bench.read::<shared::api::Project>(&key).unwrap();
        let purge = purge::Purge::Project(own, project);
        let commit = Commit::new().put(purge.key(), &purge);
        let commit = bench.project_use(commit, own, false).ok().unwrap();
        let owner = repository::Owner {
            organization: own,
            parent: 0,
        };
        bench.remove(commit, key, owner, old).await.ok().unwrap();
        (own, project, pbx)
    };
    let bench = Bench::open(&directory);
    assert_eq!(
        bench.project(own, project).await.unwrap_err(),
        ObjectError::NotFound
    );
    bench.maintain(1).await.unwrap();
    let control = &bench.inner.control;
    for prefix in [
        keys::registrars(own, project),
        keys::accounts(own, pbx),
        keys::account_ids(own, pbx),
        keys::names(keys::NameKind::Registrar, own, project.0),
        keys::setting("purge/"),
    ] {
        assert_eq!(control.count(&prefix, 9).unwrap(), 0, "{prefix:?}");
    }
    bench.delete_organization(own, None).await.unwrap();
}
