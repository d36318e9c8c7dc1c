//! Ends the calls of former lives of this node: reads their journals, sends from the addresses they
//! had, and removes the journals. What is sent, and when, [`Reaper`] decides.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;
use sip::ua::Transport;

use super::egress::Egress;
use super::journal::{LockError, StateLock, folder};
use super::sip::{Arrival, Resolver, SendFailure, SipIo};
use crate::core::journal::{OpenCall, read};
use crate::core::reap::{ReapConfig, Reaped, Reaper, Send};

/// Octets of one journal that are read; it is kept far below.
const JOURNAL_MAX: u64 = 1 << 30;
/// Connections to one address, where calls went over TCP.
const CONNECTIONS: usize = 64;

/// Why calls of a former life could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// A node lives in the directory, or it cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journals cannot be read.
    #[error("the journals of calls below {path} cannot be read: {source}")]
    Journals {
        /// Where they are.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What former lives left behind.
#[derive(Debug)]
pub struct Inheritance {
    files: Vec<PathBuf>,
    open: Vec<OpenCall>,
    egress: Egress,
}

impl Inheritance {
    /// Reads the journals of former lives; to be called under the directory's lock, before this
    /// life's are made.
    ///
    /// Errors: the folder cannot be read. A file that cannot is told in the log and left.
    pub fn of(state_dir: &Path) -> Result<Self, ReapError> {
        let path = folder(state_dir);
        let mut inheritance = Self {
            files: Vec::new(),
            open: Vec::new(),
            egress: Egress::new(&[]),
        };
        let journals = |source| ReapError::Journals {
            path: path.clone(),
            source,
        };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(inheritance),
            Err(error) => return Err(journals(error)),
        };
        let mut networks = Vec::new();
        for entry in entries {
            let file = entry.map_err(journals)?.path();
            match read_journal(&file) {
                Ok(octets) => {
                    let contents = read(&octets);
                    if contents.skipped > 0 {
                        let (path, skipped) = (file.display(), contents.skipped);
                        tracing::warn!(%path, skipped, "a journal of calls is not whole");
                    }
                    networks.extend(contents.networks);
                    inheritance.open.extend(contents.open);
                    inheritance.files.push(file);
                }
                Err(error) => {
                    tracing::error!(path = %file.display(), %error, "a journal cannot be read");
                }
            }
        }
        inheritance.egress = Egress::new(&networks);
        Ok(inheritance)
    }

    /// Calls that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Ends the calls and removes the journals. `hurry` resolving caps what is left of the patience:
    /// somebody waits for the ports. Must run on an actix thread.
    pub async fn settle(self, config: ReapConfig, hurry: impl Future<Output = Instant>) -> Reaped {
        let reaped = match self.open.is_empty() {
            true => Reaped::default(),
            false => end_calls(self.open, self.egress, config, hurry).await,
        };
        for file in self.files {
            if let Err(error) = fs::remove_file(&file) {
                tracing::warn!(path = %file.display(), %error, "an old journal stays");
            }
        }
        if reaped.open > 0 {
            tracing::warn!(?reaped, "calls of a former life are ended");
        }
        reaped
    }
}

/// Takes the lock of `state_dir` and ends the calls that its last process left open. Must run inside
/// an actix system.
///
/// Errors: see [`ReapError`].
pub async fn reap(state_dir: &Path, config: ReapConfig) -> Result<Reaped, ReapError> {
    let _lock = StateLock::take(state_dir)?;
    let inheritance = Inheritance::of(state_dir)?;
    Ok(inheritance.settle(config, std::future::pending()).await)
}

fn read_journal(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > JOURNAL_MAX {
        return Err(io::Error::other("it is larger than any journal"));
    }
    fs::read(path)
}

async fn end_calls(
    open: Vec<OpenCall>,
    egress: Egress,
    config: ReapConfig,
    hurry: impl Future<Output = Instant>,
) -> Reaped {
    let (io, mut arrivals) = SipIo::new(Arc::new(egress), Resolver::default());
    let mut reaper = Reaper::new(config, open, Instant::now());
    let ports = Ports::bind(&io, &reaper.locals());
    reaper.timeout(Instant::now());
    let mut hurry = std::pin::pin!(hurry);
    let mut hurried = false;
    loop {
        while let Some(send) = reaper.poll() {
            let call = send.call;
            if let Err(failure) = ports.send(&io, &send) {
                tracing::debug!(?call, ?failure, "the end of a call cannot be sent");
                call.into_iter().for_each(|call| reaper.failed(call));
            }
        }
        let Some(deadline) = reaper.next_deadline() else {
            break;
        };
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(Arrival::Message { local, message, from, transport }) => {
                    let local = ports.former(local);
                    reaper.message(Instant::now(), local, &message, from, transport);
                }
                Some(Arrival::Unreachable { to, .. }) => reaper.unreachable(to),
                None => break,
            },
            at = &mut hurry, if !hurried => {
                hurried = true;
                reaper.hurry(at);
            }
            () = tokio::time::sleep_until(deadline.into()) => reaper.timeout(Instant::now()),
        }
    }
    ports.release(&io);
    reaper.reaped()
}

/// The addresses of the former process, and what is bound in their place.
struct Ports(FxHashMap<SocketAddr, SocketAddr>);

impl Ports {
    /// Binds each; one that is taken is replaced by a free port of the same address, as most peers
    /// know a dialog by its tags alone.
    fn bind(io: &SipIo, locals: &[(SocketAddr, bool)]) -> Self {
        let mut ports = FxHashMap::default();
        for (local, tcp) in locals {
            let free = SocketAddr::new(local.ip(), 0);
            let bound = io
                .bind(*local, *tcp, 0, true)
                .or_else(|_| io.bind(free, *tcp, 0, true));
            match bound {
                Ok(bound) => {
                    ports.insert(*local, bound);
                }
                Err(error) => tracing::error!(%error, "calls of a former life stay as they are"),
            }
        }
        Self(ports)
    }

    fn send(&self, io: &SipIo, send: &Send) -> Result<(), SendFailure> {
        let Some(bound) = self.0.get(&send.local) else {
            return Err(SendFailure::Refused("its address is not ours".to_owned()));
        };
        let slot = match send.to.transport {
            Transport::Udp => u32::MAX,
            // A connection takes a bounded number of messages at once, so there are several.
            Transport::Tcp => {
                u32::try_from(send.call.unwrap_or(0) % CONNECTIONS).unwrap_or(u32::MAX)
            }
        };
        io.send(*bound, slot, &send.to, &send.bytes).map(drop)
    }

    /// The former process' address for one of ours.
    fn former(&self, bound: SocketAddr) -> SocketAddr {
        let found = self.0.iter().find(|(_, ours)| **ours == bound);
        found.map_or(bound, |(former, _)| *former)
    }

    fn release(&self, io: &SipIo) {
        for bound in self.0.values() {
            io.release(*bound);
        }
    }
}

#[cfg(test)]
mod tests;
