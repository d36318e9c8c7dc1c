//! Whatever the link and the disk do, the model coordinator stores each item once and in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::id::{EndpointIndex, NodeId, RunId};
use shared::wire::{EndCause, Item, Report, Trace, TraceMessage};

use super::{Limits, Outboxes, Output, PushError, RESEND_AFTER};

const RUN: RunId = RunId(7);
const MEMORY: usize = 8_000;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

fn limits(memory: usize, disk: u64) -> Limits {
    Limits {
        window_items: 16,
        window_octets: 4_000,
        memory,
        disk,
        reserve: 2_000,
    }
}

/// A report of about `octets` that names itself.
fn report(run: RunId, number: u32, octets: usize) -> Report {
    Report::Trace(Box::new(Trace {
        run,
        endpoint: EndpointIndex(number),
        dropped: 0,
        messages: vec![TraceMessage {
            at_us: 0,
            sent: true,
            local: String::new(),
            remote: String::new(),
            transport: String::new(),
            bytes: vec![0; octets],
        }],
    }))
}

fn number(report: &Report) -> u32 {
    match report {
        Report::Trace(trace) => trace.endpoint.0,
        other => panic!("not one of ours: {other:?}"),
    }
}

fn ended(run: RunId) -> Report {
    let node = NodeId::default();
    Report::Ended {
        run,
        node,
        cause: EndCause::Finished,
    }
}

/// The files, as a shell would keep them.
#[derive(Default)]
struct Disk {
    files: BTreeMap<RunId, VecDeque<Bytes>>,
    fails: bool,
    fulls: Vec<(RunId, String)>,
}

impl Disk {
    /// Performs everything but sending; gives what is to be sent.
    fn drain(&mut self, outboxes: &mut Outboxes, now: Instant) -> Vec<Item> {
        let mut sent = Vec::new();
        while let Some(output) = outboxes.poll(now) {
            match output {
                Output::Send(item) => sent.push(*item),
                Output::Spill { run, octets, .. } if self.fails => {
                    outboxes.spill_failed(run, octets, "no space left on device");
                }
                Output::Spill { run, octets, .. } => {
                    self.files.entry(run).or_default().push_back(octets);
                }
                Output::Load { run, octets } => {
                    let file = self.files.entry(run).or_default();
                    let mut items = Vec::new();
                    let mut total = 0;
                    while let Some(first) = file.front()
                        && (items.is_empty() || total + first.len() <= octets)
                    {
                        total += first.len();
                        items.extend(file.pop_front());
                    }
                    outboxes.loaded(run, &items);
                }
                Output::Forget { run } => {
                    self.files.remove(&run);
                }
                Output::Full { run, reason } => self.fulls.push((run, reason)),
            }
        }
        sent
    }
}

/// What is under way, in either direction.
enum Packet {
    Item(Item),
    StoredTo(RunId, u64),
}

struct World {
    chance: Chance,
    now: Instant,
    outboxes: Outboxes,
    disk: Disk,
    link: Vec<(Instant, Packet)>,
    pushed: BTreeMap<RunId, u32>,
    /// The coordinator: what it took, and how much of it is flushed.
    taken: BTreeMap<RunId, Vec<u32>>,
    flushed: BTreeMap<RunId, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            now: Instant::now(),
            outboxes: Outboxes::new(limits(MEMORY, 1 << 20)),
            disk: Disk::default(),
            link: Vec::new(),
            pushed: BTreeMap::new(),
            taken: BTreeMap::new(),
            flushed: BTreeMap::new(),
        }
    }

    fn transmit(&mut self, packet: Packet, lossy: bool) {
        if lossy && self.chance.percent(20) {
            return;
        }
        // A whole link keeps the order.
        let delay_ms = match lossy && self.chance.percent(20) {
            true => self.chance.below(9_000),
            false => 20,
        };
        let delay = Duration::from_millis(delay_ms);
        if lossy
            && self.chance.percent(10)
            && let Packet::Item(item) = &packet
        {
            let again = delay + Duration::from_millis(self.chance.below(2_000));
            self.link
                .push((self.now + again, Packet::Item(item.clone())));
        }
        self.link.push((self.now + delay, packet));
    }

    fn arrive(&mut self) {
        self.link.sort_by_key(|(at, _)| *at);
        let due = self.link.partition_point(|(at, _)| *at <= self.now);
        for (_, packet) in self.link.drain(..due) {
            match packet {
                Packet::Item(item) => {
                    let taken = self.taken.entry(item.run).or_default();
                    if item.sequence == taken.len() as u64 {
                        taken.push(number(&item.report));
                    }
                }
                Packet::StoredTo(run, to) => self.outboxes.acknowledged(self.now, run, to),
            }
        }
    }

    /// The coordinator flushes; or it falls and comes back with what was flushed.
    fn coordinator(&mut self, lossy: bool) {
        let falls = lossy && self.chance.percent(2);
        let runs: Vec<RunId> = self.taken.keys().copied().collect();
        for run in &runs {
            let taken = self.taken.entry(*run).or_default();
            let flushed = self.flushed.entry(*run).or_default();
            if falls {
                taken.truncate(*flushed);
            } else {
                *flushed = taken.len();
                let to = *flushed as u64;
                self.transmit(Packet::StoredTo(*run, to), lossy);
            }
        }
        if falls && self.chance.percent(50) {
            self.outboxes.reconnected();
        }
    }

    fn step(&mut self, lossy: bool) {
        self.now += Duration::from_millis(1 + self.chance.below(300));
        self.arrive();
        if self.chance.percent(30) {
            self.coordinator(lossy);
        }
        if self
            .outboxes
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            self.outboxes.timeout(self.now);
        }
        let away = lossy && self.chance.percent(10);
        for item in self.disk.drain(&mut self.outboxes, self.now) {
            if away {
                self.outboxes.refused(self.now, item.run, item.sequence);
            } else {
                self.transmit(Packet::Item(item), lossy);
            }
        }
        self.check();
    }

    fn check(&self) {
        let (memory, disk) = self.outboxes.octets();
        // The bound, and one item more for each run.
        assert!(memory <= MEMORY + 3 * 700, "{memory} octets in memory");
        let files = self
            .disk
            .files
            .values()
            .flatten()
            .map(Bytes::len)
            .sum::<usize>();
        assert_eq!(disk, files as u64, "octets on disk");
        for (run, taken) in &self.taken {
            let in_order = taken.iter().copied().eq(0..taken.len() as u32);
            assert!(in_order, "{run}: {taken:?}");
            let kept = u64::from(self.pushed[run]) - self.outboxes.waiting(*run);
            assert!(
                kept <= self.flushed[run] as u64,
                "let go before it was stored"
            );
        }
    }

    fn push(&mut self, run: RunId) {
        let next = self.pushed.entry(run).or_default();
        let octets = self.chance.below(500) as usize;
        let sequence = self.outboxes.push(run, report(run, *next, octets));
        assert_eq!(sequence, Ok(u64::from(*next)));
        *next += 1;
        self.flushed.entry(run).or_default();
    }
}

