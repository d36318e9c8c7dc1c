//! Clients that mean no good, over a socket: deep and endless bodies, slow heads, wrong keys.

use std::time::Instant;

use serde_json::json;

use super::*;

fn post(api: &Api, headers: &str) -> String {
    format!(
        "POST /api/v1/projects HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{headers}\r\n",
        api.secret
    )
}

#[actix_web::test]
async fn deep_json_is_refused_at_once() {
    let api = Api::start().await;
    let bearer = format!("Bearer {}", api.secret);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    for open in ["[", "{\"a\":"] {
        let body = open.repeat(100_000);
        let begun = Instant::now();
        let answer = api
            .send("POST", "/api/v1/projects", &headers, body.as_bytes())
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "too_deep")
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

#[actix_web::test]
async fn a_gibibyte_is_refused_by_its_announcement() {
    let api = Api::start().await;
    let head = post(&api, "Content-Length: 1073741824\r\n");
    let begun = Instant::now();
    let answer = api.raw(head.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(answer.header("connection"), "close");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[actix_web::test]
async fn a_body_without_end_is_refused_and_closed() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(api.server.address())
        .await
        .expect("connects");
    let head = post(&api, "Transfer-Encoding: chunked\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(vec![b' '; 0x10000]);
    chunk.extend(b"\r\n");
    let begun = Instant::now();
    let mut sent = 0_u64;
    while stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len() as u64;
        assert!(
            begun.elapsed() < PATIENCE,
            "still taken after {sent} octets"
        );
    }
    let answer = api.ask("GET", "/whoami", Value::Null).await;
    assert_eq!(answer.status, 200, "others are served");
}

#[actix_web::test]
async fn slow_heads_and_slow_bodies_are_cut() {
    let api = Api::within(HttpConfig {
        head_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(1),
        ..HttpConfig::default()
    })
    .await;
    let answer = api
        .raw(b"GET /healthz HTTP/1.1\r\nHost: c\r\nX-Slow: ")
        .await;
    assert_eq!(answer.status, 408);
    let head = post(&api, "Content-Length: 100\r\n");
    let answer = api.raw(format!("{head}{{\"name\": \"").as_bytes()).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (408, "body_too_slow")
    );
}

#[actix_web::test]
async fn heads_that_are_no_http_are_refused() {
    let api = Api::start().await;
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: c\r\nX-Long: {}",
        "a".repeat(200_000)
    );
    assert_eq!(api.raw(long.as_bytes()).await.status, 431);
    assert_eq!(
        api.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
            .await
            .status,
        400
    );
    let answer = api
        .ask("POST", "/projects", json!({"name": "still here"}))
        .await;
    assert_eq!(answer.status, 201);
}

#[actix_web::test]
async fn a_stop_waits_for_nobody_for_long() {
    let api = Api::within(HttpConfig {
        shutdown_timeout: Duration::from_secs(1),
        ..HttpConfig::default()
    })
    .await;
    let mut idle = TcpStream::connect(api.server.address())
        .await
        .expect("connects");
    idle.write_all(b"GET /healthz HTTP/1.1\r\n")
        .await
        .expect("sent");
    let begun = Instant::now();
    api.server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(api.server.address()).await.is_err());
}
