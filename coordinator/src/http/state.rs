//! What every handler is given: the coordinator, the objects, the records, the bounds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use shared::definition::Network;
use shared::id::KeyId;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};

use super::config::HttpConfig;
use super::limit::Buckets;
use super::problem::ApiError;
use super::streams::Streams;
use super::watch::Figures;
use crate::handle::{Handle, RequestError};
use crate::objects::Objects;
use crate::store::Control;

/// Bodies of CSV and WAV that are held at once.
const LARGE_BODIES_MAX: usize = 4;
/// How long `/readyz` shows an audit: each one reads the whole ledger.
const BOOKS_FRESH: Duration = Duration::from_secs(15);

/// The service behind the routes. Clones are the same one; handlers take it as
/// `web::Data<Service>`.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Handle,
    objects: Objects,
    control: Control,
    allow: Arc<[Network]>,
    bounds: Arc<Bounds>,
}

/// The bounds and what counts against them.
#[derive(Debug)]
struct Bounds {
    config: Arc<HttpConfig>,
    streams: Streams,
    keys: Buckets<KeyId>,
    failed: Buckets<IpAddr>,
    large: Semaphore,
    books: Mutex<Option<Books>>,
    figures: Figures,
    closing: watch::Sender<bool>,
}

/// What an audit found, and when.
#[derive(Debug)]
struct Books {
    at: Instant,
    broken: Result<String, RequestError>,
}

impl Bounds {
    fn new(config: HttpConfig) -> Self {
        Self {
            streams: Streams::new(config.streams_max, config.streams_per_key),
            keys: Buckets::new(
                f64::from(config.requests_per_second),
                f64::from(config.requests_burst),
            ),
            failed: Buckets::new(
                f64::from(config.failed_auth_per_minute) / 60.0,
                f64::from(config.failed_auth_per_minute),
            ),
            large: Semaphore::new(LARGE_BODIES_MAX),
            books: Mutex::default(),
            figures: Figures::default(),
            closing: watch::Sender::new(false),
            config: Arc::new(config),
        }
    }
}

impl Service {
    /// Puts a service together; [`super::serve`] gives it its bounds. `allow`: the networks that any
    /// test may send to besides loopback.
    pub(crate) fn new(
        handle: Handle,
        objects: Objects,
        control: Control,
        allow: Vec<Network>,
    ) -> Self {
        Self {
            handle,
            objects,
            control,
            allow: allow.into(),
            bounds: Arc::new(Bounds::new(HttpConfig::default())),
        }
    }

    /// The same service within other bounds.
    pub(crate) fn within(mut self, config: HttpConfig) -> Self {
        self.bounds = Arc::new(Bounds::new(config));
        self
    }

    /// The coordinator.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The objects.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The records and the runs in memory.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The networks that any test may send to besides loopback.
    pub(crate) fn allow(&self) -> &[Network] {
        &self.allow
    }

    /// The bounds.
    pub(crate) fn config(&self) -> &Arc<HttpConfig> {
        &self.bounds.config
    }

    /// What the service counts of itself.
    pub(crate) fn figures(&self) -> &Figures {
        &self.bounds.figures
    }

    /// Places for live streams.
    pub(crate) fn streams(&self) -> &Streams {
        &self.bounds.streams
    }

    /// True once the server is being stopped: live streams end then, as nothing else ends them.
    pub(crate) fn closing(&self) -> &watch::Sender<bool> {
        &self.bounds.closing
    }

    /// How often each key may ask.
    pub(crate) fn key_rate(&self) -> &Buckets<KeyId> {
        &self.bounds.keys
    }

    /// How often each address may be wrong.
    pub(crate) fn failed_rate(&self) -> &Buckets<IpAddr> {
        &self.bounds.failed
    }

    /// A place for a body of CSV or WAV. Errors: 503 where all are taken.
    pub(crate) fn large_body(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.bounds.large.try_acquire().map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                format!("{LARGE_BODIES_MAX} uploads are going on; try again"),
            )
            .retry_after(1)
        })
    }

    /// The invariants that do not hold, blank where all do; looked at again after [`BOOKS_FRESH`].
    pub(crate) async fn books(&self) -> Result<String, RequestError> {
        let mut books = self.bounds.books.lock().await;
        if let Some(known) = books.as_ref().filter(|b| b.at.elapsed() < BOOKS_FRESH) {
            return known.broken.clone();
        }
        let broken = self.handle.audit().await.map(|report| {
            let broken = report.invariants.iter().filter(|one| !one.holds);
            let names: Vec<&str> = broken.map(|one| one.name.as_str()).collect();
            names.join(", ")
        });
        *books = Some(Books {
            at: Instant::now(),
            broken: broken.clone(),
        });
        broken
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, crate::core::millis)
}
