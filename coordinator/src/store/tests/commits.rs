//! Group commit against a plain map, crashes at every place of it, and failing flushes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use shared::id::{OrganizationId, ProjectId, RunId};
use shared::wire::encode;

use super::*;
use crate::core::record::RunRecord;
use crate::failpoint::hook;
use crate::store::index::tests::record;
use crate::testing::Random;

const ORGANIZATION: OrganizationId = OrganizationId(7);

type Model = BTreeMap<Key, String>;

fn key(number: u32) -> Key {
    keys::setting(&format!("k{number}"))
}

/// A commit of up to four writes under up to three guards, and what the model makes of it.
fn random_commit(random: &mut Random, model: &mut Model) -> (Commit, Result<(), CommitError>) {
    let mut commit = Commit::new();
    let mut expected = Ok(());
    for number in 0..random.below(4) as usize {
        let key = key(random.below(12));
        let now = model.get(&key);
        let holds = match random.below(3) {
            0 => {
                commit = commit.expect_absent(key.clone());
                now.is_none()
            }
            1 => {
                commit = commit.expect_present(key.clone());
                now.is_some()
            }
            _ => {
                let seen = match random.below(3) {
                    0 => "other".to_owned(),
                    _ => now.cloned().unwrap_or_default(),
                };
                let octets = encode(&seen).unwrap().to_vec();
                commit = commit.expect_unchanged(key.clone(), octets);
                now == Some(&seen)
            }
        };
        if !holds && expected.is_ok() {
            expected = Err(CommitError::Conflict(number));
        }
    }
    let mut after = model.clone();
    let mut touched = std::collections::BTreeSet::new();
    for _ in 0..=random.below(4) {
        let key = key(random.below(12));
        if !touched.insert(key.clone()) {
            continue;
        }
        if random.below(4) == 0 {
            after.remove(&key);
            commit = commit.delete(key);
        } else {
            let length = [3, 40, 5_000][random.below(3) as usize];
            let text: String = (0..length)
                .map(|_| char::from(b'a' + (random.next() % 26) as u8))
                .collect();
            commit = commit.put(key.clone(), &text);
            after.insert(key, text);
        }
    }
    if expected.is_ok() {
        *model = after;
    }
    (commit, expected)
}

fn stored(control: &Control) -> Model {
    let rows = control.scan::<String>(&keys::setting(""), None, 1_000);
    rows.unwrap().into_iter().collect()
}

#[test]
fn commits_in_groups_do_what_a_map_does() {
    for seed in 0..25 {
        let mut random = Random::new(seed);
        let directory = Directory::new();
        let (meta, _) = Meta::open(&directory.0).unwrap();
        let writer = writer(&meta);
        let control = writer.control();
        let mut model = Model::new();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut expected = Vec::new();
        for number in 0..120 {
            let (commit, result) = random_commit(&mut random, &mut model);
            expected.push((number, result));
            let answers = Arc::clone(&answers);
            control.commit(commit, move |result| {
                answers.lock().unwrap().push((number, result));
            });
            // Groups of any length: sometimes the queue is emptied first.
            if random.below(6) == 0 {
                wait(&writer);
                // Without printing the texts.
                assert!(stored(&control) == model, "seed {seed}, commit {number}");
                // Only while nothing is flushed: a group that fails twice is refused.
                if random.below(10) == 0 {
                    meta.fail_flushes(1);
                }
            }
        }
        wait(&writer);
        // A group whose flush failed is answered after what was asked meanwhile.
        while answers.lock().unwrap().len() < expected.len() {
            wait(&writer);
        }
        let mut got = answers.lock().unwrap().clone();
        got.sort_by_key(|(number, _)| *number);
        assert_eq!(got, expected, "seed {seed}");
        assert!(stored(&control) == model, "seed {seed}");
        for (key, text) in &model {
            let (value, octets) = control.get::<String>(key).unwrap().unwrap();
            assert!(value == *text && octets == *encode(text).unwrap());
        }
        let after = model.keys().nth(model.len() / 2).unwrap();
        let rest = control.scan::<String>(&keys::setting(""), Some(after), 3);
        let want: Model = model
            .range::<Key, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            .take(3)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert!(rest.unwrap().into_iter().collect::<Model>() == want);
        let back = control
            .scan_back::<String>(&keys::setting(""), Some(after), 2)
            .unwrap();
        let want: Vec<_> = model
            .range(..after.clone())
            .rev()
            .take(2)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert!(back == want, "seed {seed}");
        let all = control.count(&keys::setting(""), 1_000).unwrap();
        assert_eq!(all, model.len());
    }
}

fn run(id: u64, status: RunStatus) -> Arc<RunRecord> {
    let mut run = record(id, &mut Random::new(id));
    run.history[0].status = status;
    run.settled = status.is_terminal();
    // Longer than a part, so that records lie in several places of the log.
    run.label = format!("{id} {}", "0123456789abcdef".repeat(200));
    Arc::new(run)
}

