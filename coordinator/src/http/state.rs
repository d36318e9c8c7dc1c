//! What every handler is given: the coordinator, the objects, the bounds.

use std::sync::Arc;

use crate::handle::Handle;

use super::config::HttpConfig;
use super::streams::Streams;

/// The service behind the routes. Clones are the same one; handlers take it as
/// `web::Data<Service>`.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Handle,
    config: Arc<HttpConfig>,
    streams: Streams,
}

impl Service {
    /// Puts a service together; [`super::serve`] gives it its bounds.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let config = HttpConfig::default();
        Self {
            handle,
            streams: Streams::new(config.streams_max, config.streams_per_key),
            config: Arc::new(config),
        }
    }

    /// The same service within other bounds.
    pub(crate) fn within(mut self, config: HttpConfig) -> Self {
        self.streams = Streams::new(config.streams_max, config.streams_per_key);
        self.config = Arc::new(config);
        self
    }

    /// The coordinator.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The bounds.
    pub(crate) fn config(&self) -> &Arc<HttpConfig> {
        &self.config
    }

    /// Places for live streams.
    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }
}
