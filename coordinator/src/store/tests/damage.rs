//! Snapshots, settings and logs that were cut, are stale or were overwritten.

use std::sync::Arc;

use shared::id::OrganizationId;

use super::*;
use crate::store::index::tests::record;
use crate::testing::Random;

const RECORDS: u32 = 150;

/// Writes records again and again until segments of the log are used for the second time.
fn churn(control: &Control, random: &mut Random, rounds: u32) {
    churn_some(control, random, rounds, RECORDS);
}

fn churn_some(control: &Control, random: &mut Random, rounds: u32, records: u32) {
    for _ in 0..rounds {
        let mut commit = Commit::new();
        for _ in 0..40 {
            let id = u64::from(random.below(records));
            let mut run = record(id, random);
            run.label = "x".repeat(random.below(1_500) as usize);
            commit = commit.put_run(Arc::new(run));
        }
        block_on(control.committed(commit)).unwrap();
    }
}

fn snapshots(meta: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(meta).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."))
        .map(|entry| entry.path())
        .collect()
}

/// The same runs, read through the database itself.
fn check_same(meta: &Meta, copy: &Directory, what: &str) {
    let (again, _) = Meta::open(&copy.0).unwrap_or_else(|error| panic!("{what}: {error}"));
    let runs = |meta: &Meta| meta.runs().of(OrganizationId(7));
    assert!(runs(&again) == runs(meta), "{what}");
}

#[test]
fn no_cut_or_stale_snapshot_costs_a_flushed_record() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let directory = Directory::new();
        let stale = {
            let (meta, _) = Meta::open(&directory.0).unwrap();
            let writer = writer(&meta);
            churn(&writer.control(), &mut random, 20);
            drop(writer);
            drop(meta);
            // sled writes one when it opens a log.
            let (_meta, _) = Meta::open(&directory.0).unwrap();
            snapshots(&directory.0.join("meta"))
                .into_iter()
                .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
                .collect::<Vec<(PathBuf, Vec<u8>)>>()
        };
        let (meta, _) = Meta::open(&directory.0).unwrap();
        let writer = writer(&meta);
        let control = writer.control();
        let before = fs::metadata(directory.0.join("meta/db")).unwrap().len();
        churn(&control, &mut random, 120);
        assert!(before > 0 && !stale.is_empty());
        // Live, as a crash leaves it, with each kind of damage.
        let whole = snapshots(&directory.0.join("meta")).pop().unwrap();
        let length = fs::read(&whole).unwrap().len();
        let name = PathBuf::from(whole.file_name().unwrap());
        for cut in [0, 1, 11, 12, 13, length / 2, length - 1] {
            let copy = directory.copy();
            let path = copy.0.join("meta").join(&name);
            let octets = fs::read(&path).unwrap();
            fs::write(&path, &octets[..cut]).unwrap();
            check_same(
                &meta,
                &copy,
                &format!("seed {seed}, cut at {cut} of {length}"),
            );
        }
        for (name, octets) in &stale {
            let copy = directory.copy();
            for path in snapshots(&copy.0.join("meta")) {
                fs::remove_file(path).unwrap();
            }
            fs::write(copy.0.join("meta").join(name), octets).unwrap();
            check_same(&meta, &copy, &format!("seed {seed}, stale"));
        }
        let copy = directory.copy();
        fs::write(
            copy.0.join("meta/snap.00000000000FFFFF.generating"),
            b"half",
        )
        .unwrap();
        check_same(&meta, &copy, &format!("seed {seed}, left over"));
    }
}

/// What a start may meet of snapshots. True: a refusal is an answer as well.
fn damage(meta: &Path, older: Option<&(PathBuf, Vec<u8>)>, random: &mut Random) -> bool {
    let kept = || -> Vec<PathBuf> {
        let entries = fs::read_dir(meta).unwrap().flatten().map(|e| e.path());
        entries
            .filter(|path| path.to_string_lossy().contains("kept.snap."))
            .collect()
    };
    let there = snapshots(meta);
    match random.below(6) {
        0 => there.iter().for_each(|path| fs::remove_file(path).unwrap()),
        1 => there
            .iter()
            .for_each(|path| fs::write(path, b"cut").unwrap()),
        2 => kept()
            .iter()
            .for_each(|path| fs::write(path, b"cut").unwrap()),
        3 => {
            if let Some((name, octets)) = older {
                there.iter().for_each(|path| fs::remove_file(path).unwrap());
                fs::write(meta.join(name), octets).unwrap();
            }
        }
        4 => {
            let all = there.into_iter().chain(kept());
            all.for_each(|path| fs::write(path, b"cut").unwrap());
            return true;
        }
        _ => {}
    }
    false
}

