//! The HTTP API as a client sees it: requests, answers, problems, server-sent events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::api::ProblemDocument;

use crate::Events;

/// A client of one coordinator with one key. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Api {
    agent: ureq::Agent,
    address: String,
    key: String,
}

impl Api {
    /// A client; a blank key sends no `Authorization`.
    #[must_use]
    pub fn new(address: &str, key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER))
            .max_idle_connections_per_host(64)
            .build();
        Self {
            agent: config.new_agent(),
            address: address.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
        }
    }

    /// The same coordinator with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request of any shape. A path that begins with `/` is taken as it is, any other lies below
    /// `/api/v1/`.
    #[must_use]
    pub fn raw(&self, method: &str, path: &str) -> Asking {
        let path = match path.strip_prefix('/') {
            Some(rest) => format!("/{rest}"),
            None => format!("/api/v1/{path}"),
        };
        let mut headers = Vec::new();
        if !self.key.is_empty() {
            headers.push(("Authorization".to_owned(), format!("Bearer {}", self.key)));
        }
        Asking {
            agent: self.agent.clone(),
            method: method.to_owned(),
            url: format!("{}{path}", self.address),
            headers,
            body: Vec::new(),
        }
    }

    /// GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.raw("GET", path).answer()
    }

    /// POST of a JSON body.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.raw("POST", path).json(body).answer()
    }

    /// PUT of a JSON body.
    pub fn put(&self, path: &str, body: &impl Serialize) -> Answer {
        self.raw("PUT", path).json(body).answer()
    }

    /// PATCH of a JSON body.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Answer {
        self.raw("PATCH", path).json(body).answer()
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.raw("DELETE", path).answer()
    }

    /// GET of something that must be there, read as its type.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        self.get(path).expect(200).read()
    }

    /// POST of something that must be made (201, or 200 and 202 where nothing new is named).
    pub fn make<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        let answer = self.post(path, body);
        assert!((200..300).contains(&answer.status), "{path}: {answer}");
        answer.read()
    }

    /// Server-sent events of a path.
    #[must_use]
    pub fn events(&self, path: &str) -> Events {
        let asking = self.raw("GET", path);
        Events::open(&asking.url, &self.key)
    }
}

/// A request that is being put together.
#[derive(Clone, Debug)]
pub struct Asking {
    agent: ureq::Agent,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asking {
    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A JSON body.
    ///
    /// # Panics
    /// Where it cannot be written as JSON.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        let octets = serde_json::to_vec(body).expect("a JSON body");
        self.body("application/json", octets)
    }

    /// A body of any type.
    #[must_use]
    pub fn body(mut self, content_type: &str, octets: impl Into<Vec<u8>>) -> Self {
        self.body = octets.into();
        self.header("Content-Type", content_type)
    }

    /// Sends it.
    ///
    /// # Errors
    /// No connection, or no whole answer.
    pub fn send(self) -> Result<Answer, ureq::Error> {
        let mut builder = ureq::http::Request::builder()
            .method(self.method.as_str())
            .uri(self.url.as_str());
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let response = if self.body.is_empty() && matches!(self.method.as_str(), "GET" | "DELETE") {
            self.agent.run(builder.body(()).map_err(ureq::Error::Http)?)
        } else {
            let request = builder.body(self.body).map_err(ureq::Error::Http)?;
            self.agent.run(request)
        };
        let (head, mut body) = response?.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.with_config().limit(BODY_MAX).read_to_vec()?,
        })
    }

    /// Sends it to a coordinator that must answer.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn answer(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        self.send()
            .unwrap_or_else(|error| panic!("{what}: no answer: {error}"))
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// By name in small letters; of several of a name the last.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer, which must have this status.
    ///
    /// # Panics
    /// Where it has another.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// A header's value; blank where it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        self.read()
    }

    /// The body as a type.
    ///
    /// # Panics
    /// Where it is not of that type.
    #[must_use]
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {self}"))
    }

    /// The problem document, with its status and type checked.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn problem(&self) -> ProblemDocument {
        let kind = self.header("content-type");
        assert!(kind.starts_with("application/problem+json"), "{self}");
        let problem: ProblemDocument = self.read();
        assert_eq!(problem.status, self.status, "{self}");
        problem
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let short: String = text.chars().take(2_000).collect();
        write!(f, "{} {short}", self.status)
    }
}

/// Asks for an object until `done` says yes, and returns it.
///
/// # Panics
/// At the deadline, with the last answer.
pub fn wait_for<T: DeserializeOwned + std::fmt::Debug>(
    api: &Api,
    path: &str,
    within: Duration,
    mut done: impl FnMut(&T) -> bool,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        let now: T = api.read(path);
        if done(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "{path} not within {within:?}: {now:#?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A result of 10,000 endpoints with all their seconds.
const BODY_MAX: u64 = 1 << 30;
const ANSWER: Duration = Duration::from_secs(60);
