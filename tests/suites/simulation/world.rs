//! One story: parties, what happens to them, and what must hold after every step.

use std::time::Instant;

use node::core::node::Input;

use super::chaos::{Mood, pause};
use super::master::Master;
use super::mutant::Mutant;
use super::network::{Cut, Parcel, Weather};
use super::process::{Process, Vigor};
use super::stage::{Event, SECOND, Stage, tell};
use super::tally::Tally;

/// Everything of one story.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) master: Master,
    pub(crate) processes: Vec<Process>,
    pub(crate) mood: Mood,
    /// Nodes, by name.
    pub(crate) nodes: usize,
}

/// How a story went.
pub(crate) struct Told {
    /// What happened.
    pub(crate) tally: Tally,
    /// The first broken invariant, and the step at which it broke.
    pub(crate) fault: Option<(u64, String)>,
    /// The last events in words, where they were asked for.
    pub(crate) trace: Vec<String>,
}

/// Steps in which everything may break.
pub(crate) const STEPS: u64 = 500;
/// Steps after all has healed within which everything must have ended.
const HEALING_STEPS: u64 = 30_000;
/// True time for the same: the longest teardown, a lease and its grace, and a minute.
const HEALING_US: u64 = 240 * SECOND;

/// Lives one story through.
pub(crate) fn story(seed: u64, mutant: Mutant, traced: bool) -> Told {
    let mut world = World::new(seed, mutant, traced);
    let mut step = 0;
    while step < STEPS && world.stage.fault.is_none() {
        step += u64::from(world.step());
    }
    world.heal();
    let until = world.stage.now + HEALING_US;
    let mut over = false;
    while world.stage.fault.is_none() && !over {
        let done = world.step();
        step += u64::from(done);
        over = done && world.is_quiet();
        if !over && (step > STEPS + HEALING_STEPS || world.stage.now > until) {
            let left = world.what_is_left();
            world
                .stage
                .broken(format!("not everything ended after all had healed: {left}"));
        }
    }
    if over {
        world.farewell();
    }
    let mut tally = world.stage.tally;
    tally.events = step;
    Told {
        tally,
        fault: world.stage.fault.map(|fault| (step, fault)),
        trace: world.stage.trace.unwrap_or_default(),
    }
}

impl World {
    fn new(seed: u64, mutant: Mutant, traced: bool) -> Self {
        // One instant for all stories of the process: only differences count.
        let origin = *ORIGIN.get_or_init(Instant::now);
        let nodes = 2 + (seed % 3) as usize;
        let mut stage = Stage::new(seed, origin, nodes, mutant, traced);
        let mood = Mood::of(&mut stage);
        let master = Master::start(&mut stage, nodes);
        let mut world = Self {
            stage,
            master,
            processes: Vec::new(),
            mood,
            nodes,
        };
        for name in 0..nodes {
            world.start_node(name, name);
        }
        world.stage.after(3 * SECOND, Event::Chaos);
        world
    }

    /// The next thing happens. False: it was nothing.
    fn step(&mut self) -> bool {
        let Some(event) = self.stage.next() else {
            self.stage.broken("nothing happens any more".to_owned());
            return true;
        };
        let done = self.happen(event);
        if done {
            self.check();
        }
        done
    }

    fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::Arrive { parcel, server } => {
                if server != self.stage.network.life || !self.stage.network.is_up {
                    return false;
                }
                self.arrive(parcel);
            }
            Event::Node { process, stamp } => {
                if !self.processes[process].wished(stamp) {
                    return false;
                }
                self.processes[process].turn(&mut self.stage, None);
            }
            Event::Thaw(process) => self.processes[process].thaw(&mut self.stage),
            Event::Start(name) => {
                let lives = |p: &Process| p.name == name && p.vigor != Vigor::Gone;
                if self.processes.iter().any(lives) {
                    return false;
                }
                self.start_node(name, name);
            }
            Event::Master { life } => return self.master.wake(&mut self.stage, life),
            Event::Flush { life } => return self.master.flushed(&mut self.stage, life),
            Event::MasterStart => {
                if self.master.is_running() {
                    return false;
                }
                self.master.restart(&mut self.stage);
            }
            Event::MasterThaw => self.master.thaw(&mut self.stage),
            Event::ServerUp => self.server_up(),
            Event::Heal(machine) => self.stage.network.cuts[machine] = Cut::default(),
            Event::HealMaster => self.stage.network.master_cut = Cut::default(),
            Event::Chaos => {
                if self.stage.healed {
                    return false;
                }
                self.chaos();
            }
        }
        true
    }

    fn arrive(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Up { name, message } => {
                if !self.stage.network.master_cut.down {
                    self.master.hear(&mut self.stage, name, &message);
                }
            }
            Parcel::Down {
                name,
                message,
                is_forged,
            } => {
                for process in &mut self.processes {
                    let cut = self.stage.network.cuts[process.machine].down;
                    if process.name != name || process.vigor == Vigor::Gone || cut {
                        continue;
                    }
                    // What somebody forged grants nothing.
                    if !is_forged {
                        process.witness(&message);
                    }
                    let input = Input::Message(Box::new((*message).clone()));
                    process.turn(&mut self.stage, Some(input));
                }
            }
            Parcel::Hello => {
                for process in &mut self.processes {
                    if !self.stage.network.cuts[process.machine].down {
                        process.turn(&mut self.stage, Some(Input::Hello));
                    }
                }
            }
            Parcel::Noise(name) => {
                for process in self.processes.iter_mut().filter(|p| p.name == name) {
                    process.turn(&mut self.stage, Some(Input::Unreadable));
                }
            }
        }
    }

    fn server_up(&mut self) {
        if self.stage.network.is_up {
            return;
        }
        tell!(self.stage, "the server is back");
        self.stage.network.is_up = true;
        for process in &mut self.processes {
            process.is_cut_off = false;
            process.turn(&mut self.stage, Some(Input::Connected));
        }
    }

    /// Everything that is broken is whole again, and nothing more breaks.
    fn heal(&mut self) {
        tell!(self.stage, "everything heals");
        self.stage.healed = true;
        self.stage.network.weather = Weather::calm();
        self.stage.network.master_cut = Cut::default();
        for cut in &mut self.stage.network.cuts {
            *cut = Cut::default();
        }
        self.server_up();
        for process in &mut self.processes {
            process.thaw(&mut self.stage);
        }
        self.master.thaw(&mut self.stage);
        if !self.master.is_running() {
            let pause = pause(&mut self.stage);
            self.stage.after(pause, Event::MasterStart);
        }
        for name in 0..self.nodes {
            self.stage.after(SECOND, Event::Start(name));
        }
        self.master.undrain(&mut self.stage, self.nodes);
    }

    fn is_quiet(&self) -> bool {
        let idle = |process: &Process| {
            process.vigor == Vigor::Gone
                || process.loads.is_empty() && process.core.held().is_empty()
        };
        self.master.is_running()
            && self.master.is_quiet()
            && self
                .stage
                .oracle
                .stories
                .values()
                .all(|story| story.settled)
            && self.processes.iter().all(idle)
    }

    fn what_is_left(&self) -> String {
        let mut left = self.master.what_is_left();
        for (run, story) in &self.stage.oracle.stories {
            if !story.settled {
                left.push(format!("{run} {:?} {}", story.status(), story.reason));
            }
        }
        for process in self.processes.iter().filter(|p| p.vigor != Vigor::Gone) {
            for held in process.core.held() {
                left.push(format!(
                    "{} holds {} {:?}",
                    process.node, held.run, held.state
                ));
            }
        }
        left.join("; ")
    }

    /// The counts of those who are still there.
    fn farewell(&mut self) {
        for process in &mut self.processes {
            if process.vigor != Vigor::Gone {
                process.end(&mut self.stage);
            }
        }
        self.master.farewell(&mut self.stage);
    }
}

static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
