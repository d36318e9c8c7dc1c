//! One media thread: the 1 ms tick, the commands, the seconds.
//!
//! In each tick the thread takes a few commands, reads the shared sockets, then serves the streams
//! of this tick's slots: read, close the second where a new one began, report, send. A late thread
//! catches up tick by tick; a stream whose slot is over by more than its ptime skips it instead of
//! bursting.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use media::stream::StreamSecond;
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::beats::Beat;
use crate::net::media::clock::{Epoch, SAMPLE_EVERY_MS};
use crate::net::media::entry::{Entry, Leg, Remote};
use crate::net::media::own::{self, Thorough};
use crate::net::media::report::{MediaReport, MediaSecond, StreamId, TroubleWhat};
use crate::net::media::reserve::Sockets;
use crate::net::media::shard::{Command, RedirectSpec, Start};
use crate::net::media::shared_port::SharedPort;
use crate::net::media::sys::DATAGRAM_MAX;
use crate::net::media::time;
use crate::net::media::tools::Tools;
use crate::net::media::wheel::{PTIME_LONGEST_MS, Wheel};

/// Commands taken in one tick: each costs some microseconds, and the tick's packets wait for it.
const COMMANDS_PER_TICK: usize = 64;

/// Streams of one thread; a core carries a fifth of this.
const STREAMS_MAX: usize = 65_536;

const TICK_NS: u64 = 1_000_000;
const TICKS_PER_SECOND: u64 = 1_000;

/// Everything a media thread owns.
pub(super) struct Worker {
    thread: usize,
    inbox: Receiver<Command>,
    tools: Tools,
    entries: Slab<Entry>,
    keys: FxHashMap<StreamId, u32>,
    wheel: Wheel,
    ports: Vec<SharedPort>,
    rows: Vec<(StreamId, StreamSecond)>,
    buffer: Box<[u8; DATAGRAM_MAX]>,
    tick: u64,
    cpu_ns: u64,
}

impl Worker {
    pub(super) fn new(
        thread: usize,
        epoch: Epoch,
        inbox: Receiver<Command>,
        reports: Sender<MediaReport>,
    ) -> Self {
        let tools = Tools::new(epoch, reports);
        let tick = (tools.now_ns - epoch.mono_ns().min(tools.now_ns)) / TICK_NS + 1;
        Self {
            thread,
            inbox,
            tools,
            entries: Slab::new(),
            keys: FxHashMap::default(),
            wheel: Wheel::new(),
            ports: Vec::new(),
            rows: Vec::new(),
            buffer: Box::new([0; DATAGRAM_MAX]),
            tick,
            cpu_ns: time::thread_cpu_ns(),
        }
    }

    /// Runs until `stop` is set, then ends every stream.
    pub(super) fn run(mut self, stop: &AtomicBool, beat: &Beat) {
        while !stop.load(Ordering::Acquire) {
            beat.bump();
            let due_ns = self.tools.epoch.mono_ns() + self.tick * TICK_NS;
            time::sleep_until(due_ns);
            self.tools.look_at_clock();
            self.one_tick(due_ns);
            self.tick += 1;
        }
        self.end_all();
    }

    /// One tick whose time is now, whenever that is: for measuring what ticks cost.
    pub(super) fn tick_now(&mut self) {
        self.tools.look_at_clock();
        self.one_tick(self.tools.now_ns);
        self.tick += 1;
    }

    fn one_tick(&mut self, due_ns: u64) {
        self.tools.look_at_boot_clock();
        if self.tick.is_multiple_of(SAMPLE_EVERY_MS) {
            self.tools.sample_wall_clock();
        }
        for _ in 0..COMMANDS_PER_TICK {
            match self.inbox.try_recv() {
                Ok(command) => self.command(command),
                Err(_empty_or_gone) => break,
            }
        }
        for port in &mut self.ports {
            port.receive(&mut self.entries, &mut self.tools);
        }
        for (ring, slot) in Wheel::due(self.tick) {
            let mut place = 0;
            while let Some(key) = self.wheel.key(ring, slot, place) {
                self.serve(key as usize, due_ns);
                place += 1;
            }
        }
        for port in &mut self.ports {
            port.flush(&mut self.entries, &mut self.tools);
        }
        if self.tick % TICKS_PER_SECOND == PTIME_LONGEST_MS {
            self.end_second();
        }
        // A stream's last whole second goes out before its end.
        if self.rows.is_empty() {
            self.tools.flush_ends();
        }
    }