#[test]
fn each_item_is_stored_once_and_in_order_whatever_the_link_does() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        let runs = [RunId(1), RunId(2), RunId(3)];
        for run in runs {
            world.outboxes.open(run, 1);
        }
        for _ in 0..200 {
            for run in runs {
                for _ in 0..world.chance.below(3) {
                    world.push(run);
                }
            }
            world.step(true);
        }
        // The link is whole again: everything arrives, and in a bounded time.
        let mut steps = 0;
        while runs.iter().any(|run| world.outboxes.waiting(*run) > 0) {
            world.step(false);
            steps += 1;
            assert!(steps < 2_000, "seed {seed}: {:?}", world.outboxes.counts());
        }
        for run in runs {
            let stored = world.taken[&run].len();
            assert_eq!(stored, world.pushed[&run] as usize, "seed {seed}");
        }
        assert_eq!(world.outboxes.octets(), (0, 0), "seed {seed}");
        assert!(world.disk.fulls.is_empty());
        let counts = world.outboxes.counts();
        assert!(
            counts.spilled > 0 && counts.spilled == counts.loaded,
            "{counts:?}"
        );
        assert!(counts.resent > 0 && counts.refused == 0, "{counts:?}");
        assert_eq!(counts.pushed, counts.stored, "seed {seed}");
    }
}

#[test]
fn the_window_bounds_what_is_under_way_and_a_silence_makes_it_small() {
    let now = Instant::now();
    let mut outboxes = Outboxes::new(limits(100_000, 0));
    outboxes.open(RUN, 1);
    for number in 0..40 {
        outboxes.push(RUN, report(RUN, number, 10)).unwrap();
    }
    let mut disk = Disk::default();
    assert_eq!(disk.drain(&mut outboxes, now).len(), 16);
    outboxes.acknowledged(now, RUN, 4);
    let further = disk.drain(&mut outboxes, now);
    assert_eq!(further.first().map(|item| item.sequence), Some(16));
    assert_eq!(further.len(), 4);
    // Nothing comes: all of the window again, from the first that is not stored.
    assert_eq!(outboxes.next_deadline(), Some(now + RESEND_AFTER));
    let later = now + RESEND_AFTER;
    outboxes.timeout(later);
    let again = disk.drain(&mut outboxes, later);
    assert_eq!(again.first().map(|item| item.sequence), Some(4));
    outboxes.reconnected();
    let again = disk.drain(&mut outboxes, later);
    assert_eq!(again.first().map(|item| item.sequence), Some(4));
    // What was never sent cannot be stored.
    outboxes.acknowledged(later, RUN, 39);
    assert_eq!((outboxes.waiting(RUN), outboxes.counts().bogus), (36, 1));
    // A late acknowledgement changes nothing.
    outboxes.acknowledged(later, RUN, 2);
    assert_eq!(outboxes.waiting(RUN), 36);
}