/// sled wipes a log whose oldest segments were freed where it has no snapshot: small logs that are
/// opened often are the ones.
#[test]
fn however_often_it_is_opened_nothing_goes() {
    let (mut refused, mut opened) = (0, 0);
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut directory = Directory::new();
        let mut older = None;
        for round in 0..12 {
            let what = format!("seed {seed}, round {round}");
            let (meta, _) = Meta::open(&directory.0).unwrap_or_else(|e| panic!("{what}: {e}"));
            opened += 1;
            let writer = writer(&meta);
            let rounds = random.below(6);
            churn_some(&writer.control(), &mut random, rounds, 10);
            let runs = meta.runs().of(OrganizationId(7));
            let crashed = directory.copy();
            drop(writer);
            drop(meta);
            if random.below(2) == 0 {
                directory = crashed;
            }
            let damaged = directory.copy();
            let may_refuse = damage(&damaged.0.join("meta"), older.as_ref(), &mut random);
            match Meta::open(&damaged.0) {
                Ok((again, _)) => {
                    assert!(again.runs().of(OrganizationId(7)) == runs, "{what}");
                }
                Err(error) => {
                    assert!(may_refuse, "{what}: {error}");
                    // Refused as it was: with its snapshot back, everything is there.
                    for path in snapshots(&directory.0.join("meta")) {
                        let name = path.file_name().unwrap();
                        fs::copy(&path, damaged.0.join("meta").join(name)).unwrap();
                    }
                    let (again, _) = Meta::open(&damaged.0).unwrap();
                    assert!(
                        again.runs().of(OrganizationId(7)) == runs,
                        "{what}, put back"
                    );
                    refused += 1;
                }
            }
            let newest = snapshots(&directory.0.join("meta")).pop();
            if random.below(3) == 0 {
                older =
                    newest.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()));
            }
        }
    }
    // Refusals are few: sled cleans its log when it likes.
    println!("{opened} openings, {refused} refused");
}

#[test]
fn cut_settings_are_written_anew_after_a_copy() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = writer(&meta);
    churn(&writer.control(), &mut Random::new(1), 5);
    let whole = fs::read(directory.0.join("meta/conf")).unwrap();
    for cut in 0..whole.len() {
        let copy = directory.copy();
        fs::write(copy.0.join("meta/conf"), &whole[..cut]).unwrap();
        let (again, _) = Meta::open(&copy.0).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_eq!(again.runs().len(), meta.runs().len(), "cut at {cut}");
        let repaired = again.gauges().health().repaired;
        let aside = copy.0.join("meta.before-repair");
        assert_eq!(repaired.is_some(), aside.is_dir(), "cut at {cut}");
        if let Some(repaired) = repaired {
            assert_eq!(fs::read(aside.join("conf")).unwrap().len(), cut);
            assert!(repaired.contains("meta.before-repair"), "{repaired}");
        }
    }
}

/// Whatever is overwritten: the same records, or a sentence; never fewer records, never a panic.
#[test]
fn an_overwritten_log_is_never_taken_for_a_shorter_one() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = writer(&meta);
    churn(&writer.control(), &mut Random::new(9), 60);
    let runs = meta.runs().of(OrganizationId(7));
    let log = fs::read(directory.0.join("meta/db")).unwrap();
    let (mut refused, mut same) = (0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut octets = log.clone();
        let place = random.below(octets.len() as u32) as usize;
        match random.below(4) {
            0 => octets[place] ^= 1 << random.below(8),
            1 => octets.truncate(place),
            _ => {
                let end = (place + 4_096).min(octets.len());
                octets[place..end].fill(0);
            }
        }
        let copy = directory.copy();
        fs::write(copy.0.join("meta/db"), octets).unwrap();
        match Meta::open(&copy.0) {
            Ok((again, _)) => {
                assert!(again.runs().of(OrganizationId(7)) == runs, "seed {seed}");
                same += 1;
            }
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("bring back a copy"), "seed {seed}: {told}");
                refused += 1;
            }
        }
    }
    println!("{same} as before, {refused} refused");
    assert!(refused > 0 && same > 0);
}

#[test]
fn a_second_one_is_told_at_once() {
    let directory = Directory::new();
    let (_meta, _) = Meta::open(&directory.0).unwrap();
    let began = std::time::Instant::now();
    let error = Meta::open(&directory.0).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(began.elapsed().as_millis() < 1_000);
}
