//! What survives: a copy of the directory taken right after a status, damaged snapshots, and a
//! coordinator that died.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use shared::id::{EndpointIndex, GroupIndex, NodeId, OrganizationId, RunId};
use shared::metric;
use shared::phase::{Outcome, Phase, RunStatus};
use shared::result::{GeneratorHealth, Part, StatusMove, Verdict};
use shared::wire::{Column, Share};

mod commits;
mod damage;
mod full;

use super::*;
use crate::core::run::Record;
use crate::core::summary::Summary;
use crate::testing::{self, RUN};

/// A directory of its own, removed in the end.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carillon-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// As a crash leaves it: what is on disk now, while the databases are open.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        copy_folder(&self.0, &copy.0);
        copy
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A status of the run, as a commit stores it.
fn status(writer: &Writer, status: RunStatus) {
    let mut record = testing::record(RUN);
    record.accepted = true;
    record.organization = OrganizationId(7);
    record.history.push(StatusMove {
        status,
        at_unix_ms: 7,
        reason: "test".to_owned(),
        sentence: "A test.".to_owned(),
    });
    let commit = Commit::new().put_run(Arc::new(record));
    writer.control().commit(commit, |stored| stored.unwrap());
}

fn writer(meta: &Meta) -> Writer {
    Writer::start(
        meta.clone(),
        Box::new(|run, error| panic!("storing {run}: {error}")),
    )
    .unwrap()
}

/// Waits for a future without a runtime: the storage thread wakes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Looks until something becomes true; the test's own time limit is the bound.
fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn wait(writer: &Writer) {
    let (done, waiting) = mpsc::channel();
    writer
        .push(Command::Then(Box::new(move || done.send(()).unwrap())))
        .unwrap();
    waiting.recv().unwrap();
}

fn frame(second: u32) -> Record {
    let mut frame = testing::frame(u64::from(second), second);
    frame.endpoints = (0..600).rev().map(EndpointIndex).collect();
    frame.phases = vec![Phase::Incall; 600];
    frame.columns = vec![Column {
        metric: metric::JITTER,
        values: (0..600).rev().map(|n| n as f32 + 0.25).collect(),
    }];
    Record::Frame(Box::new(frame))
}

/// PENDING and RUNNING, ten seconds, one report; then a flush by a status, or not.
fn write(meta: &Meta, last: RunStatus) -> Writer {
    let writer = writer(meta);
    let test = testing::pair_test(300, 300);
    writer
        .push(Command::Create(RUN, Box::new(test), Box::default()))
        .unwrap();
    for before in [RunStatus::Pending, RunStatus::Running] {
        status(&writer, before);
    }
    for second in 0..10 {
        writer.push(Command::Record(RUN, frame(second))).unwrap();
    }
    let report = Record::Report(Box::new(testing::report(599, Outcome::Success)));
    writer.push(Command::Record(RUN, report)).unwrap();
    status(&writer, last);
    wait(&writer);
    writer
}

fn check(meta: &Meta) {
    let reader = Reader::open(meta, RUN).unwrap();
    assert_eq!(reader.header().unwrap().test.endpoint_count(), 600);
    for range in [0..1, 255..258, 599..600, 0..600] {
        let series = reader.series(range.clone()).unwrap();
        assert_eq!(series.len(), range.len());
        for (endpoint, seconds) in series {
            assert_eq!(seconds.len(), 10);
            for (second, row) in seconds.iter().enumerate() {
                assert_eq!(row.second as usize, second);
                assert_eq!(row.phase, Some(Phase::Incall));
                assert_eq!(row.values["jitter_ms"], f64::from(endpoint) + 0.25);
            }
        }
    }
    let report = reader.report(EndpointIndex(599)).unwrap().unwrap();
    assert_eq!(report.account, "user599");
    assert_eq!(reader.report(EndpointIndex(0)).unwrap(), None);
    assert_eq!(reader.trace(EndpointIndex(0)).unwrap(), None);
}

#[test]
fn what_was_stored_before_a_status_survives_a_crash_after_it() {
    let directory = Directory::new();
    let (meta, epoch) = Meta::open(&directory.0).unwrap();
    let _writer = write(&meta, RunStatus::Stopping);
    let crashed = directory.copy();
    let (again, later) = Meta::open(&crashed.0).unwrap();
    assert!(later > epoch, "every start has a larger epoch");
    check(&again);
    let record = again.runs().find(RUN).unwrap();
    assert_eq!(record.status(), RunStatus::Stopping);
}

#[test]
fn how_far_a_run_is_is_on_disk_with_all_that_came_before_it() {
    let directory = Directory::new();
    let (meta, epoch) = Meta::open(&directory.0).unwrap();
    let writer = write(&meta, RunStatus::Running);
    let (heard, hears) = mpsc::channel();
    for number in 0u8..3 {
        let heard = heard.clone();
        writer
            .push(Command::Record(RUN, frame(10 + u32::from(number))))
            .unwrap();
        let octets = vec![number; 10_000].into();
        let written = Box::new(move || heard.send(number).unwrap());
        writer
            .push(Command::Checkpoint(RUN, octets, written))
            .unwrap();
    }
    for number in 0..3 {
        assert_eq!(hears.recv().unwrap(), number, "in their order, each once");
    }
    let crashed = directory.copy();
    let (again, later) = Meta::open(&crashed.0).unwrap();
    assert_eq!((again.cluster(), later), (meta.cluster(), epoch + 1));
    assert_ne!(again.cluster().0, 0);
    assert_eq!(again.checkpoint(RUN).unwrap(), Some(vec![2; 10_000]));
    let reader = Reader::open(&again, RUN).unwrap();
    assert_eq!(reader.series(0..1).unwrap()[&0].len(), 13);
    // A later coordinator goes on with it.
    let second = self::writer(&again);
    second.push(Command::Adopt(RUN)).unwrap();
    second.push(Command::Record(RUN, frame(13))).unwrap();
    let (heard, hears) = mpsc::channel();
    let written = Box::new(move || heard.send(()).unwrap());
    let octets = vec![7; 3].into();
    second
        .push(Command::Checkpoint(RUN, octets, written))
        .unwrap();
    hears.recv().unwrap();
    assert_eq!(again.checkpoint(RUN).unwrap(), Some(vec![7; 3]));
    assert_eq!(reader.series(0..1).unwrap()[&0].len(), 14);
    status(&second, RunStatus::Completed);
    wait(&second);
    // It goes after the answers of its group; what is answered next comes later.
    wait(&second);
    assert_eq!(
        again.checkpoint(RUN).unwrap(),
        None,
        "nobody needs it any more"
    );
}

