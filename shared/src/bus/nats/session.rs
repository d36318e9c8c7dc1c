//! One connection after the other: connect, listen, write, until it breaks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, ServerError, Subscriber};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};

use super::config::{NatsConfig, Target};
use super::parts::{Cutter, Joiner, Taken};
use super::{Listener, Shared};
use crate::bus::{BusMessage, Offered};

/// Why a connection, or the attempt to make one, ended.
enum End {
    /// The bus is dropped.
    Closed,
    /// In words for people.
    Trouble(String),
}

/// Keeps a connection until the bus is dropped. Runs on a thread of its own.
pub(super) fn keep(shared: &Arc<Shared>, config: &NatsConfig) {
    let mut failures = 0u32;
    while !shared.is_closing() {
        // A runtime for each connection: with it end the client's own tasks and queues.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let before = shared.state().connections;
        shared.settled.store(false, Ordering::Relaxed);
        let end = match &runtime {
            Ok(runtime) => runtime.block_on(attempt(shared, config, pause(failures))),
            Err(error) => End::Trouble(format!("no runtime for the bus: {error}")),
        };
        let lost = shared.outbox.shut();
        shared.counters.lost(lost);
        if let Ok(runtime) = runtime {
            runtime.shutdown_background();
        } else {
            std::thread::sleep(pause(failures.max(1)));
        }
        let had_connection = shared.state().connections > before;
        // A connection that breaks at once, again and again, is no better than none.
        failures = if shared.settled.load(Ordering::Relaxed) {
            1
        } else {
            failures.saturating_add(1)
        };
        if let End::Trouble(why) = end {
            troubled(shared, why, had_connection, failures, lost);
        }
    }
    shared.state().connected = false;
    shared.close();
}

/// Notes what went wrong; says it once for each new reason and now and then.
fn troubled(shared: &Shared, why: String, had_connection: bool, failures: u32, lost: u64) {
    let is_new = {
        let mut state = shared.state();
        state.connected = false;
        let is_new = state.trouble.as_ref() != Some(&why);
        state.trouble = Some(why.clone());
        is_new
    };
    if had_connection {
        tracing::warn!(lost, "the bus has lost its connection: {why}");
        return;
    }
    shared.counters.failed_attempts(1);
    if is_new || failures.is_multiple_of(TELL_EVERY) {
        tracing::warn!(
            attempts = failures,
            "the bus is not connected and keeps trying: {why}"
        );
    }
}

/// How long to wait before the next attempt: doubling from 100 ms to 0.5 s, less up to a half by
/// chance, so that many nodes do not come at once.
fn pause(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let full = (PAUSE_FIRST_MS << (failures - 1).min(8)).min(PAUSE_MAX_MS);
    let chance = random() % (full / 2).max(1);
    Duration::from_millis(full - chance)
}

fn random() -> u64 {
    let mut octets = [0; 8];
    // Without randomness all wait equally long, and parts are told apart by less.
    let _ = getrandom::fill(&mut octets);
    u64::from_le_bytes(octets)
}

/// One connection, from the attempt to its end.
async fn attempt(shared: &Arc<Shared>, config: &NatsConfig, pause: Duration) -> End {
    let mut closing = shared.closing.subscribe();
    let work = async {
        sleep(pause).await;
        match config.target() {
            Ok(target) => connected(shared, target).await,
            Err(error) => Err(error.to_string()),
        }
    };
    tokio::select! {
        end = work => match end {
            Ok(()) => End::Closed,
            Err(why) => End::Trouble(why),
        },
        _ = closing.wait_for(|closing| *closing) => End::Closed,
    }
}

