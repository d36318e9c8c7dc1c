//! A disk without room, as the probe tells it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use shared::id::{OrganizationId, RunId};

use super::*;
use crate::store::index::tests::record;
use crate::testing::Random;

const MB: u64 = 1 << 20;

struct Disk {
    directory: Directory,
    free: Arc<AtomicU64>,
    meta: Meta,
}

impl Disk {
    fn new() -> Self {
        let directory = Directory::new();
        let free = Arc::new(AtomicU64::new(100 * MB));
        let seen = Arc::clone(&free);
        let probe: space::Probe = Arc::new(move || Some(seen.load(Ordering::SeqCst)));
        let (meta, _) = Meta::open_with(&directory.0, Some(probe)).unwrap();
        Self {
            directory,
            free,
            meta,
        }
    }

    fn set(&self, free: u64) {
        self.free.store(free, Ordering::SeqCst);
    }
}

fn ended(id: u64) -> Commit {
    let mut run = record(id, &mut Random::new(id));
    run.history[0].status = RunStatus::Failed;
    Commit::new().put_run(Arc::new(run))
}

#[test]
fn only_ends_are_stored_while_there_is_no_room() {
    let disk = Disk::new();
    let writer = writer(&disk.meta);
    let control = writer.control();
    let ballast = disk.directory.0.join("ballast");
    block_on(control.committed(ended(1))).unwrap();
    assert!(ballast.exists());
    disk.set(0);
    let refused = block_on(control.committed(ended(2)));
    assert_eq!(refused, Err(CommitError::StorageFull));
    assert!(!ballast.exists());
    block_on(control.committed(ended(3).urgent())).unwrap();
    let health = control.health();
    assert_eq!((health.full, health.free_octets), (true, 0));
    assert_eq!(health.refused.commits_full, 1);
    disk.set(100 * MB);
    block_on(control.committed(ended(4))).unwrap();
    assert!(ballast.exists() && !control.health().full);
    let stored: Vec<u64> = (1..=4)
        .filter(|id| disk.meta.runs().find(RunId(*id)).is_some())
        .collect();
    assert_eq!(stored, [1, 3, 4]);
    // A commit that needs more than there is, is refused before it fills the disk.
    disk.set(6 * MB);
    let large = Commit::new().put(keys::setting("large"), &vec![7u8; 3 << 20]);
    assert_eq!(
        block_on(control.committed(large)),
        Err(CommitError::StorageFull)
    );
    block_on(control.committed(ended(5))).unwrap();
}

#[test]
fn ends_that_no_ballast_helps_are_stored_when_there_is_room() {
    let disk = Disk::new();
    let writer = writer(&disk.meta);
    let control = writer.control();
    let (sender, answers) = mpsc::channel();
    // Nothing can be written, and nothing opened.
    disk.meta.fail_flushes(u32::MAX);
    disk.set(0);
    for id in 1..=3 {
        let sender = sender.clone();
        control.commit(ended(id).urgent(), move |result| {
            sender.send((id, result)).unwrap();
        });
    }
    wait(&writer);
    assert!(
        answers.try_recv().is_err(),
        "nothing is answered before it is stored"
    );
    assert_eq!(control.health().pending_ends, 3);
    assert!(disk.meta.runs().of(OrganizationId(7)).is_empty());
    let key = keys::run(OrganizationId(7), RunId(1));
    let read = control.get::<crate::core::record::RunRecord>(&key);
    assert!(matches!(read, Err(StoreError::Reopening)), "nor shown");
    disk.meta.fail_flushes(0);
    disk.set(100 * MB);
    for id in 1..=3 {
        assert_eq!(answers.recv().unwrap(), (id, Ok(())));
    }
    assert_eq!(disk.meta.runs().of(OrganizationId(7)).len(), 3);
    assert_eq!(control.health().pending_ends, 0);
    let key = keys::run(OrganizationId(7), RunId(1));
    assert!(
        control
            .get::<crate::core::record::RunRecord>(&key)
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_runs_records_are_refused_once_told_and_its_summary_kept() {
    let disk = Disk::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let writer = Writer::start(
        disk.meta.clone(),
        Box::new(move |run, error| heard.lock().unwrap().push((run, error.is_full()))),
    )
    .unwrap();
    let test = testing::pair_test(300, 300);
    writer
        .push(Command::Create(RUN, Box::new(test), Box::default()))
        .unwrap();
    writer.push(Command::Record(RUN, frame(0))).unwrap();
    wait(&writer);
    disk.set(MB + MB / 4);
    for second in 1..5 {
        writer.push(Command::Record(RUN, frame(second))).unwrap();
        wait(&writer);
    }
    assert_eq!(*told.lock().unwrap(), [(RUN, true)]);
    assert_eq!(writer.control().health().refused.records, 4);
    // A run that begins now is told as well, and leaves nothing behind.
    let other = RunId(RUN.0 + 1);
    let test = testing::pair_test(1, 1);
    writer
        .push(Command::Create(other, Box::new(test), Box::default()))
        .unwrap();
    wait(&writer);
    assert_eq!(told.lock().unwrap().len(), 2);
    assert!(!disk.meta.run_path(other).exists());
    let rows = Reader::open(&disk.meta, RUN).unwrap().series(0..1).unwrap();
    assert_eq!(rows[&0].len(), 1);
}
