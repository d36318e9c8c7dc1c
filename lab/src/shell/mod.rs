//! Threads and sockets: turns datagrams and time into inputs of the cores and performs outputs.
//!
//! One signalling thread, the configured number of relay threads, one thread for the packet log.

mod clock;
mod datagram;
mod log;
mod ports;
mod relay;
mod sip;
mod tcp;
mod wake;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::{LabConfig, RelayConfig};
use crate::core::proxy::Proxy;
use crate::core::relay::Relay;
use crate::error::LabError;
use crate::stats::LabStats;

use self::log::Log;
use self::ports::PortPool;
use self::relay::{Command, RelayCounts, RelayShell};
use self::sip::{Ask, SipShell};
use self::tcp::Tcp;
use self::wake::{Link, Waiter, inbox};

/// Starts labs.
#[derive(Debug)]
pub struct Lab;

impl Lab {
    /// Starts a lab on its own threads; it serves when this returns.
    ///
    /// Errors: [`LabError::Config`] with every problem of the configuration; `Bind`, `Log` or
    /// `System` where the system refuses.
    pub fn start(config: LabConfig) -> Result<LabHandle, LabError> {
        config.check()?;
        let now = Instant::now();
        let (udp, listener) = listen(config.bind, config.tcp)?;
        let address = udp.local_addr()?;
        let (link, asks) = inbox(INBOX)?;
        let waiter = Waiter::new(&link)?;
        waiter.add(&udp, sip::UDP)?;
        let mut handle = LabHandle {
            address,
            sip: link,
            relays: Vec::new(),
            threads: Vec::new(),
            log_thread: None,
            log_lost: Arc::new(AtomicU64::new(0)),
        };
        let mut pool = None;
        if let Some(relay) = &config.relay {
            raise_descriptor_limit();
            handle.start_relays(relay, config.seed, now)?;
            pool = Some(PortPool::new(address.ip(), &relay.ports));
        }
        let shell = SipShell {
            tcp: Tcp::new(listener, &waiter)?,
            udp,
            waiter,
            inbox: asks,
            proxy: Proxy::new(now, config, address, secret()),
            relays: handle.relays.clone(),
            ports: pool,
            in_use: HashMap::new(),
        };
        handle.spawn("lab-sip", move || shell.run())?;
        Ok(handle)
    }
}

/// A running lab. Dropping it stops the lab, closes its sockets and waits for its threads.
#[derive(Debug)]
pub struct LabHandle {
    address: SocketAddr,
    sip: Link<Ask>,
    relays: Vec<Link<Command>>,
    threads: Vec<JoinHandle<()>>,
    log_thread: Option<JoinHandle<()>>,
    log_lost: Arc<AtomicU64>,
}

impl LabHandle {
    /// Where SIP is received, with the port that was taken.
    pub fn sip_addr(&self) -> SocketAddr {
        self.address
    }

    /// What has been counted so far. A thread that does not answer within a second counts nothing.
    pub fn stats(&self) -> LabStats {
        let sip = question(|reply| self.sip.send(Ask::Stats(reply))).unwrap_or_default();
        let mut stats = LabStats {
            sip,
            log_lines_lost: self.log_lost.load(Ordering::Relaxed),
            ..LabStats::default()
        };
        let mut calls = Vec::new();
        for relay in &self.relays {
            let counts: RelayCounts =
                question(|reply| relay.send(Command::Stats(reply))).unwrap_or_default();
            calls.extend(counts.calls);
            stats.media_total.add(&counts.total);
            stats.relay_send_errors += counts.send_errors;
        }
        calls.sort_by_key(|(id, _)| *id);
        stats.calls = calls.into_iter().map(|(_, call)| call).collect();
        stats
    }

    /// Stops the lab and gives its final count.
    pub fn shutdown(mut self) -> LabStats {
        let stats = self.stats();
        self.stop();
        stats
    }

    fn stop(&mut self) {
        // A thread that is gone already needs no message.
        let _ = self.sip.send(Ask::Stop);
        for relay in self.relays.drain(..) {
            let _ = relay.send(Command::Stop);
        }
        for thread in self.threads.drain(..).chain(self.log_thread.take()) {
            if thread.join().is_err() {
                tracing::error!("a lab thread has panicked");
            }
        }
    }

    fn start_relays(
        &mut self,
        config: &RelayConfig,
        seed: u64,
        now: Instant,
    ) -> Result<(), LabError> {
        let log = match &config.log {
            None => None,
            Some(path) => {
                let (log, lost, thread) = log::open(path, now).map_err(|source| LabError::Log {
                    path: path.clone(),
                    source,
                })?;
                self.log_lost = lost;
                self.log_thread = Some(thread);
                Some(log)
            }
        };
        for _ in 0..config.threads {
            self.start_relay(Relay::new(config.clone(), seed), log.clone(), now)?;
        }
        Ok(())
    }

    fn start_relay(&mut self, relay: Relay, log: Option<Log>, now: Instant) -> io::Result<()> {
        let (link, commands) = inbox(INBOX)?;
        let waiter = Waiter::new(&link)?;
        let shell = RelayShell::new(waiter, commands, self.sip.clone(), log, relay, now);
        self.relays.push(link);
        self.spawn("lab-relay", move || shell.run())
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)?,
        );
        Ok(())
    }
}

impl Drop for LabHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

fn question<T>(ask: impl FnOnce(SyncSender<T>) -> bool) -> Option<T> {
    let (reply, answer) = sync_channel(1);
    if !ask(reply) {
        return None;
    }
    answer.recv_timeout(PATIENCE).ok()
}

/// UDP, and TCP on the same port where it is wanted.
fn listen(bind: SocketAddr, tcp: bool) -> Result<(UdpSocket, Option<TcpListener>), LabError> {
    let bind_error = |source| LabError::Bind {
        address: bind,
        source,
    };
    let mut tries = if bind.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let udp = sip::bind_udp(bind).map_err(bind_error)?;
        if !tcp {
            return Ok((udp, None));
        }
        tries -= 1;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok((udp, Some(listener)));
            }
            // The system's free UDP port may be a taken TCP port.
            Err(_) if tries > 0 => {}
            Err(source) => return Err(bind_error(source)),
        }
    }
}

/// Takes all file descriptors that the system allows; a call takes four.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// A secret that no peer can guess and no two labs share: the standard library's hash keys.
fn secret() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Messages under way to one thread.
const INBOX: usize = 16_384;
/// How long a count is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Attempts to find one port for both transports.
const PORT_TRIES: u32 = 20;

#[cfg(test)]
mod tests;
