//! The books against a plain model, with crashes that forget all that was not flushed.

use std::collections::BTreeMap;

use shared::units::Millis;

use super::*;
use crate::core::audit::{Replay, Seen, report};
use crate::core::limits::{Limits, exceeded};
use crate::core::record::RunRecord;
use crate::testing::{self, Random};

const ORG: OrganizationId = OrganizationId(7);
const PROJECT: ProjectId = ProjectId(1);

/// What a disk holds: entries, and runs that have not ended.
#[derive(Default)]
struct Disk {
    entries: Vec<LedgerEntry>,
    live: BTreeMap<RunId, RunRecord>,
}

/// The plain model: what must come out, written as one would by hand.
#[derive(Default)]
struct Model {
    granted: u64,
    spent: u64,
    live: BTreeMap<RunId, Wanted>,
}

struct World {
    seed: u64,
    ledger: Ledger,
    disk: Disk,
    model: Model,
    ended: Vec<RunId>,
    next: u64,
    now: u64,
}

fn limits() -> Limits {
    Limits {
        runs_per_project: Some(3),
        runs: 4,
        endpoints: 100,
        endpoints_per_run: 60,
        duration_max: Millis(60_000),
        credits: true,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            ledger: Ledger::default(),
            disk: Disk::default(),
            model: Model::default(),
            ended: Vec::new(),
            next: 0,
            now: 1_000,
        }
    }

    fn commit(&mut self, transfers: &[Transfer]) -> Vec<LedgerEntry> {
        let entries = self.ledger.entries(self.now, ORG, transfers);
        for entry in &entries {
            // The guard of a commit: an id is stored once.
            assert!(
                self.disk.entries.iter().all(|known| known.id != entry.id),
                "seed {}: {} twice",
                self.seed,
                entry.id
            );
        }
        entries
    }

    fn grant(&mut self, amount: u64) {
        self.next += 1;
        let id = format!("{:032x}", self.next);
        let note = String::new();
        let entries = self.commit(&[Transfer::Grant { id, amount, note }]);
        self.disk.entries.extend(entries.clone());
        self.ledger.confirm(&entries);
        self.model.granted += amount;
    }

    /// `survives`: flushed. Else the commit fails, or the process dies before it.
    fn start(&mut self, random: &mut Random, survives: bool, dies: bool) {
        self.next += 1;
        let run = RunId(self.next);
        let wanted = Wanted {
            endpoints: 1 + random.below(70),
            duration: Millis(u64::from(1 + random.below(61)) * 1_000),
        };
        let project = ProjectId(u64::from(random.below(2)));
        let problems = exceeded(&limits(), &self.ledger.in_use(ORG, project), wanted);
        let fits = self.model_fits(wanted);
        if !problems.is_empty() {
            // The model knows no projects: a refusal by the project alone is right as well.
            let only_project = problems.iter().all(|p| p.code.ends_with("_per_project"));
            assert!(!fits || only_project, "seed {}: {problems:?}", self.seed);
            return;
        }
        assert!(fits, "seed {}: too much was given", self.seed);
        self.ledger
            .hold(self.now, (ORG, project, run), wanted, true);
        let entries = self.commit(&[Transfer::Reserve(run)]);
        assert_eq!(entries.len(), 1);
        if survives {
            self.disk.entries.extend(entries.clone());
            let mut record = testing::record(run);
            record.organization = ORG;
            record.project = project;
            record.accepted = true;
            record.endpoints = wanted.endpoints;
            record.duration_ms = wanted.duration.0;
            record.reserved_endpoint_ms = wanted.estimate();
            self.disk.live.insert(run, record);
            self.model.live.insert(run, wanted);
            if !dies {
                self.ledger.confirm(&entries);
            }
        } else if !dies {
            self.ledger.release(ORG, run);
        }
        if dies {
            self.restart();
        }
    }

    fn model_fits(&self, wanted: Wanted) -> bool {
        let held: u64 = self.model.live.values().map(|w| w.estimate()).sum();
        let endpoints: u32 = self.model.live.values().map(|w| w.endpoints).sum();
        wanted.endpoints <= 60
            && wanted.duration.0 <= 60_000
            && self.model.live.len() < 4
            && endpoints + wanted.endpoints <= 100
            && wanted.estimate() + held + self.model.spent <= self.model.granted
    }

    fn end(&mut self, run: RunId, used: u64, survives: bool, dies: bool) {
        let entries = self.commit(&[Transfer::Settle { run, used }]);
        if entries.is_empty() {
            assert!(self.ended.contains(&run), "seed {}: lost {run}", self.seed);
            return;
        }
        if survives {
            self.disk.entries.extend(entries.clone());
            self.disk.live.remove(&run);
            let wanted = self.model.live.remove(&run).unwrap();
            self.model.spent += used.min(wanted.estimate());
            self.ended.push(run);
            if !dies {
                self.ledger.confirm(&entries);
            }
        }
        if dies {
            self.restart();
        }
    }

    /// All but the disk is gone; what was live ends, as at every start.
    fn restart(&mut self) {
        self.ledger = Ledger::default();
        for entry in &self.disk.entries {
            assert!(self.ledger.restore(entry), "seed {}", self.seed);
        }
        let live: Vec<RunRecord> = self.disk.live.values().cloned().collect();
        for record in live {
            let wanted = Wanted {
                endpoints: record.endpoints,
                duration: Millis(record.duration_ms),
            };
            let reserved = record.reserved_endpoint_ms;
            self.ledger
                .adopt(ORG, record.project, record.id, wanted, reserved);
            self.end(record.id, reserved / 3, true, false);
        }
    }

    fn check(&self) {
        let (stored, _) = self.ledger.stored(ORG);
        let held: u64 = self.model.live.values().map(|w| w.estimate()).sum();
        assert_eq!(stored.spent, self.model.spent, "seed {}", self.seed);
        assert_eq!(stored.reserved, held, "seed {}", self.seed);
        assert_eq!(
            stored.available + held + self.model.spent,
            self.model.granted,
            "seed {}",
            self.seed
        );
        let runs = self.model.live.len() as u32;
        assert_eq!(self.ledger.slots(ORG).0, runs, "seed {}", self.seed);
        let mut replays = BTreeMap::from([(ORG, Replay::default())]);
        for entry in &self.disk.entries {
            replays.get_mut(&ORG).unwrap().add(entry);
        }
        let seen = Seen {
            live: self.disk.live.values().collect(),
            books: self.ledger.faults(),
            slots: Vec::new(),
        };
        let found = report(self.now, &replays, &seen);
        let broken: Vec<_> = found.invariants.iter().filter(|i| !i.holds).collect();
        assert!(broken.is_empty(), "seed {}: {broken:?}", self.seed);
    }
}