#[test]
fn a_bus_that_refuses_is_tried_again_later() {
    let now = Instant::now();
    let mut outboxes = Outboxes::new(limits(100_000, 0));
    outboxes.open(RUN, 1);
    for number in 0..3 {
        outboxes.push(RUN, report(RUN, number, 10)).unwrap();
    }
    let Some(Output::Send(item)) = outboxes.poll(now) else {
        panic!("nothing to send");
    };
    outboxes.refused(now, RUN, item.sequence);
    assert_eq!(outboxes.poll(now), None);
    let later = outboxes.next_deadline().unwrap();
    outboxes.timeout(later);
    let sent = Disk::default().drain(&mut outboxes, later);
    assert_eq!(
        sent.iter().map(|item| item.sequence).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn past_the_last_bound_the_run_must_end_and_its_end_still_arrives_in_order() {
    for disk_octets in [0, 3_000] {
        let now = Instant::now();
        let mut outboxes = Outboxes::new(limits(3_000, disk_octets));
        let mut disk = Disk::default();
        outboxes.open(RUN, 1);
        let mut pushed = 0;
        loop {
            let next = report(RUN, pushed, 400);
            let result = outboxes.push(RUN, next);
            disk.drain(&mut outboxes, now);
            match result {
                Ok(_) => pushed += 1,
                Err(error) => {
                    assert_eq!(error, PushError::Full);
                    break;
                }
            }
        }
        assert_eq!(disk.fulls.len(), 1, "said once");
        assert!(
            disk.fulls[0].1.contains("stores nothing"),
            "{:?}",
            disk.fulls
        );
        let last = outboxes.push(RUN, ended(RUN)).unwrap();
        assert_eq!(last, u64::from(pushed));
        // The coordinator is back.
        let mut stored = 0;
        outboxes.reconnected();
        while outboxes.waiting(RUN) > 0 {
            for item in disk.drain(&mut outboxes, now) {
                assert_eq!(item.sequence, stored);
                stored += 1;
            }
            outboxes.acknowledged(now, RUN, stored);
        }
        assert_eq!(stored, last + 1);
    }
}

#[test]
fn a_disk_that_fails_ends_the_run_and_loses_nothing_that_was_taken() {
    let now = Instant::now();
    let mut outboxes = Outboxes::new(limits(3_000, 1 << 20));
    let mut disk = Disk::default();
    outboxes.open(RUN, 1);
    for number in 0..10 {
        outboxes.push(RUN, report(RUN, number, 400)).unwrap();
    }
    disk.drain(&mut outboxes, now);
    disk.fails = true;
    outboxes.push(RUN, report(RUN, 10, 400)).unwrap();
    disk.drain(&mut outboxes, now);
    assert!(
        disk.fulls[0].1.contains("no space left"),
        "{:?}",
        disk.fulls
    );
    assert_eq!(
        outboxes.push(RUN, report(RUN, 11, 400)),
        Err(PushError::Full)
    );
    assert_eq!(outboxes.push(RUN, ended(RUN)), Ok(11));
    let mut stored = 0;
    outboxes.reconnected();
    while outboxes.waiting(RUN) > 0 {
        for item in disk.drain(&mut outboxes, now) {
            assert_eq!(item.sequence, stored);
            stored += 1;
        }
        outboxes.acknowledged(now, RUN, stored);
    }
    assert_eq!((stored, outboxes.octets()), (12, (0, 0)));
}

#[test]
fn a_file_that_cannot_be_read_ends_the_run_without_a_hole() {
    let now = Instant::now();
    let mut outboxes = Outboxes::new(limits(2_000, 1 << 20));
    let mut disk = Disk::default();
    outboxes.open(RUN, 1);
    for number in 0..10 {
        outboxes.push(RUN, report(RUN, number, 400)).unwrap();
    }
    let first = disk.drain(&mut outboxes, now).len() as u64;
    for octets in disk.files.get_mut(&RUN).unwrap() {
        *octets = Bytes::from_static(b"garbage");
    }
    outboxes.acknowledged(now, RUN, first);
    assert!(disk.drain(&mut outboxes, now).is_empty());
    assert!(disk.fulls[0].1.contains("are lost"), "{:?}", disk.fulls);
    assert_eq!(outboxes.push(RUN, ended(RUN)), Ok(first));
    let sent = disk.drain(&mut outboxes, now);
    assert_eq!(sent.len(), 1);
    assert_eq!(outboxes.octets().1, 0);
    assert!(disk.files.is_empty());
}

#[test]
fn a_forgotten_run_leaves_nothing() {
    let now = Instant::now();
    let mut outboxes = Outboxes::new(limits(1_000, 1 << 20));
    let mut disk = Disk::default();
    for run in [RUN, RunId(8)] {
        outboxes.open(run, 1);
        for number in 0..9 {
            outboxes.push(run, report(run, number, 300)).unwrap();
        }
    }
    disk.drain(&mut outboxes, now);
    outboxes.forget(RUN);
    outboxes.forget(RunId(8));
    disk.drain(&mut outboxes, now);
    assert_eq!(outboxes.octets(), (0, 0));
    assert!(disk.files.is_empty());
    assert_eq!(outboxes.next_item(RUN), None);
    assert_eq!(outboxes.push(RUN, ended(RUN)), Err(PushError::UnknownRun));
}