/// What is in a copy must be what a run of these commits can leave behind: all of those that were
/// answered, and of each of the others all or nothing.
fn check_copy(copy: &Directory, answered: usize, order: &[u64], seed: u64) {
    let (meta, _) = Meta::open(&copy.0).unwrap();
    let writer = writer(&meta);
    let control = writer.control();
    let ledger = control
        .scan::<u64>(&keys::ledger_of(ORGANIZATION), None, 10_000)
        .unwrap();
    assert!(
        ledger.len() >= answered,
        "seed {seed}: {} of {answered}",
        ledger.len()
    );
    let entries: Vec<u64> = ledger.iter().map(|(_, id)| *id).collect();
    assert_eq!(entries, order[..entries.len()], "seed {seed}");
    let runs = meta.runs().of(ORGANIZATION);
    let mut known: Vec<u64> = entries.clone();
    known.sort_unstable();
    known.dedup();
    assert_eq!(runs.len(), known.len(), "seed {seed}");
    for record in runs {
        let settled = entries.iter().filter(|id| **id == record.id.0).count() == 2;
        assert_eq!(record.status().is_terminal(), settled, "seed {seed}");
        let stored: Option<(RunRecord, _)> =
            control.get(&keys::run(ORGANIZATION, record.id)).unwrap();
        assert_eq!(stored.unwrap().0, *record);
    }
}

#[test]
fn a_crash_at_any_place_of_a_commit_loses_nothing_that_was_answered() {
    let mut copies = 0;
    for seed in 100..112 {
        let mut random = Random::new(seed);
        let directory = Directory::new();
        let (meta, _) = Meta::open(&directory.0).unwrap();
        let writer = writer(&meta);
        let control = writer.control();
        let answered = Arc::new(AtomicUsize::new(0));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (source, heard, list) = (
            directory.0.clone(),
            Arc::clone(&answered),
            Arc::clone(&taken),
        );
        let mut dice = Random::new(seed + 1);
        let watch = move || {
            hook::set(Box::new(move |place| {
                if dice.below(12) == 0 {
                    let answered = heard.load(Ordering::SeqCst);
                    let copy = Directory::new();
                    copy_folder(&source, &copy.0);
                    list.lock()
                        .unwrap()
                        .push((copy, answered, place.to_owned()));
                }
            }));
        };
        writer.push(Command::Then(Box::new(watch))).unwrap();
        wait(&writer);
        let (mut open, mut order) = (Vec::new(), Vec::new());
        for number in 1..=60u64 {
            let settle = !open.is_empty() && random.below(2) == 0;
            let (id, status) = if settle {
                let place = random.below(open.len() as u32) as usize;
                (open.swap_remove(place), RunStatus::Completed)
            } else {
                open.push(number);
                (number, RunStatus::Queued)
            };
            order.push(id);
            let answered = Arc::clone(&answered);
            let commit = Commit::new()
                .put_run(run(id, status))
                .expect_absent(keys::ledger(ORGANIZATION, number))
                .put(keys::ledger(ORGANIZATION, number), &id);
            control.commit(commit, move |result| {
                result.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            });
            if random.below(5) == 0 {
                wait(&writer);
            }
        }
        wait(&writer);
        assert_eq!(answered.load(Ordering::SeqCst), 60);
        for (copy, answered, _) in taken.lock().unwrap().iter() {
            check_copy(copy, *answered, &order, seed);
            copies += 1;
        }
    }
    assert!(copies > 60, "{copies} crashes are too few");
}

#[test]
fn a_failed_flush_is_made_up_for_and_answered_once() {
    for failing in 1..4 {
        let directory = Directory::new();
        let (meta, _) = Meta::open(&directory.0).unwrap();
        let writer = writer(&meta);
        let control = writer.control();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let hold = Arc::clone(&answers);
        // The first one holds the thread until all of the group is there.
        let (go, wait_for) = mpsc::channel::<()>();
        writer
            .push(Command::Then(Box::new(move || wait_for.recv().unwrap())))
            .unwrap();
        wait_until(|| meta.gauges().health().queue_depth == 0);
        meta.fail_flushes(failing);
        for id in 1..=20u64 {
            let mut commit = Commit::new().put_run(run(id, RunStatus::Completed));
            if id % 2 == 0 {
                commit = commit.urgent();
            }
            let answers = Arc::clone(&hold);
            control.commit(commit, move |result| {
                answers.lock().unwrap().push((id, result))
            });
        }
        go.send(()).unwrap();
        while answers.lock().unwrap().len() < 20 {
            wait(&writer);
        }
        let mut answers = answers.lock().unwrap().clone();
        answers.sort_by_key(|(id, _)| *id);
        assert!(answers.iter().map(|(id, _)| *id).eq(1..=20));
        for (id, answer) in answers {
            let shown = meta.runs().get(ORGANIZATION, RunId(id));
            let stored: Option<(RunRecord, _)> =
                control.get(&keys::run(ORGANIZATION, RunId(id))).unwrap();
            // Ends are always stored in the end; others are stored, or refused and not there.
            assert!(id % 2 == 1 || answer.is_ok(), "{id}: {answer:?}");
            assert_eq!(answer.is_ok(), shown.is_some(), "{id}: {answer:?}");
            assert_eq!(shown.as_deref(), stored.as_ref().map(|(run, _)| run));
        }
        let health = control.health();
        assert!(health.refused.reopened > 0);
        assert_eq!(health.pending_ends, 0);
    }
}

