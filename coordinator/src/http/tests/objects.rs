//! Objects over a socket: made, read, changed under their revision, listed in pages, deleted.

use serde_json::{Value, json};

use super::*;

#[actix_web::test]
async fn an_object_is_made_read_changed_and_deleted_by_its_tag() {
    let api = Api::start().await;
    let project = api.make("/projects", json!({"name": "lab"})).await;
    let read = api.ask("GET", &project, Value::Null).await;
    let tag = read.header("etag");
    assert_eq!((read.status, tag.as_str()), (200, "\"1\""));
    let known = [("If-None-Match", tag.as_str())];
    let same = api
        .with(&api.secret, "GET", &project, &known, Value::Null)
        .await;
    assert_eq!((same.status, same.body.len()), (304, 0));

    let held = [("If-Match", tag.as_str())];
    let change = json!({"name": "lab 2"});
    let changed = api
        .with(&api.secret, "PATCH", &project, &held, change.clone())
        .await;
    assert_eq!(
        (changed.status, changed.header("etag").as_str()),
        (200, "\"2\"")
    );
    let late = api
        .with(&api.secret, "PATCH", &project, &held, change)
        .await;
    assert_eq!(
        (late.status, late.problem().as_str()),
        (412, "revision_mismatch")
    );
    let late = api
        .with(&api.secret, "DELETE", &project, &held, Value::Null)
        .await;
    assert_eq!(late.status, 412);
    assert_eq!(api.ask("DELETE", &project, Value::Null).await.status, 204);
    assert_eq!(api.ask("GET", &project, Value::Null).await.status, 404);
}

#[actix_web::test]
async fn from_a_project_to_a_test() {
    let api = Api::start().await;
    let project = api.make("/projects", json!({"name": "lab"})).await;
    let at = format!("{project}/registrars");
    let pbx = json!({"name": "pbx", "domain": "pbx.test", "host": "127.0.0.1"});
    let registrar = api.make(&at, pbx.clone()).await;
    let taken = api.ask("POST", &at, pbx).await;
    assert_eq!(
        (taken.status, taken.problem().as_str()),
        (409, "name_taken")
    );
    assert_eq!(taken.field(), "name");

    let accounts = format!("{registrar}/accounts");
    let canary = "canary-5c1d";
    let account = json!({"username": "alice", "password": canary});
    let account = api.make(&accounts, account).await;
    let shown = api.ask("GET", &account, Value::Null).await;
    assert!(!String::from_utf8_lossy(&shown.body).contains(canary));
    let pattern = json!({"pattern": "user{001..120}", "password": canary});
    let bulk = api.ask("POST", &format!("{accounts}/bulk"), pattern).await;
    assert_eq!((bulk.status, &bulk.json()["created"]), (200, &json!(120)));
    let bearer = format!("Bearer {}", api.secret);
    let csv = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "text/csv; charset=utf-8"),
    ];
    let path = format!("/api/v1{accounts}/bulk");
    let file = b"username,password\nbob,canary-5c1d\nuser001,other\n";
    let bulk = api.send("POST", &path, &csv, file).await;
    let result = bulk.json();
    assert_eq!(
        (&result["created"], &result["updated"]),
        (&json!(1), &json!(1)),
        "{result}"
    );

    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = format!("{accounts}?limit=50&sort=-name{cursor}");
        let page = api.ask("GET", &page, Value::Null).await.json();
        names.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|i| i["username"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 122);
    assert_eq!(
        (&names[0], &names[121]),
        (&json!("user120"), &json!("alice"))
    );

    let toml =
        b"name = \"smoke\"\nduration = \"5s\"\n[groups.reg]\nregistrar = \"pbx\"\ncount = 3\n";
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/toml"),
    ];
    let made = api
        .send("POST", &format!("/api/v1{project}/tests"), &headers, toml)
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(made.json()["endpoints"], 3);
    let test = made.header("location").replace("/api/v1", "");
    let patched = api.ask("PATCH", &test, json!({"duration": "6s"})).await;
    assert_eq!(
        (patched.status, &patched.json()["duration"]),
        (200, &json!("6s"))
    );
    let wrong = json!({"groups": {"reg": {"registrar": "pbx", "count": -1}}});
    let wrong = api.ask("PATCH", &test, wrong).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "invalid"));
    assert!(wrong.field().starts_with("groups.reg"), "{}", wrong.json());
}

#[actix_web::test]
async fn a_media_file_comes_back_as_it_was() {
    let api = Api::start().await;
    let project = api.make("/projects", json!({"name": "lab"})).await;
    let wav = wav();
    let bearer = format!("Bearer {}", api.secret);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "audio/wav"),
    ];
    let path = format!("/api/v1{project}/media");
    let nameless = api.send("POST", &path, &headers, &wav).await;
    assert_eq!((nameless.status, nameless.field().as_str()), (400, "name"));
    let made = api
        .send("POST", &format!("{path}?name=tone.wav"), &headers, &wav)
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    let at = made.header("location");
    let content = api
        .send("GET", &format!("{at}/content"), &headers, b"")
        .await;
    assert_eq!((content.status, content.body), (200, wav));
    assert_eq!(content.head.to_lowercase().matches("audio/wav").count(), 1);
    let noise = api
        .send(
            "POST",
            &format!("{path}?name=noise.wav"),
            &headers,
            &[7; 100],
        )
        .await;
    assert_eq!(noise.status, 422, "{}", noise.json());
}