#[test]
fn a_runs_damaged_snapshot_does_not_keep_it_from_being_read() {
    let directory = Directory::new();
    {
        let (meta, _) = Meta::open(&directory.0).unwrap();
        drop(write(&meta, RunStatus::Completed));
    }
    let run = directory.0.join("runs").join(RUN.to_string());
    let mut damaged = 0;
    for entry in fs::read_dir(&run).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            let octets = fs::read(entry.path()).unwrap();
            fs::write(entry.path(), &octets[..octets.len() / 2]).unwrap();
            damaged += 1;
        }
    }
    if damaged == 0 {
        fs::write(run.join("snap.00000000000000FF"), b"cut").unwrap();
    }
    let (meta, _) = Meta::open(&directory.0).unwrap();
    check(&meta);
}

#[test]
fn a_run_that_is_not_there_is_unknown_and_not_made() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    assert!(matches!(
        Reader::open(&meta, RunId(1)),
        Err(StoreError::UnknownRun)
    ));
    assert!(!directory.0.join("runs").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_told_with_its_path() {
    let directory = Directory::new();
    fs::write(&directory.0, b"a file").unwrap();
    let error = Meta::open(&directory.0).unwrap_err().to_string();
    assert!(error.contains(&*directory.0.to_string_lossy()), "{error}");
    fs::remove_file(&directory.0).unwrap();
}

fn window(from: u32, to: u32, limit: u32) -> Window {
    Window { from, to, limit }
}

#[test]
fn an_endpoints_seconds_come_in_pages_that_join() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let _writer = write(&meta, RunStatus::Completed);
    let reader = Reader::open(&meta, RUN).unwrap();
    let whole = reader.series(300..301).unwrap().remove(&300).unwrap();
    let mut joined = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        let page = reader
            .seconds_of_endpoint(EndpointIndex(300), &[], window(start, u32::MAX, 3))
            .unwrap();
        assert!(page.rows.len() <= 3);
        joined.extend(page.rows);
        from = page.next_from;
    }
    assert_eq!(joined, whole);
    let cut = |metrics: &[metric::MetricId], window| {
        let page = reader.seconds_of_endpoint(EndpointIndex(300), metrics, window);
        page.unwrap()
    };
    let some = cut(&[metric::JITTER], window(2, 4, 100));
    assert_eq!((some.rows.as_slice(), some.next_from), (&whole[2..4], None));
    let none = cut(&[metric::MOS], window(2, 4, 1));
    assert_eq!((none.rows[0].values.len(), none.next_from), (0, Some(3)));
    assert_eq!(cut(&[], window(9, 2, 1)), Series::default());
    assert_eq!(cut(&[], window(50, 60, 1)), Series::default());
    let foreign = reader.seconds_of_endpoint(EndpointIndex(600), &[], window(0, 5, 9));
    assert_eq!(foreign.unwrap(), Series::default());
}

#[test]
fn a_stored_run_lists_its_endpoints_also_those_that_never_told_their_end() {
    let directory = Directory::new();
    let (meta, _) = Meta::open(&directory.0).unwrap();
    let writer = write(&meta, RunStatus::Stopping);
    let trace = shared::wire::Trace {
        run: RUN,
        endpoint: EndpointIndex(3),
        dropped: 0,
        messages: Vec::new(),
    };
    let trace = Record::Trace(Box::new(trace));
    writer.push(Command::Record(RUN, trace)).unwrap();
    let share = |first, count| Share {
        group: GroupIndex(0),
        first,
        count,
    };
    let summary = Summary {
        began_unix_ms: None,
        elapsed_ms: 0,
        problems: Vec::new(),
        verdict: Verdict::Failed,
        all: Part::default(),
        groups: Vec::new(),
        failures: Vec::new(),
        generator: GeneratorHealth::default(),
        thresholds: Vec::new(),
        missing: Vec::new(),
        nodes: vec![
            (NodeId("left".to_owned()), vec![share(0, 3), share(4, 296)]),
            (NodeId("lost".to_owned()), vec![share(3, 1)]),
        ],
    };
    let summary = Record::Summary(Box::new(summary));
    writer.push(Command::Record(RUN, summary)).unwrap();
    wait(&writer);
    let rows = Reader::open(&meta, RUN)
        .unwrap()
        .roster()
        .unwrap()
        .snapshot();
    let ended = rows.row(599).unwrap();
    assert_eq!(
        (ended.phase, ended.outcome),
        (Phase::Closed, Some(Outcome::Success))
    );
    assert_eq!(
        (ended.group.as_str(), ended.account.as_str()),
        ("callees", "callees299")
    );
    let lost = rows.row(3).unwrap();
    assert_eq!((lost.phase, lost.outcome), (Phase::Incall, None));
    assert_eq!(lost.node.0, "lost");
    assert!(lost.has_trace && !ended.has_trace);
}
