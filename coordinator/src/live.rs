//! What watchers see of the runs in memory: the newest update, those that follow, the endpoints.
//!
//! Made for a thousand readers: an update is built once and shared, put into JSON at most once, and
//! kept in one small ring for all readers of a run. Nobody has a queue of his own, so a reader that
//! does not keep up costs nothing; he misses updates and is told how many. Reading never waits for
//! the coordinator's mailbox. Lists of endpoints of runs that ended stay in a cache of bounded size.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use shared::id::RunId;
use shared::result::LiveUpdate;
use tokio::sync::broadcast;

use crate::actor::BusCounts;
use crate::core::roster::Roster;

/// One update, shared by all who see it.
#[derive(Debug)]
pub(crate) struct Update {
    /// Counts a run's updates from 1 without a hole.
    pub(crate) number: u64,
    /// The update.
    pub(crate) live: LiveUpdate,
    text: OnceLock<Bytes>,
}

impl Update {
    /// Its text, which the first who asks makes for all. There is one form of text: the caller's.
    pub(crate) fn text(&self, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.text.get_or_init(|| make(self)).clone()
    }
}

/// What watchers see of a run. The writer's thread shows updates, so nothing is seen before it is
/// stored.
#[derive(Debug)]
pub(crate) struct Shown {
    /// How the run stands, for those who come later; none before the first move is stored.
    latest: Mutex<Option<Arc<Update>>>,
    updates: broadcast::Sender<Arc<Update>>,
    /// None once the run has ended and its list went into the cache.
    roster: Mutex<Option<Roster>>,
}

impl Shown {
    /// Nothing to be seen yet.
    pub(crate) fn new(roster: Roster) -> Self {
        Self {
            latest: Mutex::default(),
            updates: broadcast::Sender::new(UPDATES_KEPT),
            roster: Mutex::new(Some(roster)),
        }
    }

    /// How the run stands now, and each update after that; none twice, none left out between.
    pub(crate) fn watch(&self) -> (Option<Arc<Update>>, broadcast::Receiver<Arc<Update>>) {
        let latest = lock(&self.latest);
        (latest.clone(), self.updates.subscribe())
    }

    /// How the run stands now.
    pub(crate) fn latest(&self) -> Option<Arc<Update>> {
        lock(&self.latest).clone()
    }

    /// Shows an update to all who watch.
    pub(crate) fn show(&self, live: LiveUpdate) {
        let mut latest = lock(&self.latest);
        let number = latest.as_ref().map_or(0, |update| update.number);
        let update = Arc::new(Update {
            number: number.saturating_add(1),
            live,
            text: OnceLock::new(),
        });
        *latest = Some(Arc::clone(&update));
        // No receiver is no error: a run may go unwatched.
        let _ = self.updates.send(update);
    }

    /// Reads or changes the list of its endpoints; none once the run has ended. `action` has to be
    /// short: the coordinator waits for the same lock.
    pub(crate) fn with_roster<T>(&self, action: impl FnOnce(&mut Roster) -> T) -> Option<T> {
        lock(&self.roster).as_mut().map(action)
    }
}

/// Every run that is in the coordinator's memory: those that live and the newest that have ended.
#[derive(Debug, Default)]
pub(crate) struct Board {
    runs: RwLock<BTreeMap<RunId, Arc<Shown>>>,
    rosters: Mutex<Rosters>,
    /// Held while a list is read from storage.
    reading: Mutex<()>,
    bus: Mutex<BusCounts>,
}

/// Lists of endpoints of runs that ended.
#[derive(Debug, Default)]
struct Rosters {
    /// With the time of its last use.
    kept: BTreeMap<RunId, (u64, Arc<Roster>)>,
    clock: u64,
}