/// Connects and works until the connection breaks, with the reason.
async fn connected(shared: &Arc<Shared>, target: Target) -> Result<(), String> {
    let Target { servers, options } = target;
    let names: Vec<String> = servers
        .iter()
        .map(|server| format!("{}:{}", server.host(), server.port()))
        .collect();
    let broken = Arc::new(Notify::new());
    let was_connected = Arc::new(AtomicBool::new(false));
    let events = {
        let (shared, broken) = (Arc::clone(shared), Arc::clone(&broken));
        let has_others = servers.len() > 1;
        move |event| {
            on_event(&shared, &broken, has_others, &event);
            std::future::ready(())
        }
    };
    let delay = {
        let was_connected = Arc::clone(&was_connected);
        // The client must not come back by itself with what was in its queues: we make a new one.
        move |_| {
            if was_connected.load(Ordering::Relaxed) {
                NEVER
            } else {
                Duration::ZERO
            }
        }
    };
    let client = options
        .event_callback(events)
        .reconnect_delay_callback(delay)
        .connect(servers)
        .await
        .map_err(|error| format!("{}: {}", names.join(", "), sentence(&error)))?;
    was_connected.store(true, Ordering::Relaxed);
    let mut link = Link {
        cutter: Cutter::new(random()),
        client,
        listened: BTreeSet::new(),
        looks: 0,
    };
    link.listen(shared).await?;
    match timeout(GREETING, link.client.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("the server does not take what is written".to_owned()),
    }
    shared.outbox.open();
    came_up(shared, &link.client, &names);
    tokio::select! {
        () = broken.notified() => Err("the connection broke".to_owned()),
        why = link.pump(shared) => Err(why),
    }
}

fn came_up(shared: &Shared, client: &Client, names: &[String]) {
    let info = client.server_info();
    let server = match names {
        [one] => one.clone(),
        _ => format!("{}:{}", info.host, info.port),
    };
    let connections = {
        let mut state = shared.state();
        state.connected = true;
        state.connections += 1;
        state.server.clone_from(&server);
        state.trouble = None;
        state.connections
    };
    tracing::info!(%server, version = %info.version, max_payload = info.max_payload, connections, "the bus is connected");
}

/// Why an attempt failed, in words that help.
fn sentence(error: &async_nats::ConnectError) -> String {
    use async_nats::ConnectErrorKind as Kind;
    match error.kind() {
        Kind::AuthorizationViolation => {
            "the server refuses who we say we are: see user, password, nkey or credentials here and in the server's configuration".to_owned()
        }
        Kind::Authentication => "the server asks for a proof of who we are that we do not have".to_owned(),
        Kind::TimedOut => "the server does not answer in time".to_owned(),
        _ => error.to_string(),
    }
}

fn on_event(shared: &Shared, broken: &Notify, has_others: bool, event: &Event) {
    match event {
        Event::Disconnected | Event::Closed => broken.notify_one(),
        Event::LameDuckMode => {
            tracing::warn!("the server of the bus is about to go down");
            if has_others {
                broken.notify_one();
            }
        }
        Event::SlowConsumer(_) => {
            let before = shared.counters.overflow(1);
            if is_told(before) {
                tracing::warn!(dropped = before + 1, "the bus brings more than is read");
            }
        }
        Event::ServerError(ServerError::Other(why)) if why.contains("ermissions") => {
            let before = shared.counters.denied(1);
            if is_told(before) {
                tracing::error!(
                    times = before + 1,
                    "the server of the bus does not allow it: {why}"
                );
            }
            shared.state().trouble = Some(format!("the server does not allow it: {why}"));
        }
        Event::ServerError(error) => {
            tracing::warn!("the server of the bus says: {error}");
        }
        Event::ClientError(error) => tracing::debug!("the client of the bus says: {error}"),
        Event::Connected | Event::Draining => {}
    }
}

/// The first, the second, the fourth, …: often enough to be seen, too seldom to fill a disk.
fn is_told(before: u64) -> bool {
    (before + 1).is_power_of_two()
}

/// A connection that is up.
struct Link {
    client: Client,
    cutter: Cutter,
    /// Numbers of the listeners that the server knows.
    listened: BTreeSet<u64>,
    /// How often the state was looked at.
    looks: u32,
}

