//! What is done to them: by people who use the program, and by everything that can break.

use std::rc::Rc;

use node::core::node::Input;
use shared::wire::Message;

use super::network::{Cut, Parcel};
use super::process::{Process, Vigor};
use super::stage::{Event, SECOND, Stage, tell};
use super::world::World;

/// How much of what happens in one story.
#[derive(Clone, Debug)]
pub(crate) struct Mood {
    /// Mean time between two things, in microseconds.
    every_us: u64,
    /// Weights of [`Deed::ALL`].
    weights: [u64; Deed::ALL.len()],
}

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Submit,
    Stop,
    DrainByOperator,
    DrainBySignal,
    KillNode,
    Reboot,
    FreezeNode,
    Twin,
    CutNode,
    KillMaster,
    FreezeMaster,
    CutMaster,
    KillServer,
    SetClock,
    Replay,
    Noise,
    Forge,
    Hello,
}

impl Deed {
    const ALL: [Self; 18] = [
        Self::Submit,
        Self::Stop,
        Self::DrainByOperator,
        Self::DrainBySignal,
        Self::KillNode,
        Self::Reboot,
        Self::FreezeNode,
        Self::Twin,
        Self::CutNode,
        Self::KillMaster,
        Self::FreezeMaster,
        Self::CutMaster,
        Self::KillServer,
        Self::SetClock,
        Self::Replay,
        Self::Noise,
        Self::Forge,
        Self::Hello,
    ];
    /// Usual weights, in the same order.
    const WEIGHTS: [u64; Self::ALL.len()] =
        [30, 5, 3, 2, 6, 1, 5, 2, 6, 8, 3, 3, 5, 4, 16, 3, 3, 2];
}

impl Mood {
    /// Each story has its favourites; some are nearly quiet.
    pub(crate) fn of(stage: &mut Stage) -> Self {
        let random = &mut stage.random;
        let every_us = [700_000, 2 * SECOND, 6 * SECOND][random.place(3)];
        let mut weights = Deed::WEIGHTS;
        for weight in weights.iter_mut().skip(1) {
            *weight *= [0, 1, 1, 4][random.place(4)];
        }
        Self { every_us, weights }
    }

    fn deed(&self, stage: &mut Stage) -> Deed {
        let mut left = stage.random.below(self.weights.iter().sum());
        let weighed = Deed::ALL.iter().zip(self.weights);
        for (deed, weight) in weighed {
            if left < weight {
                return *deed;
            }
            left -= weight;
        }
        Deed::Submit
    }
}

impl World {
    /// Does something, and plans when the next is done.
    pub(crate) fn chaos(&mut self) {
        let every_us = self.mood.every_us;
        let pause = self.stage.random.between(every_us / 10, every_us * 2);
        self.stage.after(pause, Event::Chaos);
        let deed = self.mood.deed(&mut self.stage);
        match deed {
            Deed::Submit => self.submit(),
            Deed::Stop => self.stop_some(),
            Deed::DrainByOperator => self.drain_some(),
            Deed::KillMaster => self.kill_master(),
            Deed::FreezeMaster => self.freeze_master(),
            Deed::CutMaster => self.cut_master(),
            Deed::KillServer => self.kill_server(),
            Deed::Replay => self.replay(),
            Deed::Forge => self.forge(),
            Deed::Noise => {
                let name = self.stage.random.place(self.nodes);
                let server = self.stage.network.life;
                let parcel = Parcel::Noise(name);
                self.stage.after(1_000, Event::Arrive { parcel, server });
            }
            Deed::Hello => {
                let server = self.stage.network.life;
                let parcel = Parcel::Hello;
                self.stage.after(1_000, Event::Arrive { parcel, server });
            }
            Deed::SetClock => self.set_clock(),
            Deed::DrainBySignal
            | Deed::KillNode
            | Deed::Reboot
            | Deed::FreezeNode
            | Deed::Twin
            | Deed::CutNode => self.harm_node(deed),
        }
    }

