//! Requests that come twice under one idempotency key, one after the other and at once.

use serde_json::{Value, json};

use super::*;

const KEY: (&str, &str) = ("Idempotency-Key", "build-4711");

#[actix_web::test]
async fn a_request_sent_again_makes_nothing_twice() {
    let api = Api::start().await;
    let body = json!({"name": "once"});
    let first = api
        .with(&api.secret, "POST", "/projects", &[KEY], body.clone())
        .await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = api
        .with(&api.secret, "POST", "/projects", &[KEY], body)
        .await;
    assert_eq!(again.status, 201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.body, first.body);
    for name in ["location", "etag", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    let list = api.ask("GET", "/projects", Value::Null).await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn a_key_stands_for_one_request() {
    let api = Api::start().await;
    let made = api
        .with(
            &api.secret,
            "POST",
            "/projects",
            &[KEY],
            json!({"name": "a"}),
        )
        .await;
    assert_eq!(made.status, 201);
    let other = api
        .with(
            &api.secret,
            "POST",
            "/projects",
            &[KEY],
            json!({"name": "b"}),
        )
        .await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "idempotency_mismatch")
    );
    let elsewhere = json!({"name": "a", "role": "viewer"});
    let elsewhere = api
        .with(&api.secret, "POST", "/keys", &[KEY], elsewhere)
        .await;
    assert_ne!(elsewhere.status, 201, "the key was used for a project");
    for bad in ["", "with space", &"x".repeat(256)] {
        let key = [("Idempotency-Key", bad)];
        let answer = api
            .with(&api.secret, "POST", "/projects", &key, json!({"name": "c"}))
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad_idempotency_key")
        );
    }
}

#[actix_web::test]
async fn a_refused_request_may_be_corrected_under_its_key() {
    let api = Api::start().await;
    let refused = api
        .with(
            &api.secret,
            "POST",
            "/projects",
            &[KEY],
            json!({"name": ""}),
        )
        .await;
    assert_eq!(refused.status, 422);
    let again = api
        .with(
            &api.secret,
            "POST",
            "/projects",
            &[KEY],
            json!({"name": ""}),
        )
        .await;
    assert_eq!(again.status, 422);
    assert_eq!(again.header("idempotency-replayed"), "");
}

#[actix_web::test]
async fn many_at_once_make_one() {
    let api = Api::start().await;
    let body = json!({"name": "race"});
    let requests =
        (0..24).map(|_| api.with(&api.secret, "POST", "/projects", &[KEY], body.clone()));
    let answers = futures_util::future::join_all(requests).await;
    let made: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert!(!made.is_empty());
    assert!(made.iter().all(|answer| answer.body == made[0].body));
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 201 | 409)),
        "{answers:?}"
    );
    let list = api.ask("GET", "/projects", Value::Null).await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn a_key_is_shown_again_to_whoever_repeats_the_request() {
    let api = Api::start().await;
    let body = json!({"name": "ci", "role": "tester"});
    let first = api
        .with(&api.secret, "POST", "/keys", &[KEY], body.clone())
        .await;
    let again = api.with(&api.secret, "POST", "/keys", &[KEY], body).await;
    assert_eq!(first.json()["secret"], again.json()["secret"]);
    let secret = first.json()["secret"]
        .as_str()
        .expect("a secret")
        .to_owned();
    assert_eq!(
        api.by(&secret, "GET", "/whoami", Value::Null).await.status,
        200
    );
}