impl Link {
    /// Tells the server what is listened to and was not yet told.
    async fn listen(&mut self, shared: &Arc<Shared>) -> Result<(), String> {
        let fresh: Vec<Listener> = {
            let listeners = shared.listeners();
            let all = listeners.all.iter();
            all.filter(|listener| !self.listened.contains(&listener.number))
                .cloned()
                .collect()
        };
        for listener in fresh {
            self.listened.insert(listener.number);
            match self.client.subscribe(listener.pattern.clone()).await {
                Ok(subscriber) => {
                    tokio::spawn(hear(subscriber, listener, Arc::clone(shared)));
                }
                Err(error) if self.is_up() => {
                    tracing::error!(pattern = %listener.pattern, %error, "cannot be listened to");
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Writes what is published, until it cannot, with the reason.
    async fn pump(&mut self, shared: &Arc<Shared>) -> String {
        let mut look = interval(LOOK);
        loop {
            // Taken first: whoever subscribed before he published hears himself.
            let batch = shared.outbox.take();
            if let Err(why) = self.listen(shared).await {
                return why;
            }
            if batch.is_empty() {
                tokio::select! {
                    () = shared.outbox.work.notified() => {}
                    _ = look.tick() => {
                        if !self.is_up() {
                            return "the connection broke".to_owned();
                        }
                        self.looks = self.looks.saturating_add(1);
                        if self.looks > SETTLED_AFTER {
                            shared.settled.store(true, Ordering::Relaxed);
                        }
                    },
                }
                continue;
            }
            let mut published = 0;
            for message in batch {
                let large = message.payload.len() > self.client.max_payload();
                let parts = if large {
                    self.cutter.cut(&message.payload, self.client.max_payload())
                } else {
                    vec![message.payload]
                };
                if parts.is_empty() || (large && !message.subject.starts_with(CUT_BELOW)) {
                    let before = shared.counters.refused(1);
                    if is_told(before) {
                        tracing::error!(subject = %message.subject, "a message is larger than the server lets through");
                    }
                    continue;
                }
                for part in parts {
                    if let Err(error) = self.client.publish(message.subject.clone(), part).await {
                        if !self.is_up() {
                            return error.to_string();
                        }
                        shared.counters.refused(1);
                        tracing::error!(subject = %message.subject, %error, "cannot be published");
                        break;
                    }
                }
                published += 1;
            }
            if let Err(error) = self.client.flush().await {
                return error.to_string();
            }
            shared.counters.published(published);
            shared.outbox.written();
        }
    }

    fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

/// Puts what is heard on one pattern into its queue.
async fn hear(mut subscriber: Subscriber, listener: Listener, shared: Arc<Shared>) {
    let mut joiner = Joiner::default();
    let mut tick = interval(TICK);
    loop {
        let message = tokio::select! {
            message = subscriber.next() => message,
            _ = tick.tick() => {
                joiner.tick();
                shared.counters.incomplete(joiner.take_lost());
                if listener.queue.is_closed() {
                    return;
                }
                continue;
            }
        };
        let Some(message) = message else {
            break;
        };
        let subject = message.subject.to_string();
        let taken = if subject.starts_with(CUT_BELOW) {
            joiner.take(&subject, message.payload)
        } else {
            Taken::Whole(message.payload)
        };
        shared.counters.incomplete(joiner.take_lost());
        let Taken::Whole(payload) = taken else {
            continue;
        };
        match listener.queue.offer(BusMessage { subject, payload }) {
            Offered::Taken => {
                shared.counters.received(1);
            }
            Offered::Refused => {
                shared.counters.overflow(1);
            }
            Offered::Gone => return,
        }
    }
    shared.counters.incomplete(joiner.waiting());
}

/// Messages below this are cut where they are too large; others go to subscribers who could not join
/// them.
const CUT_BELOW: &str = "carillon.internal.";
const PAUSE_FIRST_MS: u64 = 100;
/// A lease lasts ten seconds: a server that is up for a second is to be found in it by all.
const PAUSE_MAX_MS: u64 = 500;
/// Failed attempts between two log lines of the same reason: about half a minute.
const TELL_EVERY: u32 = 64;
/// How long the first write may take.
const GREETING: Duration = Duration::from_secs(3);
/// How often the state is looked at where no event told of its change.
const LOOK: Duration = Duration::from_millis(500);
/// Looks after which a connection counts as one that holds: two seconds.
const SETTLED_AFTER: u32 = 4;
/// A large message that does not grow for two of these is given up.
const TICK: Duration = Duration::from_secs(5);
/// Longer than any connection's runtime lives on after its end.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