    fn second(&self) -> u64 {
        self.tick / TICKS_PER_SECOND
    }

    /// One slot of one stream.
    fn serve(&mut self, key: usize, due_ns: u64) {
        let second = self.second();
        let Some(Entry { leg, sockets, .. }) = self.entries.get_mut(key) else {
            return;
        };
        let tools = &mut self.tools;
        tools.look_at_clock();
        let too_late = tools.now_ns.saturating_sub(due_ns) > leg.ptime_ns;
        if !too_late && let Sockets::Own(own) = sockets {
            own::read(leg, own, tools, Thorough::Usual);
        }
        if leg.second != second {
            leg.second = second;
            let row = leg.stream.close_second(tools.now());
            self.rows.push((leg.id, row));
        }
        if too_late {
            if leg.sends && leg.may_send {
                leg.stream.skip_slots(1);
                tools.tally.skipped += 1;
            }
            return;
        }
        if !leg.speaks(tools) {
            return;
        }
        let buffer = self.buffer.as_mut_slice();
        let report = leg.write_rtcp(tools, buffer);
        match sockets {
            Sockets::Own(own) => {
                if let Some(report) = report.and_then(|length| buffer.get(..length)) {
                    own::send_rtcp(leg, own, tools, report);
                }
                own::send(leg, own, tools, due_ns, buffer);
            }
            Sockets::Shared { port, mux, .. } => {
                let Some(shared) = self.ports.get_mut(*port) else {
                    return;
                };
                if let Some(report) = report.and_then(|length| buffer.get(..length)) {
                    shared.send_rtcp(leg, *mux, tools, report);
                }
                shared.send(key, due_ns, &mut self.entries, tools);
            }
        }
    }

    /// Every stream has been due since the second began, so every row is there.
    fn end_second(&mut self) {
        let Some(engine_second) = self.second().checked_sub(1) else {
            return;
        };
        let cpu_ns = time::thread_cpu_ns();
        let rows = std::mem::take(&mut self.rows);
        self.rows.reserve(self.entries.len());
        self.tools.report_second(MediaSecond {
            thread: self.thread,
            engine_second,
            rows,
            cpu_us: cpu_ns.saturating_sub(self.cpu_ns) / 1_000,
            streams: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            ..MediaSecond::default()
        });
        self.cpu_ns = cpu_ns;
    }

    fn command(&mut self, command: Command) {
        self.tools.look_at_clock();
        match command {
            Command::Start(start) => self.start(*start),
            Command::Redirect(id, spec) => self.redirect(id, &spec),
            Command::Stop(id) => self.stop(id),
            Command::AddShared(sockets, address) => {
                self.ports.push(SharedPort::new(*sockets, address));
            }
        }
    }

    fn start(&mut self, start: Start) {
        let Start {
            id,
            reservation,
            spec,
        } = start;
        if self.keys.contains_key(&id) {
            self.tools.report_trouble(Some(id), TroubleWhat::Duplicate);
            return;
        }
        let ptime_ms = spec.stream.ptime_ms;
        let mut leg = Leg::new(id, spec, &self.tools, self.second());
        if let Err(refused) = leg.remote.permitted(&leg.egress) {
            self.tools.report_trouble(Some(id), refused.into());
            leg.may_send = false;
        }
        if self.entries.len() >= STREAMS_MAX {
            let what = TroubleWhat::Full { limit: STREAMS_MAX };
            self.tools.report_trouble(Some(id), what);
            return;
        }
        let vacant = self.entries.vacant_entry();
        let Ok(key) = u32::try_from(vacant.key()) else {
            return;
        };
        // The handle refuses other packetisation times before they come here.
        let Some(seat) = self.wheel.insert(key, ptime_ms, self.tick) else {
            return;
        };
        if let Sockets::Shared { port, .. } = reservation.sockets
            && let Some(shared) = self.ports.get_mut(port)
        {
            shared.insert(key, &leg);
        }
        vacant.insert(Entry {
            leg,
            sockets: reservation.sockets,
            seat,
        });
        self.keys.insert(id, key);
    }

