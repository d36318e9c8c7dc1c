//! One call at the relay: its media lines, their targets and paths, its counts.

use std::net::SocketAddr;
use std::time::Instant;

use crate::config::Impairment;
use crate::stats::{CallMedia, Direction};

use super::super::impair::{Path, Verdict};
use super::super::random::hash;
use super::super::sdp::MAX_MEDIA_LINES;
use super::held::Swapping;
use super::port::{Port, Side, Target};

/// A call.
#[derive(Debug)]
pub(super) struct Session {
    call_id: String,
    pub(super) lines: Vec<Line>,
    /// By the end that the packets come from.
    pub(super) counts: [Direction; 2],
    /// When something arrived last, or a target changed.
    pub(super) last_packet: Instant,
}

/// A media line; every pair is by the end that the packets come from.
#[derive(Debug)]
pub(super) struct Line {
    targets: [Target; 2],
    pub(super) paths: [Path; 2],
    // Apart, so that reports do not shift the draws of the media.
    rtcp_paths: [Path; 2],
    pub(super) swapping: [Option<Swapping>; 2],
    /// How many swaps there were.
    pub(super) swaps: u64,
}

impl Session {
    /// A call without media lines.
    pub(super) fn new(now: Instant, call_id: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            lines: Vec::new(),
            counts: [Direction::default(); 2],
            last_packet: now,
        }
    }

    /// Sets where the end `port.side` of a media line wants its packets.
    pub(super) fn set_target(&mut self, port: Port, target: Target, impair: Impairment, seed: u64) {
        let index = usize::from(port.line);
        while self.lines.len() <= index && self.lines.len() < MAX_MEDIA_LINES {
            let line = Line::new(&self.call_id, self.lines.len() as u8, impair, seed);
            self.lines.push(line);
        }
        if let Some(line) = self.lines.get_mut(index) {
            line.targets[port.side.index()] = target;
        }
    }

    /// The counts, for people.
    pub(super) fn media(&self, ended: bool) -> CallMedia {
        let [to_callee, to_caller] = self.counts;
        CallMedia {
            call_id: self.call_id.clone(),
            ended,
            to_callee,
            to_caller,
        }
    }
}

impl Line {
    fn new(call_id: &str, number: u8, impair: Impairment, seed: u64) -> Self {
        let path = |kind: &str, side: u8| {
            let key = [call_id.as_bytes(), kind.as_bytes(), &[number, side]];
            Path::new(impair, hash(seed, &key))
        };
        Self {
            targets: [Target::default(); 2],
            paths: [path("rtp", 0), path("rtp", 1)],
            rtcp_paths: [path("rtcp", 0), path("rtcp", 1)],
            swapping: [None, None],
            swaps: 0,
        }
    }

    fn muxed(&self) -> bool {
        self.targets.iter().all(|target| target.mux)
    }

    /// The address is one that the SDP of `side` named.
    pub(super) fn knows(&self, side: Side, source: SocketAddr) -> bool {
        let target = &self.targets[side.index()];
        target.rtp == Some(source) || target.rtcp == Some(source)
    }

    /// What happens to a report: its delay, and with `impaired` all the rest.
    pub(super) fn rtcp_verdict(&mut self, now: Instant, side: usize, impaired: bool) -> Verdict {
        let path = &mut self.rtcp_paths[side];
        if !impaired {
            return Verdict::Pass {
                release: path.delayed(now),
                duplicate: false,
                swap: false,
            };
        }
        match path.decide(now) {
            // A report that waits for a successor would wait five seconds.
            Verdict::Pass { release, .. } => Verdict::Pass {
                release,
                duplicate: false,
                swap: false,
            },
            Verdict::Lost => Verdict::Lost,
        }
    }

    /// Out of which socket, and whereto.
    pub(super) fn way(&self, port: Port, rtcp: bool) -> Option<(Port, SocketAddr)> {
        let side = port.side.other();
        let target = &self.targets[side.index()];
        let own_port = rtcp && !self.muxed();
        let to = if own_port { target.rtcp } else { target.rtp };
        Some((
            Port {
                side,
                rtcp: own_port,
                ..port
            },
            to?,
        ))
    }
}
