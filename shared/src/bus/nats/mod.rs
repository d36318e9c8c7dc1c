//! The bus over NATS: core subjects only, so any server from 2.9 on serves (DESIGN 9).
//!
//! A thread of its own holds the connection, so that neither a busy actor nor a slow disk delays a
//! ping. Each connection has a runtime and a client of its own, which end with it: what a broken
//! connection still had in its queues is thrown away and counted, never delivered late. Between
//! connections `publish` refuses at once. Never: decides what is sent again; that is its users'.

mod config;
mod counts;
mod outbox;
mod parts;
mod session;

pub use config::{BusError, NatsConfig};
pub use counts::NatsCounts;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::subscription::{Queue, Subscription};
use super::{Bus, Published};
use counts::Counters;
use outbox::Outbox;

/// A bus over NATS. Ends, with its subscriptions, when it is dropped.
#[derive(Debug)]
pub struct NatsBus {
    shared: Arc<Shared>,
}

/// How the connection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsState {
    /// There is one, and everything that is listened to is known to the server.
    pub connected: bool,
    /// How many there have been.
    pub connections: u64,
    /// Where the last one led to, as `host:port`; blank before the first.
    pub server: String,
    /// What went wrong last, for people; none where all is well.
    pub trouble: Option<String>,
}

/// What the users' threads and the connection's have in common.
#[derive(Debug, Default)]
struct Shared {
    outbox: Outbox,
    listeners: Mutex<Listeners>,
    state: Mutex<NatsState>,
    counters: Counters,
    closing: watch::Sender<bool>,
    /// The connection has held for a while.
    settled: AtomicBool,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    all: Vec<Listener>,
}

#[derive(Clone, Debug)]
struct Listener {
    number: u64,
    pattern: String,
    queue: Arc<Queue>,
}

impl NatsBus {
    /// Sets the bus up and connects in the background, again and again.
    ///
    /// Errors: faults of the configuration. A server that is down is none: see [`Self::state`].
    pub fn connect(config: NatsConfig) -> Result<Arc<Self>, BusError> {
        config.target()?;
        if config.is_open_to_others() {
            tracing::warn!(url = %config.url, "the bus is not encrypted: whoever is between reads along; use tls://");
        }
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("nats".to_owned())
            .spawn(move || session::keep(&own, &config))
            .map_err(|error| BusError::Thread(error.to_string()))?;
        Ok(Arc::new(Self { shared }))
    }

    /// How the connection stands.
    #[must_use]
    pub fn state(&self) -> NatsState {
        self.shared.state().clone()
    }

    /// Connections after the first.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.shared.state().connections.saturating_sub(1)
    }

    /// What was published, heard, refused and lost since the start.
    #[must_use]
    pub fn counts(&self) -> NatsCounts {
        self.shared.counters.read()
    }

    /// Waits until what was published is written to the connection; false where that was not within
    /// the time, or there is no connection. Blocks: for a program's end.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.shared.outbox.wait_written(within)
    }
}

impl Bus for NatsBus {
    /// `delivered` is 1 where the message goes to the server, whoever hears it there.
    fn publish(&self, subject: &str, payload: Bytes) -> Published {
        if self.shared.outbox.push(subject, payload) {
            return Published {
                delivered: 1,
                refused: 0,
            };
        }
        self.shared.counters.refused(1);
        Published {
            delivered: 0,
            refused: 1,
        }
    }

    fn subscribe(&self, pattern: &str, capacity: usize) -> Subscription {
        let (queue, subscription) = Queue::new(capacity);
        {
            let mut listeners = self.shared.listeners();
            listeners.all.retain(|listener| !listener.queue.is_closed());
            let number = listeners.next;
            listeners.next += 1;
            listeners.all.push(Listener {
                number,
                pattern: pattern.to_owned(),
                queue,
            });
        }
        self.shared.outbox.work.notify_one();
        subscription
    }

    fn is_connected(&self) -> bool {
        self.shared.state().connected
    }

    fn connections(&self) -> u64 {
        self.shared.state().connections
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, NatsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Nothing more will come.
    fn close(&self) {
        for listener in self.listeners().all.drain(..) {
            listener.queue.close();
        }
    }
}

/// A new user nkey: its seed, which the user keeps, and its public key, which the server is told.
///
/// Errors: in words, where the system has no randomness.
pub fn make_nkey() -> Result<(String, String), String> {
    let pair = nkeys::KeyPair::new_user();
    let seed = pair.seed().map_err(|error| error.to_string())?;
    Ok((seed, pair.public_key()))
}
