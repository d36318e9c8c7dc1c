//! Coordinator core, node core, leases, ledger and bus in one thread, with chance for everything that
//! can go wrong, and what must hold after every step. Source: reliability §2.3 and §3.
//!
//! `CARILLON_SIM_SEEDS=n` runs so many stories, `CARILLON_SEED=s` only this one, with its trace.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step is a failed test, and what happened is told"
)]

#[path = "simulation/chaos.rs"]
mod chaos;
#[path = "simulation/check.rs"]
mod check;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/load.rs"]
mod load;
#[path = "simulation/master.rs"]
mod master;
#[path = "simulation/mutant.rs"]
mod mutant;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/stage.rs"]
mod stage;
#[path = "simulation/tally.rs"]
mod tally;
#[path = "simulation/world.rs"]
mod world;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use mutant::Mutant;
use tally::Tally;
use world::{STEPS, Told, story};

/// Stories in a usual run.
const SEEDS: u64 = 10_000;
/// Stories below which it is not asked whether everything happened.
const ENOUGH: usize = 2_000;
/// Lines of a failing story that are printed.
const LINES: usize = 120;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number")),
    )
}

/// Those that once failed first.
fn seeds() -> Vec<u64> {
    let kept = include_str!("simulation/seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(|word| word.parse().unwrap());
    kept.chain(1..=number("CARILLON_SIM_SEEDS").unwrap_or(SEEDS))
        .collect()
}

fn print(told: &Told, lines: usize) {
    let skipped = told.trace.len().saturating_sub(lines);
    for line in told.trace.iter().skip(skipped) {
        println!("{line}");
    }
}

/// Lives the stories through, on all cores; the first that fails is told again, in words.
fn live(seeds: &[u64]) -> Tally {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let mut sum = Tally::default();
        let mut fault = None;
        while !failed.load(Ordering::Relaxed) {
            let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let told = story(*seed, Mutant::None, false);
            sum.add(&told.tally);
            if let Some((step, what)) = told.fault {
                failed.store(true, Ordering::Relaxed);
                fault = Some((*seed, step, what));
            }
        }
        (sum, fault)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let mut sum = Tally::default();
    for (part, fault) in parts {
        sum.add(&part);
        if let Some((seed, step, what)) = fault {
            print(&story(seed, Mutant::None, true), LINES);
            panic!(
                "seed {seed} failed at step {step}: {what}\n  again: CARILLON_SEED={seed} cargo test -p tests --test simulation\n  add it to tests/suites/simulation/seeds.txt"
            );
        }
    }
    sum
}

#[test]
fn what_must_hold_holds_after_every_step_of_every_story() {
    if let Some(seed) = number("CARILLON_SEED") {
        let told = story(seed, Mutant::None, true);
        print(&told, usize::MAX);
        println!("{:?}", told.tally);
        assert_eq!(told.fault, None, "seed {seed}");
        return;
    }
    let seeds = seeds();
    let began = Instant::now();
    let sum = live(&seeds);
    println!(
        "{} stories of {STEPS} steps and their healing in {:.1} s",
        seeds.len(),
        began.elapsed().as_secs_f64()
    );
    let counts = sum.counts();
    for (name, count) in &counts {
        println!("{count:>12} {name}");
    }
    if seeds.len() >= ENOUGH {
        let never: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).collect();
        assert!(
            never.is_empty(),
            "never happened, so nothing is proved of it: {never:?}"
        );
    }
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    for seed in 1..=20 {
        let (one, other) = (
            story(seed, Mutant::None, true),
            story(seed, Mutant::None, true),
        );
        let parting = one.trace.iter().zip(&other.trace).find(|(a, b)| a != b);
        assert_eq!(parting, None, "seed {seed}");
        assert_eq!(one.trace.len(), other.trace.len(), "seed {seed}");
    }
}

#[test]
fn each_mistake_that_is_made_on_purpose_is_found() {
    for (mutant, word) in Mutant::ALL {
        let found = (1..=MUTANT_SEEDS).find_map(|seed| {
            let (step, what) = story(seed, mutant, false).fault?;
            println!("{mutant:?}: seed {seed}, step {step}: {what}");
            Some(what)
        });
        let Some(what) = found else {
            panic!("{mutant:?} was not found in {MUTANT_SEEDS} stories");
        };
        assert!(
            what.contains(word),
            "{mutant:?} was found by something else: {what}"
        );
    }
}

/// Stories in which a mistake must show.
const MUTANT_SEEDS: u64 = 2_000;
