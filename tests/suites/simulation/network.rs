//! The bus as a bad day makes it: loss, repetition, reordering, delay, cuts, a server that goes away.

use std::rc::Rc;

use shared::wire::{Downward, Message, Upward};

use super::random::Random;

/// What travels. `name`: which node's subject.
#[derive(Clone)]
pub(crate) enum Parcel {
    /// To the coordinator.
    Up {
        /// Whose subject.
        name: usize,
        /// What.
        message: Rc<Message<Upward>>,
    },
    /// To every process that has this name.
    Down {
        /// Whose subject.
        name: usize,
        /// What.
        message: Rc<Message<Downward>>,
        /// Somebody changed its head.
        is_forged: bool,
    },
    /// A coordinator starts.
    Hello,
    /// Octets that nobody can read, on a node's command subject.
    Noise(usize),
}

/// How the network is in one story.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Messages lost, of a thousand.
    pub(crate) loss: u64,
    /// Messages that come twice, of a thousand.
    pub(crate) twice: u64,
    /// Messages that take up to a minute, of a thousand.
    pub(crate) slow: u64,
    /// Renewals that take some seconds, of a thousand: long enough for a run to begin and to end
    /// before a word comes that was said when nobody knew of it.
    pub(crate) lazy: u64,
    /// The others take at most this, in microseconds.
    pub(crate) latency_us: u64,
}

impl Weather {
    /// A third of all stories have a good network, so that what they show is not the network's doing.
    pub(crate) fn of(random: &mut Random) -> Self {
        let latency_us = [500, 5_000, 80_000, 900_000];
        let latency_us = latency_us[random.place(latency_us.len())];
        if random.chance(333) {
            return Self {
                loss: 0,
                twice: random.below(20),
                slow: 0,
                lazy: 0,
                latency_us: latency_us.min(5_000),
            };
        }
        Self {
            loss: random.below(301),
            twice: random.below(101),
            slow: if random.chance(400) {
                random.below(60)
            } else {
                0
            },
            lazy: if random.chance(250) {
                random.below(500)
            } else {
                0
            },
            latency_us,
        }
    }

    /// Nothing is lost any more.
    pub(crate) fn calm() -> Self {
        Self {
            loss: 0,
            twice: 0,
            slow: 0,
            lazy: 0,
            latency_us: 2_000,
        }
    }
}

/// Which ways of one machine are cut.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    /// What it sends is lost.
    pub(crate) up: bool,
    /// What is sent to it is lost.
    pub(crate) down: bool,
}

/// The server and the ways to it.
pub(crate) struct Network {
    /// How it is now.
    pub(crate) weather: Weather,
    /// False while the server is away: a sender is refused at once.
    pub(crate) is_up: bool,
    /// Grows with each restart of the server: what was under way before is lost.
    pub(crate) life: u64,
    /// By machine.
    pub(crate) cuts: Vec<Cut>,
    /// The coordinator's own way.
    pub(crate) master_cut: Cut,
    /// What the coordinator sent, for somebody to repeat it much later.
    pub(crate) overheard: Vec<(usize, Rc<Message<Downward>>)>,
}

/// Messages kept to be repeated.
const OVERHEARD_MAX: usize = 48;
/// The longest delay.
const SLOW_US: u64 = 60_000_000;
/// The longest delay of a lazy renewal.
const LAZY_US: u64 = 9_000_000;

impl Network {
    pub(crate) fn new(weather: Weather, machines: usize) -> Self {
        Self {
            weather,
            is_up: true,
            life: 0,
            cuts: vec![Cut::default(); machines],
            master_cut: Cut::default(),
            overheard: Vec::new(),
        }
    }

    /// When one message comes, after its sending, and perhaps once more; none where it is lost.
    pub(crate) fn fate(&self, random: &mut Random, parcel: &Parcel) -> (Option<u64>, Option<u64>) {
        let is_renewal = match parcel {
            Parcel::Up { message, .. } => matches!(message.body, Upward::Renew(_)),
            Parcel::Down { .. } | Parcel::Hello | Parcel::Noise(_) => false,
        };
        let first = (!random.chance(self.weather.loss)).then(|| self.delay(random, is_renewal));
        let again = random
            .chance(self.weather.twice)
            .then(|| self.delay(random, is_renewal));
        (first, again)
    }

    fn delay(&self, random: &mut Random, is_renewal: bool) -> u64 {
        if random.chance(self.weather.slow) {
            return random.between(1_000_000, SLOW_US);
        }
        if is_renewal && random.chance(self.weather.lazy) {
            return random.between(500_000, LAZY_US);
        }
        random.between(50, self.weather.latency_us)
    }

    /// Keeps some of what the coordinator says.
    pub(crate) fn overhear(
        &mut self,
        random: &mut Random,
        name: usize,
        message: &Rc<Message<Downward>>,
    ) {
        if !random.chance(150) {
            return;
        }
        if self.overheard.len() < OVERHEARD_MAX {
            self.overheard.push((name, Rc::clone(message)));
        } else {
            let place = random.place(OVERHEARD_MAX);
            self.overheard[place] = (name, Rc::clone(message));
        }
    }
}
