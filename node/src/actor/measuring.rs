//! Measuring what this node carries: once, on a thread of its own, and never beside a run. A run that
//! comes meanwhile breaks it off; it is begun anew when the node is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Addr, Message};

use super::node::NodeActor;
use crate::net::media::measure;

/// What the node found out about itself: endpoints that its media engine carries; none where it was
/// broken off.
pub(super) struct Measured(pub(super) Option<u32>);

impl Message for Measured {
    type Result = ();
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Measuring {
    state: State,
    tries: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Wanted,
    UnderWay(Arc<AtomicBool>),
    Done(u32),
}

/// A machine on which it fails so often is not measured.
const TRIES_MAX: u32 = 5;

impl Measuring {
    /// Endpoints; 0: not measured.
    pub(super) fn endpoints(&self) -> u32 {
        match self.state {
            State::Done(endpoints) => endpoints,
            State::Wanted | State::UnderWay(_) => 0,
        }
    }

    /// A run comes: the machine is its own.
    pub(super) fn break_off(&self) {
        if let State::UnderWay(stop) = &self.state {
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn measured(&mut self, per_core: Option<u32>, threads: u32) {
        self.state = match per_core {
            Some(per_core) => State::Done(per_core.saturating_mul(threads)),
            None => State::Wanted,
        };
    }
}

impl NodeActor {
    /// Begins to measure, if that is to be done and nothing runs.
    pub(super) fn measure(&mut self, own: Addr<Self>) {
        let wanted = matches!(self.measuring.state, State::Wanted);
        if !wanted || !self.runs.is_empty() || self.measuring.tries >= TRIES_MAX {
            return;
        }
        self.measuring.tries += 1;
        let stop = Arc::new(AtomicBool::new(false));
        self.measuring.state = State::UnderWay(Arc::clone(&stop));
        let ports = self.config.media_ports.clone();
        tokio::task::spawn_blocking(move || {
            let per_core = measure::endpoints_per_core(&ports, &stop);
            own.do_send(Measured(per_core));
        });
    }

    pub(super) fn take_measure(&mut self, per_core: Option<u32>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.engine.threads().min(cores);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX);
        self.measuring.measured(per_core, threads);
    }
}
