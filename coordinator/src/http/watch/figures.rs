//! What the service counts of itself while it answers: requests by route, live streams.
//!
//! Labels are routes, methods and classes of status only, so their number is bounded by the code;
//! never an id, an endpoint or a path as it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::problem::ApiError;

/// Upper bounds of the durations' buckets, seconds.
const DURATIONS_S: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Exports that are read from storage at once: each holds a thread.
const DOWNLOADS_MAX: usize = 8;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
    method: &'static str,
}

/// The counters. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    skipped: Arc<AtomicU64>,
    downloads: Arc<Semaphore>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS_S)),
            skipped: Arc::default(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        }
    }
}

impl Figures {
    /// A request was answered. `route`: its pattern; none where no route took it.
    pub(crate) fn answered(
        &self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let route = route.unwrap_or("none").to_owned();
        let method = known(method);
        let status = match status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests
            .get_or_create(&Request {
                route: route.clone(),
                method,
                status,
            })
            .inc();
        self.durations
            .get_or_create(&Route { route, method })
            .observe(took.as_secs_f64());
    }

    /// Live updates that a reader was not sent.
    pub(crate) fn skipped(&self, count: u64) {
        if count > 0 {
            self.skipped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Live updates that readers were not sent, since the start.
    pub(crate) fn skipped_total(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// A place for an export. Errors: 503 where [`DOWNLOADS_MAX`] are going on.
    pub(crate) fn download(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.downloads)
            .try_acquire_owned()
            .map_err(|_| {
                ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    format!("{DOWNLOADS_MAX} exports are being read; try again"),
                )
                .retry_after(1)
            })
    }

    /// Adds them to a registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests answered, by route, method and class of status",
            self.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "From the end of a request's head to its answer's head",
            self.durations.clone(),
        );
    }
}

/// Methods that HTTP knows; whoever makes up others does not make labels.
fn known(method: &Method) -> &'static str {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ]
    .iter()
    .zip(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    .find_map(|(known, name)| (known == method).then_some(name))
    .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn requests_are_counted_by_what_is_bounded() {
        let figures = Figures::default();
        let took = Duration::from_millis(3);
        let route = Some("/api/v1/runs/{run}");
        figures.answered(route, &Method::GET, StatusCode::OK, took);
        figures.answered(route, &Method::GET, StatusCode::NOT_MODIFIED, took);
        let made_up = Method::from_bytes(b"BREW").unwrap();
        figures.answered(None, &made_up, StatusCode::NOT_FOUND, took);
        let mut registry = Registry::with_prefix("carillon");
        figures.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "carillon_http_requests_total{route=\"/api/v1/runs/{run}\",method=\"GET\",status=\"2xx\"} 1",
            "carillon_http_requests_total{route=\"/api/v1/runs/{run}\",method=\"GET\",status=\"3xx\"} 1",
            "carillon_http_requests_total{route=\"none\",method=\"other\",status=\"4xx\"} 1",
            "carillon_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/api/v1/runs/{run}\",method=\"GET\"} 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn exports_are_bounded() {
        let figures = Figures::default();
        let held: Vec<_> = (0..DOWNLOADS_MAX)
            .map(|_| figures.download().unwrap())
            .collect();
        assert_eq!(figures.download().unwrap_err().code, "busy");
        drop(held);
        assert!(figures.download().is_ok());
    }
}