/// A hundred milliseconds of silence, 8 kHz, 16 bit.
fn wav() -> Vec<u8> {
    let data = vec![0_u8; 1_600];
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    wav
}

#[actix_web::test]
async fn what_belongs_to_others_is_what_never_was() {
    let api = Api::start().await;
    let plans = api.ask("GET", "/plans", Value::Null).await.json();
    let plan = plans["items"][0]["id"].clone();
    let other = api
        .make("/organizations", json!({"name": "other", "plan": plan}))
        .await;
    let other = other.trim_start_matches("/organizations/");
    let key = json!({"name": "admin", "role": "owner"});
    let made = api
        .ask("POST", &format!("/keys?organization={other}"), key)
        .await;
    let theirs = made.json()["secret"].as_str().expect("a secret").to_owned();
    let project = api.make("/projects", json!({"name": "ours"})).await;
    let registrar = json!({"name": "pbx", "domain": "pbx.test"});
    let registrar = api.make(&format!("{project}/registrars"), registrar).await;
    let me = api.ask("GET", "/whoami", Value::Null).await.json();
    let own = me["key"]["organization"]
        .as_str()
        .expect("an id")
        .to_owned();
    let body = |answer: &Answer| {
        let mut json = answer.json();
        json["instance"] = Value::Null;
        (answer.status, json)
    };
    let never = api
        .by(&theirs, "GET", "/projects/0000000000000001", Value::Null)
        .await;
    let never = body(&never);
    assert_eq!(never.0, 404);
    for path in [
        project.clone(),
        format!("{project}/tests"),
        format!("{project}/media"),
        registrar.clone(),
        format!("{registrar}/accounts"),
        format!("/organizations/{own}"),
        format!("/organizations/{own}/usage"),
        format!("/keys?organization={own}"),
    ] {
        let answer = api.by(&theirs, "GET", &path, Value::Null).await;
        assert_eq!(body(&answer), never, "{path}");
    }
    let test = json!({"name": "t", "groups": {"g": {"registrar": "pbx", "count": 1}}});
    let account = json!({"username": "u", "password": "p"});
    for (path, made) in [
        (format!("{project}/tests"), test),
        (
            format!("{project}/registrars"),
            json!({"name": "r", "domain": "r.test"}),
        ),
        (format!("{registrar}/accounts"), account),
        (
            format!("{registrar}/accounts/bulk"),
            json!({"pattern": "u{1..2}", "password": "p"}),
        ),
    ] {
        let answer = api.by(&theirs, "POST", &path, made).await;
        assert_eq!(body(&answer), never, "{path}");
    }
    let answer = api.by(&theirs, "DELETE", &project, Value::Null).await;
    assert_eq!(body(&answer), never);
    let list = api
        .by(&theirs, "GET", "/projects", Value::Null)
        .await
        .json();
    assert_eq!(list["items"], json!([]));
}

#[actix_web::test]
async fn roles_bound_what_a_key_does_and_gives() {
    let api = Api::start().await;
    let project = api.make("/projects", json!({"name": "lab"})).await;
    let id = project.trim_start_matches("/projects/");
    let viewer = api.key(json!({"name": "v", "role": "viewer"})).await;
    let admin = api.key(json!({"name": "a", "role": "admin"})).await;
    let lifted =
        json!({"name": "l", "role": "viewer", "projects": [{"project": id, "role": "editor"}]});
    let lifted = api.key(lifted).await;
    let blind = json!({"name": "b", "role": "editor", "projects": [{"project": id, "role": null}]});
    let blind = api.key(blind).await;
    let registrar = json!({"name": "pbx", "domain": "pbx.test"});
    let at = format!("{project}/registrars");
    for (key, status) in [(&viewer, 403), (&blind, 404), (&lifted, 201), (&admin, 409)] {
        let answer = api.by(key, "POST", &at, registrar.clone()).await;
        assert_eq!(answer.status, status, "{}", answer.json());
    }
    let seen = api.by(&blind, "GET", "/projects", Value::Null).await.json();
    assert_eq!(seen["items"], json!([]));
    let owner = json!({"name": "o", "role": "owner"});
    assert_eq!(api.by(&admin, "POST", "/keys", owner).await.status, 403);
    let operator = json!({"name": "o", "role": "viewer", "operator": true});
    assert_eq!(api.by(&admin, "POST", "/keys", operator).await.status, 403);
    let plan = json!({"name": "p", "concurrent_runs_per_project": 1});
    assert_eq!(api.by(&admin, "POST", "/plans", plan).await.status, 403);
    let keys = api.by(&admin, "GET", "/keys", Value::Null).await.json();
    let first = keys["items"][0]["id"].as_str().expect("the operator's key");
    let revoke = api
        .by(&admin, "DELETE", &format!("/keys/{first}"), Value::Null)
        .await;
    assert_eq!(revoke.status, 403, "an admin does not revoke an operator");
    let made = keys["items"].as_array().expect("keys").iter();
    let found = made
        .clone()
        .find(|key| key["name"] == "v")
        .expect("the viewer's key");
    let path = format!("/keys/{}", found["id"].as_str().expect("an id"));
    assert_eq!(
        api.by(&admin, "DELETE", &path, Value::Null).await.status,
        204
    );
    assert_eq!(
        api.by(&viewer, "GET", "/whoami", Value::Null).await.status,
        401
    );
}
