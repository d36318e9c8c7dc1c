//! Starts and stops the media threads.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::beats::Beat;
use crate::net::media::clock::Epoch;
use crate::net::media::report::MediaReport;
use crate::net::media::reserve::Binder;
use crate::net::media::shard::{COMMANDS_MAX, ShardMedia};
use crate::net::media::worker::Worker;

/// How the engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Media threads; at least 1. One a core is right.
    pub threads: usize,
    /// Ports for RTP and RTCP, for each local address.
    pub ports: RangeInclusive<u16>,
    /// Keep thread *i* on the *i*-th core that this process may use.
    pub pin: bool,
    /// Receive and send buffer of each shared socket. Its packets are read every millisecond, so
    /// this is what a thread can be late without loss: 16 MiB hold some 20,000 packets.
    pub shared_buffer_octets: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            ports: 10_000..=59_999,
            pin: false,
            shared_buffer_octets: 16 << 20,
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system gave no thread.
    #[error("cannot start media thread {thread}: {source}")]
    Thread {
        /// Which.
        thread: usize,
        /// What it said.
        source: std::io::Error,
    },
}

/// The running media threads. Dropping it stops them.
pub struct Engine {
    shards: Vec<ShardMedia>,
    beats: Vec<Beat>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    epoch: Epoch,
}

/// Reports that may wait for the node: some seconds of reports and the ends of all streams of a
/// large run. What does not fit is counted in [`super::MediaSecond::refused_reports`]; ends wait
/// in the thread instead.
const REPORTS_MAX: usize = 32_768;

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`EngineError`]; threads that had started are stopped again.
    pub fn start(config: EngineConfig) -> Result<(Self, Receiver<MediaReport>), EngineError> {
        let (reports, receiver) = bounded(REPORTS_MAX);
        let epoch = Epoch::now();
        let mut engine = Self {
            shards: Vec::new(),
            beats: Vec::new(),
            threads: Vec::new(),
            stop: Arc::default(),
            epoch,
        };
        // Random keys of the standard library's hasher: another order in each process.
        let seed = RandomState::new().build_hasher().finish();
        let binder = Binder::new(config.ports.clone(), seed);
        for thread in 0..config.threads.max(1) {
            engine.spawn(thread, &config, epoch, &binder, &reports)?;
        }
        Ok((engine, receiver))
    }

    fn spawn(
        &mut self,
        thread: usize,
        config: &EngineConfig,
        epoch: Epoch,
        binder: &Binder,
        reports: &Sender<MediaReport>,
    ) -> Result<(), EngineError> {
        let (commands, inbox) = bounded(COMMANDS_MAX);
        let stop = Arc::clone(&self.stop);
        let reports = reports.clone();
        let pin = config.pin;
        let beat = Beat::default();
        self.beats.push(beat.clone());
        let handle = std::thread::Builder::new()
            .name(format!("media-{thread}"))
            .spawn(move || {
                prepare_thread(thread, pin);
                Worker::new(thread, epoch, inbox, reports).run(&stop, &beat);
            })
            .map_err(|source| EngineError::Thread { thread, source })?;
        self.threads.push(handle);
        self.shards.push(ShardMedia::new(
            thread,
            commands,
            binder.clone(),
            config.shared_buffer_octets,
        ));
        Ok(())
    }

    /// The handle of thread `index mod threads`: both ends of a call should use the same.
    /// None only where the engine has no thread, which `start` does not let happen.
    #[must_use]
    pub fn shard(&self, index: usize) -> Option<ShardMedia> {
        self.shards.get(index % self.shards.len().max(1)).cloned()
    }

    /// Thread `index`'s sign of life; none where there is no such thread.
    #[must_use]
    pub fn beat(&self, index: usize) -> Option<Beat> {
        self.beats.get(index).cloned()
    }

    /// When engine second 0 began.
    #[must_use]
    pub fn epoch(&self) -> Instant {
        self.epoch.instant(self.epoch.mono_ns())
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.shards.len()
    }

    /// Ends all streams with BYE and `Ended`, then the threads. Waits some milliseconds.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a media thread panicked");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a thread could not have only makes it less exact, which the lateness shows: so it is told,
/// not fatal.
fn prepare_thread(thread: usize, pin: bool) {
    if let Err(errno) = super::sys::sharpen_timers() {
        tracing::warn!(%errno, "timers of a media thread stay up to 50 µs late");
    }
    // Without the privilege, signalling and media share the cores as equals.
    if let Err(errno) = super::sys::prefer_this_thread() {
        tracing::debug!(%errno, "media threads have no precedence");
    }
    if pin && let Err(errno) = pin_to_core(thread) {
        tracing::warn!(%errno, thread, "a media thread could not be kept on one core");
    }
}

fn pin_to_core(thread: usize) -> Result<(), nix::errno::Errno> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread)?;
    let cores: Vec<usize> = (0..CpuSet::count())
        .filter(|core| allowed.is_set(*core).unwrap_or(false))
        .collect();
    let Some(core) = cores.get(thread % cores.len().max(1)) else {
        return Ok(());
    };
    let mut one = CpuSet::new();
    one.set(*core)?;
    sched_setaffinity(this_thread, &one)
}
