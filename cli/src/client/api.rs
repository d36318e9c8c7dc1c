//! The HTTP client: one coordinator, one key. Blocking; live streams have a thread of their own.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::api::{Page, ProblemDocument};
use ureq::http::Method;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, SendBody};

use super::credentials::Credentials;
use super::error::ApiError;

/// A coordinator as a client sees it. Clones share their connections.
#[derive(Clone)]
pub(super) struct Api {
    agent: Agent,
    address: String,
    authorization: String,
}

/// An answer: its status, its headers, its body.
type Answer = ureq::http::Response<Body>;

impl Api {
    /// Connects nothing yet.
    ///
    /// Errors: the certificates to trust cannot be read.
    pub(super) fn new(credentials: &Credentials) -> anyhow::Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER));
        if let Some(path) = &credentials.ca_file {
            config = config.tls_config(trusting(path)?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            address: credentials.url.clone(),
            authorization: format!("Bearer {}", credentials.key),
        })
    }

    /// GET of an object. `path` lies below `/api/v1/`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.read(self.bare(Method::GET, path)?)
    }

    /// Every item of a list, page by page, at most `most`.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, ApiError> {
        let mut items: Vec<T> = Vec::new();
        let mut cursor = String::new();
        let join = if path.contains('?') { '&' } else { '?' };
        while items.len() < most {
            let limit = (most - items.len()).min(PAGE_MAX);
            let mut page_path = format!("{path}{join}limit={limit}");
            if !cursor.is_empty() {
                page_path.push_str(&format!("&cursor={}", encoded(&cursor)));
            }
            let page: Page<T> = self.get(&page_path)?;
            items.extend(page.items);
            match page.next_cursor {
                Some(next) if next != cursor => cursor = next,
                _ => break,
            }
        }
        items.truncate(most);
        Ok(items)
    }

    /// A request with a JSON body and a JSON answer.
    pub(super) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let octets = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
        let request = self
            .request(method, path)
            .header("Content-Type", "application/json")
            .body(octets);
        self.read(self.perform(request)?)
    }

    /// POST that is done once, however often it is sent with this key.
    pub(super) fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        once: &str,
    ) -> Result<T, ApiError> {
        let octets = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
        let request = self
            .request(Method::POST, path)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", once)
            .body(octets);
        self.read(self.perform(request)?)
    }

    /// POST of something that is read while it is sent. Waits `wait` for the answer.
    pub(super) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        octets: u64,
        mut body: impl Read,
        wait: Duration,
    ) -> Result<T, ApiError> {
        let request = self
            .request(Method::POST, path)
            .header("Content-Type", content_type)
            .header("Content-Length", octets)
            .body(SendBody::from_reader(&mut body))
            .map_err(|error| self.strange(error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_recv_response(Some(wait))
            .build();
        let answer = self.agent.run(request);
        self.read(self.checked(answer)?)
    }

    /// POST without a body, whose answer is not needed.
    pub(super) fn act(&self, path: &str) -> Result<(), ApiError> {
        let request = self.request(Method::POST, path).body(());
        self.perform(request).map(drop)
    }

    /// DELETE.
    pub(super) fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.bare(Method::DELETE, path).map(drop)
    }

    /// The body of an answer, to be read bit by bit; `accept` is its media type, `silence` how long
    /// nothing may come.
    pub(super) fn stream(
        &self,
        path: &str,
        accept: &str,
        silence: Option<Duration>,
    ) -> Result<impl Read + Send + use<>, ApiError> {
        let request = self
            .request(Method::GET, path)
            .header("Accept", accept)
            .body(())
            .map_err(|error| self.strange(error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_per_read(silence)
            .build();
        let answer = self.agent.run(request);
        Ok(self.checked(answer)?.into_body().into_reader())
    }

    fn bare(&self, method: Method, path: &str) -> Result<Answer, ApiError> {
        let request = self.request(method, path).body(());
        self.perform(request)
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/{path}", self.address))
            .header("Authorization", &self.authorization)
    }

    fn perform(
        &self,
        request: Result<ureq::http::Request<impl ureq::AsSendBody>, ureq::http::Error>,
    ) -> Result<Answer, ApiError> {
        let request = request.map_err(|error| self.strange(error))?;
        let answer = self.agent.run(request);
        self.checked(answer)
    }

    /// An answer of success, or the problem that it tells.
    fn checked(&self, answer: Result<Answer, ureq::Error>) -> Result<Answer, ApiError> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer
            .body_mut()
            .with_config()
            .limit(PROBLEM_MAX)
            .read_to_string()
            .unwrap_or_default();
        match serde_json::from_str::<ProblemDocument>(&text) {
            Ok(problem) => Err(ApiError::Problem(Box::new(problem))),
            Err(_) => Err(self.strange(format!("status {status}"))),
        }
    }

    fn read<T: DeserializeOwned>(&self, mut answer: Answer) -> Result<T, ApiError> {
        let body = answer.body_mut().with_config().limit(BODY_MAX);
        let octets = body
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&octets).map_err(|error| self.strange(error))
    }

    fn unreachable(&self, error: &ureq::Error) -> ApiError {
        let why = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "nothing listens there".to_owned()
            }
            other => other.to_string(),
        };
        ApiError::Unreachable {
            address: self.address.clone(),
            why,
        }
    }

    pub(super) fn strange(&self, what: impl ToString) -> ApiError {
        ApiError::Strange {
            address: self.address.clone(),
            what: what.to_string(),
        }
    }
}

/// Text as it may stand in a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet));
            }
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

fn trusting(path: &Path) -> anyhow::Result<TlsConfig> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.with_context(|| format!("{} is no PEM file", path.display()))?
        {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(TlsConfig::builder().root_certs(roots).build())
}

const CONNECT: Duration = Duration::from_secs(10);
/// Above the longest that a start takes.
const ANSWER: Duration = Duration::from_secs(60);
/// Items of a page, the most that the API gives.
const PAGE_MAX: usize = 500;
const PROBLEM_MAX: u64 = 1 << 20;
/// A page of tests with many groups.
const BODY_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_for_a_query() {
        assert_eq!(encoded("büro 1&x=/y"), "b%C3%BCro%201%26x%3D%2Fy");
    }
}
