//! What every party stands on: true time, chance, the network, machines with their clocks, and the
//! book of what happens next.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use node::core::fence::Fence;
use node::core::node::Moment;
use shared::wire::{Downward, Message, Upward};

use super::mutant::Mutant;
use super::network::{Cut, Network, Parcel, Weather};
use super::oracle::Oracle;
use super::random::Random;
use super::tally::Tally;

/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;

/// Something that will happen.
pub(crate) enum Event {
    /// A message comes.
    Arrive {
        /// What.
        parcel: Parcel,
        /// The server's life under which it was sent.
        server: u64,
    },
    /// A node process wants to be looked at; an old stamp: it changed its mind.
    Node {
        /// Which.
        process: usize,
        /// Of the wish.
        stamp: u64,
    },
    /// A stopped process goes on.
    Thaw(usize),
    /// A node is started, on its own machine.
    Start(usize),
    /// The coordinator wants to be looked at.
    Master {
        /// Of its process.
        life: u64,
    },
    /// What the coordinator wrote reaches the disk.
    Flush {
        /// Of its process.
        life: u64,
    },
    /// The coordinator is started.
    MasterStart,
    /// The stopped coordinator goes on.
    MasterThaw,
    /// The NATS server is back.
    ServerUp,
    /// A machine's ways are whole again.
    Heal(usize),
    /// The coordinator's are.
    HealMaster,
    /// Something is done to them.
    Chaos,
}

struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: it comes off the heap first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// A machine of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// True time at which its boot clock showed `boot_us`.
    booted_at: u64,
    boot_us: u64,
    /// Its wall clock against the true one, in microseconds.
    wall_off_us: i64,
    /// Its state folder.
    pub(crate) fence: Fence,
}

impl Machine {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut machine = Self {
            boot_us: random.between(SECOND, 90 * 86_400 * SECOND),
            ..Self::default()
        };
        machine.set_clock(random);
        machine
    }

    /// Its clocks now.
    pub(crate) fn moment(&self, now: u64) -> Moment {
        Moment {
            boot_us: now - self.booted_at + self.boot_us,
            unix_us: UNIX_US + now as i64 + self.wall_off_us,
        }
    }

    /// It starts anew: the boot clock begins again.
    pub(crate) fn reboot(&mut self, now: u64, random: &mut Random) {
        self.booted_at = now;
        self.boot_us = random.between(SECOND, 20 * SECOND);
    }

    /// Somebody sets its wall clock: hours off, or right.
    pub(crate) fn set_clock(&mut self, random: &mut Random) {
        self.wall_off_us = wall_off(random);
    }
}

/// How far a wall clock is off: right, some seconds, or hours.
pub(crate) fn wall_off(random: &mut Random) -> i64 {
    let most = [0, 5 * SECOND, 12 * 3_600 * SECOND][random.place(3)];
    random.below(2 * most + 1) as i64 - most as i64
}

/// True time 0 in microseconds since 1970.
pub(crate) const UNIX_US: i64 = 1_800_000_000_000_000;

/// All that is not a party.
pub(crate) struct Stage {
    /// True time in microseconds.
    pub(crate) now: u64,
    /// True time 0, as the cores see instants.
    pub(crate) origin: Instant,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) machines: Vec<Machine>,
    pub(crate) oracle: Oracle,
    pub(crate) tally: Tally,
    pub(crate) mutant: Mutant,
    /// Nothing breaks any more.
    pub(crate) healed: bool,
    /// The last events in words, where somebody will read them.
    pub(crate) trace: Option<Vec<String>>,
    /// The first broken invariant.
    pub(crate) fault: Option<String>,
    queue: BinaryHeap<Entry>,
    number: u64,
}

/// Writes a line of the trace; costs nothing where nobody reads it.
macro_rules! tell {
    ($stage:expr, $($what:tt)*) => {
        if $stage.trace.is_some() {
            let line = format!($($what)*);
            $stage.line(line);
        }
    };
}
pub(crate) use tell;

impl Stage {
    pub(crate) fn new(
        seed: u64,
        origin: Instant,
        nodes: usize,
        mutant: Mutant,
        traced: bool,
    ) -> Self {
        let mut random = Random::new(seed);
        let weather = Weather::of(&mut random);
        let machines = (0..nodes).map(|_| Machine::new(&mut random)).collect();
        Self {
            now: 0,
            origin,
            network: Network::new(weather, nodes),
            random,
            machines,
            oracle: Oracle::default(),
            tally: Tally::default(),
            mutant,
            healed: false,
            trace: traced.then(Vec::new),
            fault: None,
            queue: BinaryHeap::new(),
            number: 0,
        }
    }

    /// True time as the cores see it.
    pub(crate) fn instant(&self) -> Instant {
        self.origin + Duration::from_micros(self.now)
    }

    pub(crate) fn after(&mut self, micros: u64, event: Event) {
        self.at(self.now + micros, event);
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.number += 1;
        let number = self.number;
        self.queue.push(Entry { at, number, event });
    }

    /// The next thing that happens; time goes on to it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let entry = self.queue.pop()?;
        self.now = self.now.max(entry.at);
        Some(entry.event)
    }

    /// An invariant is broken. The first one counts.
    pub(crate) fn broken(&mut self, what: String) {
        tell!(self, "BROKEN: {what}");
        self.fault.get_or_insert(what);
    }

    pub(crate) fn line(&mut self, line: String) {
        let (seconds, micros) = (self.now / SECOND, self.now % SECOND);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{seconds:>4}.{micros:06} {line}"));
        }
    }

    /// Somebody publishes. False: refused at once.
    pub(crate) fn publish(&mut self, cut: Cut, parcel: &Parcel) -> bool {
        if !self.network.is_up {
            return false;
        }
        let (first, again) = self.network.fate(&mut self.random, parcel);
        self.tally.sent += 1;
        if cut.up || first.is_none() {
            self.tally.lost += 1;
        }
        if cut.up {
            return true;
        }
        self.tally.twice += u64::from(again.is_some());
        for delay in [first, again].into_iter().flatten() {
            let (parcel, server) = (parcel.clone(), self.network.life);
            self.after(delay, Event::Arrive { parcel, server });
        }
        true
    }

    /// A node publishes.
    pub(crate) fn upward(&mut self, name: usize, machine: usize, message: Message<Upward>) -> bool {
        let message = Rc::new(message);
        self.publish(self.network.cuts[machine], &Parcel::Up { name, message })
    }

    /// The coordinator publishes.
    pub(crate) fn downward(&mut self, name: usize, message: Message<Downward>) -> bool {
        let message = Rc::new(message);
        self.network.overhear(&mut self.random, name, &message);
        let parcel = Parcel::Down {
            name,
            message,
            is_forged: false,
        };
        self.publish(self.network.master_cut, &parcel)
    }
}
