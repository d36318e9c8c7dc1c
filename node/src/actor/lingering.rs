//! Runs that are over here and still listen. The answer to the last BYE may have been lost; whoever sent
//! it, on another node or behind a proxy, sends it again until somebody answers (RFC 3261 §17.2.2,
//! Timer J). What comes is answered by the run's [`ShardRun::deliver`], which knows nobody any more.
//!
//! [`ShardRun::deliver`]: super::shard_run::ShardRun::deliver

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use tokio::task::JoinHandle;

use super::shard_run::Run;

/// Runs that linger on a shard; beyond these the oldest goes at once.
const RUNS_MAX: usize = 16;
/// Sockets that a run may keep for it. One with a socket for each endpoint keeps none: the next run
/// needs them.
const SOCKETS_MAX: usize = 16;

/// The lingering runs of one shard, oldest first.
#[derive(Default)]
pub(super) struct Lingering(VecDeque<Late>);

struct Late {
    run: Run,
    listener: JoinHandle<()>,
    ports: Vec<SocketAddr>,
    until: Instant,
}

impl Lingering {
    /// A run is over. Its sockets close at once where no call of it ended a moment ago; those at
    /// ports that the test asks for close in any case, as the next run may ask for them.
    ///
    /// `ports`: as they were bound, one for each endpoint.
    pub(super) fn keep(&mut self, run: Run, listener: JoinHandle<()>, ports: Vec<SocketAddr>) {
        let (asked, free): (Vec<SocketAddr>, Vec<SocketAddr>) = ports
            .into_iter()
            .partition(|port| run.plan.asks_for(port.port()));
        for port in asked {
            run.io.release(port);
        }
        let sockets = free.iter().collect::<BTreeSet<_>>().len();
        let until = run.demux.borrow().lingers_until();
        let late = Late {
            until: until.unwrap_or_else(Instant::now),
            run,
            listener,
            ports: free,
        };
        if sockets == 0 || sockets > SOCKETS_MAX || !late.is_on() {
            return;
        }
        late.run.is_over.set(true);
        if self.0.len() >= RUNS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(late);
    }

    /// Closes what has lingered for long enough, or must be silent.
    pub(super) fn tidy(&mut self) {
        self.0.retain(Late::is_on);
    }
}

impl Late {
    fn is_on(&self) -> bool {
        Instant::now() < self.until && self.run.is_permitted()
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.listener.abort();
        for port in self.ports.drain(..) {
            self.run.io.release(port);
        }
    }
}
