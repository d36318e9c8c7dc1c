//! What must hold after every step, whoever is to blame.

use shared::id::RunId;

use super::process::Vigor;
use super::world::World;

impl World {
    /// Looks at everyone. The first thing that is wrong ends the story.
    pub(crate) fn check(&mut self) {
        for process in &self.processes {
            if process.vigor != Vigor::Gone {
                process.check(&mut self.stage);
            }
        }
        self.check_calls();
        self.master.check(&mut self.stage);
    }

    /// Whoever calls, or will when it goes on: its run holds its slot, no account is used twice, and
    /// no endpoint is called for by two.
    fn check_calls(&mut self) {
        let mut accounts = 0u64;
        let mut owners: Vec<(RunId, u64)> = Vec::new();
        let mut wrong = None;
        for process in self.processes.iter().filter(|p| p.vigor != Vigor::Gone) {
            for load in process.could_send(&self.stage) {
                let (run, node) = (load.run, &process.node);
                if accounts & load.accounts != 0 {
                    wrong = Some(format!("{node} uses an account for {run} that is in use"));
                }
                accounts |= load.accounts;
                match owners.iter_mut().find(|(owned, _)| *owned == run) {
                    Some((_, places)) if *places & load.endpoints != 0 => {
                        wrong = Some(format!(
                            "{node} calls for an endpoint of {run} that has an owner"
                        ));
                    }
                    Some((_, places)) => *places |= load.endpoints,
                    None => owners.push((run, load.endpoints)),
                }
                if !self.master.holds(&self.stage, run) {
                    wrong = Some(format!(
                        "{node} may still call for {run} and its slot is free"
                    ));
                }
            }
        }
        if owners.len() > self.master.runs_allowed() {
            wrong = Some(format!("{} runs call at once", owners.len()));
        }
        if let Some(wrong) = wrong {
            self.stage.broken(wrong);
        }
    }
}
