//! The service over a socket: a coordinator, a store in a folder of its own, one worker.

mod hostile;
mod manners;
mod objects;
mod twice;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use shared::bus::LocalBus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::state::now;
use super::{HttpConfig, HttpServerHandle, Service, serve};
use crate::handle::CoordinatorConfig;
use crate::objects::{KeySource, Objects};

/// For an answer that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service and the first operator's key.
struct Api {
    server: HttpServerHandle,
    secret: String,
    folder: PathBuf,
}

/// An answer, as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// A header's value; blank where it is missing.
    fn header(&self, name: &str) -> String {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        pairs
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A problem's code, after checking that it is a whole problem document.
    fn problem(&self) -> String {
        let json = self.json();
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(json["status"], self.status, "{json}");
        assert_eq!(json["instance"], self.header("x-request-id"), "{json}");
        let code = json["code"].as_str().unwrap_or_default();
        assert_eq!(json["type"], format!("urn:carillon:problem:{code}"));
        assert!(
            json["detail"].as_str().is_some_and(|text| text.len() > 5),
            "{json}"
        );
        code.to_owned()
    }

    /// The field of a problem's first error.
    fn field(&self) -> String {
        let json = self.json();
        json["errors"][0]["field"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Api {
    async fn start() -> Self {
        Self::within(HttpConfig::default()).await
    }

    async fn within(config: HttpConfig) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carillon-http-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let own = CoordinatorConfig::new(folder.clone(), "1.2.3");
        let handle = crate::handle::start(own, Arc::new(LocalBus::new())).expect("a coordinator");
        let control = handle.control().clone();
        let key = KeySource {
            text: None,
            file: folder.join("storage.key"),
        };
        let objects = Objects::open(control.clone(), &folder, &key).expect("objects");
        let first = objects.first_start(now()).await.expect("a first start");
        let service = Service::new(handle, objects, control, Vec::new());
        let config = HttpConfig {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 1,
            ..config
        };
        Self {
            server: serve(config, service).expect("a server"),
            secret: first.expect("is the first").secret,
            folder,
        }
    }

    /// Sends octets and reads until the server closes.
    async fn raw(&self, octets: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.server.address())
            .await
            .expect("connects");
        // A server that refuses a body may close before all of it was taken.
        let _ = stream.write_all(octets).await;
        read(&mut stream).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nHost: carillon\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut octets = text.into_bytes();
        octets.extend_from_slice(body);
        self.raw(&octets).await
    }

    /// A request with a key and, where it has one, a JSON body.
    async fn by(&self, secret: &str, method: &str, path: &str, body: Value) -> Answer {
        self.with(secret, method, path, &[], body).await
    }

    async fn with(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let bearer = format!("Bearer {secret}");
        let mut all = vec![("Authorization", bearer.as_str())];
        let octets = if body.is_null() {
            Vec::new()
        } else {
            all.push(("Content-Type", "application/json"));
            serde_json::to_vec(&body).expect("JSON")
        };
        all.extend_from_slice(headers);
        self.send(method, &format!("/api/v1{path}"), &all, &octets)
            .await
    }

    /// The same with the first key.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.by(&self.secret, method, path, body).await
    }

    /// Makes something and answers its path.
    async fn make(&self, path: &str, body: Value) -> String {
        let answer = self.ask("POST", path, body).await;
        assert_eq!(answer.status, 201, "{path}: {}", answer.json());
        let at = answer.header("location");
        at.strip_prefix("/api/v1")
            .expect("a path of the API")
            .to_owned()
    }

    /// Makes a key and answers its secret.
    async fn key(&self, body: Value) -> String {
        let answer = self.ask("POST", "/keys", body).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["secret"]
            .as_str()
            .expect("a secret")
            .to_owned()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn read(stream: &mut TcpStream) -> Answer {
    let mut octets = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut octets)).await;
    // A reset after the answer is no matter; one before it leaves no answer.
    let _ = reading.expect("an answer in time");
    let end = octets
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&octets)));
    let head = String::from_utf8_lossy(&octets[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Answer {
        status: status.expect("a status"),
        head,
        body: octets[end + 4..].to_vec(),
    }
}