#[test]
fn what_cannot_be_a_commit_is_refused() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = writer(&meta);
    let control = writer.control();
    let bad = [
        Commit::new().put(Vec::new(), &1),
        Commit::new().put(vec![0xF1], &1),
        Commit::new().put(vec![1; keys::KEY_MAX + 1], &1),
        Commit::new().put(keys::setting("long"), &vec![0u8; 65 << 20]),
    ];
    for commit in bad {
        let (sender, answer) = mpsc::channel();
        control.commit(commit, move |result| sender.send(result).unwrap());
        let answer = answer.recv().unwrap();
        assert!(matches!(answer, Err(CommitError::Failed(_))), "{answer:?}");
    }
    assert_eq!(control.health().refused.commits_failed, 4);
    assert!(stored(&control).is_empty());
}

#[test]
fn a_control_outlives_its_writer_without_hanging() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = writer(&meta);
    let control = writer.control();
    drop(writer);
    let (sender, answer) = mpsc::channel();
    control.commit(Commit::new().put(key(1), "text").urgent(), move |result| {
        sender.send(result).unwrap();
    });
    assert!(answer.recv().is_err(), "it is dropped, not called");
    assert_eq!(control.get::<String>(&key(1)).unwrap(), None);
}

#[test]
fn deleted_runs_are_gone_with_their_directories_and_unshared_tests() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = write(&meta, RunStatus::Completed);
    let control = writer.control();
    let frozen = |byte: u8| keys::frozen(ORGANIZATION, &[byte; 32]);
    let mut commit = Commit::new();
    for (id, byte, status) in [
        (RUN.0, 1, RunStatus::Completed),
        (2, 1, RunStatus::CannotRunForNow),
        (3, 2, RunStatus::Running),
    ] {
        let mut run = (*run(id, status)).clone();
        run.frozen = [byte; 32];
        commit = commit.put_run(Arc::new(run)).put(frozen(byte), "test");
    }
    let delete = |organization, run| {
        let answer = control.delete_run(organization, RunId(run));
        block_on(answer)
    };
    block_on(control.committed(commit)).unwrap();
    assert_eq!(delete(OrganizationId(8), RUN.0), Err(DeleteError::Unknown));
    assert_eq!(delete(ORGANIZATION, 99), Err(DeleteError::Unknown));
    assert_eq!(delete(ORGANIZATION, 3), Err(DeleteError::Live));
    let path = meta.run_path(RUN);
    assert!(path.is_dir());
    assert_eq!(delete(ORGANIZATION, RUN.0), Ok(()));
    assert!(!path.exists());
    assert!(meta.runs().find(RUN).is_none());
    assert!(matches!(
        Reader::open(&meta, RUN),
        Err(StoreError::UnknownRun)
    ));
    let there = |byte| control.get::<String>(&frozen(byte)).unwrap().is_some();
    assert!(there(1), "run 2 needs it");
    assert_eq!(delete(ORGANIZATION, 2), Ok(()));
    assert!(!there(1) && there(2));
    assert_eq!(delete(ORGANIZATION, 2), Err(DeleteError::Unknown));
    drop(writer);
    let (again, _) = Meta::open(&directory.copy().0).unwrap();
    assert_eq!(again.runs().len(), 1);
}

#[test]
fn a_deletion_that_a_crash_interrupted_is_finished() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = write(&meta, RunStatus::Completed);
    let commit = Commit::new().put_run(run(RUN.0, RunStatus::Completed));
    block_on(writer.control().committed(commit)).unwrap();
    let crashed = directory.copy();
    remove::mark(&crashed.0.join("runs"), RUN).unwrap().unwrap();
    let (again, _) = Meta::open(&crashed.0).unwrap();
    assert_eq!(again.runs().len(), 0);
    wait_until(|| {
        fs::read_dir(crashed.0.join("runs"))
            .unwrap()
            .next()
            .is_none()
    });
}

#[test]
fn retention_deletes_what_is_too_much() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = writer(&meta);
    let control = writer.control();
    let mut commit = Commit::new();
    for id in 1..=500 {
        let mut run = (*run(id, RunStatus::Completed)).clone();
        (run.project, run.pinned, run.ended_unix_ms) = (ProjectId(id % 2), id == 1, Some(id));
        commit = commit.put_run(Arc::new(run));
    }
    block_on(control.committed(commit)).unwrap();
    let retention = shared::api::Retention {
        days: None,
        runs: Some(10),
    };
    let applied = control.apply_retention(ORGANIZATION, ProjectId(1), retention, 1_000);
    assert_eq!(block_on(applied).unwrap(), 239);
    let left = meta.runs().of_project(ORGANIZATION, ProjectId(1));
    let mut left: Vec<u64> = left.iter().map(|run| run.id.0).collect();
    left.reverse();
    let newest: Vec<u64> = (481..=499).step_by(2).collect();
    assert_eq!(left, [vec![1], newest].concat());
    assert_eq!(meta.runs().len(), 261);
}
