//! What every answer has, over a socket: problem documents, headers, roles, isolation.

use serde_json::{Value, json};

use super::*;

#[allow(
    clippy::type_complexity,
    reason = "a table: request, then status and code"
)]
#[actix_web::test]
async fn every_error_is_a_problem_document() {
    let api = Api::start().await;
    let bearer = format!("Bearer {}", api.secret);
    let key = ("Authorization", bearer.as_str());
    let json = ("Content-Type", "application/json");
    let cases: [(&str, &str, Vec<(&str, &str)>, &[u8], u16, &str); 14] = [
        ("GET", "/api/v1/nothing", vec![key], b"", 404, "not_found"),
        ("GET", "/nothing", vec![], b"", 404, "not_found"),
        (
            "GET",
            "/api/v1/projects/zz",
            vec![key],
            b"",
            404,
            "not_found",
        ),
        ("GET", "/api/v1/whoami", vec![], b"", 401, "unauthorized"),
        ("GET", "/api/v1/nothing", vec![], b"", 401, "unauthorized"),
        ("GET", "/%61pi/v1/whoami", vec![], b"", 401, "unauthorized"),
        (
            "PUT",
            "/api/v1/projects",
            vec![key],
            b"",
            405,
            "method_not_allowed",
        ),
        (
            "GET",
            "/api/v1/projects?limit=0",
            vec![key],
            b"",
            400,
            "bad_parameter",
        ),
        (
            "GET",
            "/api/v1/projects?sort=size",
            vec![key],
            b"",
            400,
            "bad_query",
        ),
        (
            "GET",
            "/api/v1/projects?cursor=!",
            vec![key],
            b"",
            400,
            "bad_query",
        ),
        (
            "GET",
            "/api/v1/projects?colour=red",
            vec![key],
            b"",
            400,
            "bad_query",
        ),
        (
            "POST",
            "/api/v1/projects",
            vec![key, json],
            b"{",
            400,
            "bad_json",
        ),
        (
            "POST",
            "/api/v1/projects",
            vec![key],
            b"{}",
            415,
            "unsupported_media_type",
        ),
        (
            "POST",
            "/api/v1/projects",
            vec![key, json],
            b"{}",
            422,
            "invalid",
        ),
    ];
    for (method, path, headers, body, status, code) in cases {
        let answer = api.send(method, path, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.problem(), code, "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let answer = api.ask("GET", "/projects?colour=red", Value::Null).await;
    assert_eq!(answer.field(), "colour");
    let answer = api
        .ask("POST", "/projects", json!({"name": "p", "color": 1}))
        .await;
    assert_eq!(answer.field(), "color");
    let answer = api.send("GET", "/api/v1/whoami", &[], b"").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    let answer = api.ask("PUT", "/projects", Value::Null).await;
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS, POST");
}

#[actix_web::test]
async fn head_is_get_without_a_body_and_options_says_what_there_is() {
    let api = Api::start().await;
    let get = api.ask("GET", "/projects", Value::Null).await;
    let head = api.ask("HEAD", "/projects", Value::Null).await;
    assert_eq!((get.status, head.status), (200, 200));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert!(head.body.is_empty());
    let options = api
        .ask("OPTIONS", "/projects/0000000000000001", Value::Null)
        .await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("allow"), "DELETE, GET, HEAD, OPTIONS, PATCH");
}

#[actix_web::test]
async fn the_document_and_its_page_are_public() {
    let api = Api::start().await;
    let document = api.send("GET", "/api/v1/openapi.json", &[], b"").await;
    assert_eq!(document.status, 200);
    assert_eq!(
        document.json()["info"]["version"],
        env!("CARGO_PKG_VERSION")
    );
    let tag = document.header("etag");
    let again = [("If-None-Match", tag.as_str())];
    let again = api.send("GET", "/api/v1/openapi.json", &again, b"").await;
    assert_eq!(again.status, 304);
    let page = api.send("GET", "/docs/", &[], b"").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'self'")
    );
    assert!(String::from_utf8_lossy(&page.body).contains("swagger"));
    let script = api
        .send("GET", "/docs/swagger-initializer.js", &[], b"")
        .await;
    assert!(String::from_utf8_lossy(&script.body).contains("/api/v1/openapi.json"));
    let moved = api.send("GET", "/docs", &[], b"").await;
    assert_eq!(
        (moved.status, moved.header("location").as_str()),
        (308, "/docs/")
    );
    let alive = api.send("GET", "/healthz", &[], b"").await;
    assert_eq!((alive.status, alive.json()), (200, json!({"status": "ok"})));
    let ready = api.send("GET", "/readyz", &[], b"").await;
    assert_eq!(ready.status, 503, "there is no node");
    assert_eq!(ready.problem(), "not_ready");
    assert!(
        ready.json()["detail"].to_string().contains("nodes")
            || ready.json()["detail"].to_string().contains("coordinator")
    );
}

#[actix_web::test]
async fn whoever_has_no_key_is_slowed_down_and_gets_one_request() {
    let api = Api::within(HttpConfig {
        failed_auth_per_minute: 3,
        ..HttpConfig::default()
    })
    .await;
    let wrong = "clk_0000000000000001_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for _ in 0..3 {
        let answer = api.by(wrong, "GET", "/whoami", Value::Null).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("connection"), "close");
    }
    let answer = api.by(wrong, "GET", "/whoami", Value::Null).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (429, "too_many_requests")
    );
    assert!(
        answer
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|wait| wait > 0)
    );
    let answer = api.ask("GET", "/whoami", Value::Null).await;
    assert_eq!(answer.status, 200, "a good key is not slowed by bad ones");
}

#[actix_web::test]
async fn each_key_has_its_own_rate() {
    let api = Api::within(HttpConfig {
        requests_per_second: 1,
        requests_burst: 6,
        ..HttpConfig::default()
    })
    .await;
    let other = api.key(json!({"name": "other", "role": "viewer"})).await;
    let mut refused = 0;
    for _ in 0..12 {
        let answer = api.ask("GET", "/whoami", Value::Null).await;
        refused += u32::from(answer.status == 429);
    }
    assert!(refused >= 4, "{refused}");
    let answer = api.by(&other, "GET", "/whoami", Value::Null).await;
    assert_eq!(answer.status, 200);
}

#[actix_web::test]
async fn plain_http_in_public_needs_a_word() {
    let api = Api::start().await;
    let error = serve(
        HttpConfig {
            bind: SocketAddr::from(([0, 0, 0, 0], 0)),
            ..HttpConfig::default()
        },
        api_service(&api).await,
    )
    .expect_err("plain and public");
    assert!(error.to_string().contains("not loopback"), "{error}");
}

/// Another service on a folder of its own, for calls that fail before they serve.
async fn api_service(api: &Api) -> Service {
    let folder = api.folder.join("other");
    let own = CoordinatorConfig::new(folder.clone(), "1.2.3");
    let handle = crate::handle::start(own, Arc::new(LocalBus::new())).expect("a coordinator");
    let control = handle.control().clone();
    let key = KeySource {
        text: None,
        file: folder.join("storage.key"),
    };
    let objects = Objects::open(control.clone(), &folder, &key).expect("objects");
    Service::new(handle, objects, control, Vec::new())
}