#[test]
fn random_starts_ends_failures_and_crashes_keep_the_books_right() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut world = World::new(seed);
        world.grant(5_000_000);
        for _ in 0..200 {
            world.now += u64::from(random.below(1_000));
            let survives = random.below(4) > 0;
            let dies = random.below(20) == 0;
            let some = |random: &mut Random, runs: Vec<RunId>| {
                let index = random.below(runs.len() as u32) as usize;
                runs.get(index).copied()
            };
            match random.below(10) {
                0 => world.grant(u64::from(random.below(1_000_000))),
                1..=5 => world.start(&mut random, survives, dies),
                6..=8 => {
                    let live = world.model.live.keys().copied().collect();
                    if let Some(run) = some(&mut random, live) {
                        let used = u64::from(random.below(5_000_000));
                        world.end(run, used, survives, dies);
                    }
                }
                _ => {
                    let ended = world.ended.clone();
                    if let Some(run) = some(&mut random, ended) {
                        world.end(run, 1, true, false);
                    }
                }
            }
            world.check();
        }
        assert!(!world.ended.is_empty(), "seed {seed}: nothing happened");
    }
}

#[test]
fn several_transfers_of_one_commit_follow_each_other() {
    let mut world = World::new(0);
    world.grant(1_000_000);
    let wanted = Wanted {
        endpoints: 10,
        duration: Millis(1_000),
    };
    for run in [1, 2, 3] {
        world
            .ledger
            .hold(0, (ORG, PROJECT, RunId(run)), wanted, true);
    }
    let transfers: Vec<_> = [1, 2, 3, 2]
        .map(|run| Transfer::Reserve(RunId(run)))
        .to_vec();
    let entries = world.ledger.entries(9, ORG, &transfers);
    let figures: Vec<_> = entries
        .iter()
        .map(|e| {
            (
                e.sequence,
                e.balance.available.endpoint_ms,
                e.balance.reserved.endpoint_ms,
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            (2, 990_000, 10_000),
            (3, 980_000, 20_000),
            (4, 970_000, 30_000)
        ]
    );
    world.ledger.confirm(&entries);
    world.ledger.confirm(&entries);
    assert_eq!(world.ledger.stored(ORG).1, 4);
    assert_eq!(world.ledger.faults(), Vec::<String>::new());
}

#[test]
fn a_run_never_uses_more_than_it_reserved() {
    let mut world = World::new(0);
    world.grant(100);
    let wanted = Wanted {
        endpoints: 1,
        duration: Millis(60),
    };
    world.ledger.hold(0, (ORG, PROJECT, RunId(1)), wanted, true);
    let entries = world.commit(&[Transfer::Reserve(RunId(1))]);
    world.ledger.confirm(&entries);
    let settle = Transfer::Settle {
        run: RunId(1),
        used: 1_000,
    };
    let entries = world.commit(&[settle]);
    assert_eq!(
        (
            entries[0].amount.endpoint_ms,
            entries[0].returned.endpoint_ms
        ),
        (60, 0)
    );
}

#[test]
fn ids_of_entries_are_fixed_by_what_they_stand_for() {
    let id = entry_id(TransferKind::Reserve, RunId(0xABC));
    assert_eq!(id.len(), 32);
    assert_eq!(id, entry_id(TransferKind::Reserve, RunId(0xABC)));
    assert_ne!(id, entry_id(TransferKind::Settle, RunId(0xABC)));
    assert_ne!(id, entry_id(TransferKind::Reserve, RunId(0xABD)));
}
