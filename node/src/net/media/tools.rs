//! What every step of a media thread needs: the clocks, room for received datagrams, the figures of
//! the running second and the way to the node.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError};
use media::stream::NtpTime;
use nix::errno::Errno;
use shared::stat::Histogram;

use crate::net::media::clock::{Clock, Epoch};
use crate::net::media::report::{MediaReport, MediaSecond, StreamId, TroubleWhat};
use crate::net::media::sys::ReceiveBatch;
use crate::net::media::time;

/// Ends of streams that wait for a node which does not read: twice what one thread can hold.
const ENDS_MAX: usize = 131_072;

/// Owned by one thread.
pub(super) struct Tools {
    pub epoch: Epoch,
    pub clock: Clock,
    /// The monotonic time as of the last [`Self::look_at_clock`].
    pub now_ns: u64,
    /// What the boot clock has over the monotonic one: the time that the machine was suspended.
    suspended_us: u64,
    pub receive: ReceiveBatch,
    pub tally: Tally,
    reports: Sender<MediaReport>,
    ends: VecDeque<MediaReport>,
}

/// The thread's figures of the running second.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub send_late_us: Histogram,
    pub skipped: u64,
    pub socket_drops: u64,
    pub strangers: u64,
    pub ambiguous: u64,
    pub refused_reports: u64,
}

/// When a datagram came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub ns: u64,
    pub at: Instant,
    pub wall: NtpTime,
}

impl Tools {
    pub(super) fn new(epoch: Epoch, reports: Sender<MediaReport>) -> Self {
        let now_ns = time::monotonic_ns();
        let (real_ns, mono_ns) =
            time::both_clocks_ns().unwrap_or_else(|| (time::realtime_ns(), time::monotonic_ns()));
        Self {
            epoch,
            clock: Clock::new(real_ns, mono_ns),
            now_ns,
            suspended_us: time::boottime_us().saturating_sub(now_ns / 1_000),
            receive: ReceiveBatch::new(),
            tally: Tally::default(),
            reports,
            ends: VecDeque::new(),
        }
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now_ns = time::monotonic_ns();
    }

    /// Once in every tick, before anything is sent: while the machine was suspended the lease went on.
    pub(super) fn look_at_boot_clock(&mut self) {
        self.now_ns = time::monotonic_ns();
        self.suspended_us = time::boottime_us().saturating_sub(self.now_ns / 1_000);
    }

    /// The boot clock as of the last look at the clock.
    pub(super) fn boot_us(&self) -> u64 {
        self.now_ns / 1_000 + self.suspended_us
    }

    pub(super) fn sample_wall_clock(&mut self) {
        if let Some((real_ns, mono_ns)) = time::both_clocks_ns() {
            self.clock.sample(real_ns, mono_ns);
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.epoch.instant(self.now_ns)
    }

    /// The wall clock of a monotonic reading as RTCP writes it.
    pub(super) fn ntp(&self, mono_ns: u64) -> NtpTime {
        NtpTime::from_unix(std::time::Duration::from_nanos(self.epoch.wall_ns(mono_ns)))
    }

    /// When a datagram with this kernel timestamp came.
    pub(super) fn arrival(&self, real_ns: Option<u64>) -> Arrival {
        let ns = self.clock.arrival(real_ns, self.now_ns);
        Arrival {
            ns,
            at: self.epoch.instant(ns),
            wall: self.ntp(ns),
        }
    }

    /// Counts a packet that left (or was refused) so much after its tick.
    pub(super) fn count_sent(&mut self, late_ns: u64) {
        self.tally.send_late_us.record(late_ns / 1_000);
    }

    pub(super) fn report_network(
        &mut self,
        id: Option<StreamId>,
        address: SocketAddr,
        errno: Errno,
        times: u32,
    ) {
        self.report_trouble(
            id,
            TroubleWhat::Network {
                address,
                errno,
                times,
            },
        );
    }

    pub(super) fn report_trouble(&mut self, id: Option<StreamId>, what: TroubleWhat) {
        self.offer(MediaReport::Trouble { id, what });
    }

    /// Queues the end of a stream. It waits where the channel is full, because the node waits for it.
    pub(super) fn report_end(&mut self, ended: MediaReport) {
        if self.ends.len() >= ENDS_MAX {
            self.tally.refused_reports += 1;
            return;
        }
        self.ends.push_back(ended);
    }

    /// Hands queued ends over while the channel takes them.
    pub(super) fn flush_ends(&mut self) {
        while let Some(ended) = self.ends.pop_front() {
            if let Err(TrySendError::Full(ended)) = self.reports.try_send(ended) {
                self.ends.push_front(ended);
                return;
            }
        }
    }

    /// Closes the thread's second. `second` comes with the rows and the thread's own figures; what
    /// could not be reported before is told with the first one that goes through.
    pub(super) fn report_second(&mut self, mut second: MediaSecond) {
        let tally = &mut self.tally;
        second.send_late_us = std::mem::take(&mut tally.send_late_us);
        second.skipped = std::mem::take(&mut tally.skipped);
        second.socket_drops = std::mem::take(&mut tally.socket_drops);
        second.strangers = std::mem::take(&mut tally.strangers);
        second.ambiguous = std::mem::take(&mut tally.ambiguous);
        second.clock_steps = self.clock.steps();
        second.refused_reports = tally.refused_reports;
        if self.offer(MediaReport::Second(Box::new(second))) {
            self.tally.refused_reports = 0;
        }
    }

    fn offer(&mut self, report: MediaReport) -> bool {
        let taken = self.reports.try_send(report).is_ok();
        if !taken {
            self.tally.refused_reports += 1;
        }
        taken
    }
}