    /// What came until now belongs to what the stream was until now.
    fn read_waiting(&mut self, key: u32) {
        let Some(Entry { leg, sockets, .. }) = self.entries.get_mut(key as usize) else {
            return;
        };
        match sockets {
            Sockets::Own(own) => own::read(leg, own, &mut self.tools, Thorough::Whole),
            Sockets::Shared { port, .. } => {
                if let Some(shared) = self.ports.get_mut(*port) {
                    shared.receive(&mut self.entries, &mut self.tools);
                }
            }
        }
    }

    fn redirect(&mut self, id: StreamId, spec: &RedirectSpec) {
        let found = self.keys.get(&id).copied();
        if let Some(key) = found {
            self.read_waiting(key);
        }
        let Some((key, entry)) =
            found.and_then(|key| Some((key, self.entries.get_mut(key as usize)?)))
        else {
            self.tools.report_trouble(Some(id), TroubleWhat::Unknown);
            return;
        };
        let leg = &mut entry.leg;
        let shared = match entry.sockets {
            Sockets::Shared { port, .. } => self.ports.get_mut(port),
            Sockets::Own(_) => None,
        };
        let remote = Remote::new(spec.remote_rtp, spec.remote_rtcp);
        let stays = remote.rtp == leg.remote.rtp;
        let remote_ssrc = spec
            .remote_ssrc
            .or(if stays { leg.remote_ssrc } else { None });
        match shared {
            Some(shared) => {
                shared.remove(key, leg);
                (leg.remote, leg.remote_ssrc) = (remote, remote_ssrc);
                shared.insert(key, leg);
            }
            None => (leg.remote, leg.remote_ssrc) = (remote, remote_ssrc),
        }
        leg.stream.set_direction(spec.send, spec.receive);
        leg.sends = spec.send && leg.has_clip;
        leg.may_send = true;
        // RFC 3264 §8.4: 0.0.0.0 was once the way to say hold; nothing is sent and nothing is wrong.
        if !spec.send && leg.remote.rtp.ip().is_unspecified() {
            leg.may_send = false;
        } else if let Err(refused) = leg.remote.permitted(&leg.egress) {
            leg.may_send = false;
            self.tools.report_trouble(Some(id), refused.into());
        }
    }

    fn stop(&mut self, id: StreamId) {
        let Some(key) = self.keys.remove(&id) else {
            self.tools.report_trouble(Some(id), TroubleWhat::Unknown);
            return;
        };
        self.read_waiting(key);
        let Some(mut entry) = self.entries.try_remove(key as usize) else {
            return;
        };
        if let Some(moved) = self.wheel.remove(entry.seat)
            && let Some(moved) = self.entries.get_mut(moved as usize)
        {
            moved.seat = entry.seat;
        }
        let leg = &mut entry.leg;
        let tools = &mut self.tools;
        let buffer = self.buffer.as_mut_slice();
        let (now, wall) = (tools.now(), tools.ntp(tools.now_ns));
        let length = match leg.speaks(tools) {
            true => leg.stream.write_bye(now, wall, buffer),
            false => None,
        };
        let bye = length.and_then(|length| buffer.get(..length));
        match &entry.sockets {
            Sockets::Own(own) => {
                if let Some(bye) = bye {
                    own::send_rtcp(leg, own, tools, bye);
                }
            }
            Sockets::Shared { port, mux, .. } => {
                if let Some(shared) = self.ports.get_mut(*port) {
                    if let Some(bye) = bye {
                        shared.send_rtcp(leg, *mux, tools, bye);
                    }
                    shared.remove(key, leg);
                }
            }
        }
        let second = self.tick / TICKS_PER_SECOND;
        if leg.second != second {
            // The stream's slot of the new second has not come yet: what it counted belongs to the
            // second before, whose rows are still being gathered.
            leg.second = second;
            self.rows.push((id, leg.stream.close_second(now)));
        }
        let last = Box::new(leg.stream.close_second(now));
        let ended = MediaReport::Ended {
            id,
            engine_second: second,
            summary: Box::new(leg.stream.summary()),
            last,
        };
        tools.report_end(ended);
    }

    fn end_all(&mut self) {
        self.tools.look_at_clock();
        let ids: Vec<StreamId> = self.keys.keys().copied().collect();
        for id in ids {
            self.stop(id);
        }
        if !self.rows.is_empty() {
            self.end_second();
        }
        self.tools.flush_ends();
    }
}