    fn harm_node(&mut self, deed: Deed) {
        let alive: Vec<usize> = self
            .processes
            .iter()
            .filter(|process| process.vigor == Vigor::Awake)
            .map(|process| process.index)
            .collect();
        if alive.is_empty() {
            return;
        }
        let stage = &mut self.stage;
        let index = alive[stage.random.place(alive.len())];
        let process = &mut self.processes[index];
        let (name, machine) = (process.name, process.machine);
        tell!(stage, "{deed:?} {}", process.node);
        match deed {
            Deed::DrainBySignal => process.turn(stage, Some(Input::Drain)),
            Deed::FreezeNode => {
                stage.tally.frozen += 1;
                process.vigor = Vigor::Frozen;
                let long = stage.random.between(SECOND / 2, 60 * SECOND);
                stage.after(long, Event::Thaw(index));
            }
            Deed::CutNode => {
                stage.network.cuts[machine] = cut(stage);
                let long = long(stage);
                stage.after(long, Event::Heal(machine));
            }
            Deed::Twin => {
                // Two processes of one name: a copy of the machine, or a start too many.
                let own = stage.machines[machine].clone();
                stage.machines.push(own);
                stage.network.cuts.push(Cut::default());
                let machine = stage.machines.len() - 1;
                self.start_node(name, machine);
            }
            Deed::Reboot | Deed::KillNode => {
                stage.tally.node_crashes += 1;
                process.end(stage);
                if deed == Deed::Reboot {
                    let now = stage.now;
                    stage.machines[machine].reboot(now, &mut stage.random);
                }
                let pause = pause(stage);
                stage.after(pause, Event::Start(name));
            }
            _ => {}
        }
    }

    fn cut_master(&mut self) {
        tell!(self.stage, "the coordinator is cut off");
        self.stage.network.master_cut = cut(&mut self.stage);
        let long = long(&mut self.stage);
        self.stage.after(long, Event::HealMaster);
    }

    fn kill_server(&mut self) {
        if !self.stage.network.is_up {
            return;
        }
        tell!(self.stage, "the server dies");
        self.stage.network.is_up = false;
        self.stage.network.life += 1;
        let long = long(&mut self.stage);
        self.stage.after(long, Event::ServerUp);
    }

    /// A message of the coordinator comes once more, or for the first time, long after.
    fn replay(&mut self) {
        let stage = &mut self.stage;
        if stage.network.overheard.is_empty() {
            return;
        }
        let place = stage.random.place(stage.network.overheard.len());
        let (name, message) = stage.network.overheard[place].clone();
        stage.tally.replayed += 1;
        let server = stage.network.life;
        let parcel = Parcel::Down {
            name,
            message,
            is_forged: false,
        };
        stage.after(500, Event::Arrive { parcel, server });
    }

    /// The same with a head that somebody changed: another cluster, an epoch before, another life.
    fn forge(&mut self) {
        let stage = &mut self.stage;
        if stage.network.overheard.is_empty() {
            return;
        }
        let place = stage.random.place(stage.network.overheard.len());
        let (name, message) = stage.network.overheard[place].clone();
        let Message { mut head, body } = (*message).clone();
        match stage.random.below(3) {
            0 => head.cluster.0 ^= 0x55,
            1 => head.epoch = head.epoch.saturating_sub(1),
            _ => head.life.0 ^= 0x10,
        }
        let server = stage.network.life;
        let parcel = Parcel::Down {
            name,
            message: Rc::new(Message { head, body }),
            is_forged: true,
        };
        stage.after(500, Event::Arrive { parcel, server });
    }

    fn set_clock(&mut self) {
        let stage = &mut self.stage;
        let machines = stage.machines.len();
        let which = stage.random.place(machines + 1);
        match stage.machines.get(which) {
            Some(_) => {
                let mut machine = stage.machines[which].clone();
                machine.set_clock(&mut stage.random);
                stage.machines[which] = machine;
            }
            None => self.master.set_clock(&mut self.stage),
        }
    }

    /// One more process of a node.
    pub(crate) fn start_node(&mut self, name: usize, machine: usize) {
        let index = self.processes.len();
        let mut process = Process::new(&mut self.stage, index, name, machine);
        tell!(
            self.stage,
            "{} starts as {:x}",
            process.node,
            process.life.0
        );
        process.turn(&mut self.stage, None);
        self.processes.push(process);
    }
}

fn cut(stage: &mut Stage) -> Cut {
    let ways = stage.random.below(3);
    Cut {
        up: ways != 1,
        down: ways != 0,
    }
}

/// How long something is away: often shorter than a lease, sometimes far longer.
fn long(stage: &mut Stage) -> u64 {
    let most = [4 * SECOND, 11 * SECOND, 40 * SECOND][stage.random.place(3)];
    stage.random.between(SECOND / 2, most)
}

/// Until a service manager starts something again.
pub(crate) fn pause(stage: &mut Stage) -> u64 {
    let most = [SECOND, 8 * SECOND, 25 * SECOND][stage.random.place(3)];
    stage.random.between(SECOND / 10, most)
}