impl Board {
    /// Puts a run on the board.
    pub(crate) fn put(&self, run: RunId, shown: Arc<Shown>) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        runs.insert(run, shown);
    }

    /// Takes a run off it; who watches goes on watching.
    pub(crate) fn remove(&self, run: RunId) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        runs.remove(&run);
    }

    /// A run that is on it.
    pub(crate) fn get(&self, run: RunId) -> Option<Arc<Shown>> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.get(&run).cloned()
    }

    /// A run has ended: its list of endpoints will not change any more.
    pub(crate) fn retire(&self, run: RunId) {
        let Some(shown) = self.get(run) else {
            return;
        };
        // Held until it is in the cache, so that nobody finds it in neither.
        let mut roster = lock(&shown.roster);
        if let Some(roster) = roster.take() {
            self.keep_roster(run, Arc::new(roster));
        }
    }

    /// Keeps a list of endpoints for the next who asks, in the place of those not asked for longest.
    pub(crate) fn keep_roster(&self, run: RunId, roster: Arc<Roster>) {
        let mut rosters = lock(&self.rosters);
        rosters.kept.remove(&run);
        let mut rows: usize = rosters.kept.values().map(|(_, kept)| kept.len()).sum();
        while rows.saturating_add(roster.len()) > ROWS_CACHED_MAX {
            let oldest = rosters.kept.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(run, _)| *run) else {
                break;
            };
            if let Some((_, gone)) = rosters.kept.remove(&oldest) {
                rows -= gone.len();
            }
        }
        rosters.clock += 1;
        let now = rosters.clock;
        rosters.kept.insert(run, (now, roster));
    }

    /// The list of endpoints of a run that ended, where it is in the cache.
    pub(crate) fn kept_roster(&self, run: RunId) -> Option<Arc<Roster>> {
        let mut rosters = lock(&self.rosters);
        rosters.clock += 1;
        let now = rosters.clock;
        let (used, roster) = rosters.kept.get_mut(&run)?;
        *used = now;
        Some(Arc::clone(roster))
    }

    /// The run is no more.
    pub(crate) fn forget_roster(&self, run: RunId) {
        lock(&self.rosters).kept.remove(&run);
    }

    /// Held by who reads a list of endpoints from storage, so that it is read once for all who ask.
    pub(crate) fn reading(&self) -> MutexGuard<'_, ()> {
        lock(&self.reading)
    }

    /// What of nodes' messages was not taken since the start.
    pub(crate) fn count_bus(&self, counts: BusCounts) {
        *lock(&self.bus) = counts;
    }

    /// What [`Self::count_bus`] was told last.
    pub(crate) fn bus_counts(&self) -> BusCounts {
        *lock(&self.bus)
    }

    /// How each run stands that has been shown.
    pub(crate) fn latest(&self) -> Vec<Arc<Update>> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.values().filter_map(|shown| shown.latest()).collect()
    }
}

/// A run's live updates.
#[derive(Debug)]
pub struct LiveStream {
    current: Option<Arc<Update>>,
    updates: broadcast::Receiver<Arc<Update>>,
    ended: bool,
    missed: u64,
}

impl LiveStream {
    /// Watches a run from now on.
    pub(crate) fn new(shown: &Shown) -> Self {
        let (current, updates) = shown.watch();
        Self {
            current,
            updates,
            ended: false,
            missed: 0,
        }
    }

    /// The next update: at once how the run stands, then one a second and one at each change of
    /// status. None after the update with a terminal status.
    pub async fn next(&mut self) -> Option<LiveUpdate> {
        self.next_shared().await.map(|update| update.live.clone())
    }

    /// As [`Self::next`], without a copy.
    pub(crate) async fn next_shared(&mut self) -> Option<Arc<Update>> {
        if self.ended {
            return None;
        }
        let update = match self.current.take() {
            Some(update) => update,
            None => self.wait().await?,
        };
        self.ended = update.live.status.is_terminal();
        Some(update)
    }

    /// Updates that are here already, after the one that [`Self::next_shared`] gave.
    ///
    /// Bounds: at most [`UPDATES_KEPT`].
    pub(crate) fn ready(&mut self) -> Vec<Arc<Update>> {
        let mut ready = Vec::new();
        while !self.ended {
            match self.updates.try_recv() {
                Ok(update) => {
                    self.ended = update.live.status.is_terminal();
                    ready.push(update);
                }
                Err(broadcast::error::TryRecvError::Lagged(count)) => self.missed += count,
                Err(
                    broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed,
                ) => break,
            }
        }
        ready
    }

    /// True after the update with a terminal status.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Updates that a slow reader missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    async fn wait(&mut self) -> Option<Arc<Update>> {
        loop {
            match self.updates.recv().await {
                Ok(update) => return Some(update),
                Err(broadcast::error::RecvError::Lagged(count)) => self.missed += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Updates of a run that are kept for all its readers: half a minute.
const UPDATES_KEPT: usize = 32;
/// Endpoints of ended runs in the cache, about 100 octets each; one larger run alone may exceed it.
const ROWS_CACHED_MAX: usize = 400_000;

#[cfg(test)]
mod tests;
