//! One run's database: its trees, its keys, and how records go in.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `head` | `test` | the frozen test, without passwords |
//! | `blocks` | chunk u32, second u32, node u32, frame u32 | endpoint-seconds by column |
//! | `seconds` | second u32 | the whole run's second |
//! | `groups` | group u32, second u32 | a group's second; empty where a test has one group |
//! | `reports` | endpoint u32 | an endpoint's end |
//! | `traces` | endpoint u32 | its SIP messages |
//! | `head` | `summary` | the whole run |
//! | `head` | `held` | the SIP accounts it uses |
//!
//! All numbers big-endian; every key is followed by the part's number (see `parts`).

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::definition::Test;
use shared::id::{AccountId, RegistrarId};
use shared::wire::Frame;

use super::{StoreError, block, database, open, parts};
use crate::core::run::Record;

/// An open run; closed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunStore {
    pub(super) path: PathBuf,
    pub(super) db: sled::Db,
    pub(super) head: sled::Tree,
    pub(super) blocks: sled::Tree,
    pub(super) seconds: sled::Tree,
    pub(super) groups: sled::Tree,
    pub(super) reports: sled::Tree,
    pub(super) traces: sled::Tree,
    /// The log, for what sled's flush leaves to the system: its length and the disk's cache.
    log: File,
}

/// Key of the frozen test.
pub(super) const TEST: &[u8] = b"test";
/// Key of the summary.
pub(super) const SUMMARY: &[u8] = b"summary";
/// Key of what it holds.
pub(super) const HELD: &[u8] = b"held";

/// What a run holds as long as it lives: what the next coordinator needs of it beside the test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The SIP accounts it uses.
    pub(crate) accounts: Vec<(RegistrarId, AccountId)>,
}

impl RunStore {
    /// Opens or makes the database of a run.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // A run without its test is none.
        let sound = |db: &sled::Db| {
            let head = db.open_tree("head");
            head.is_ok_and(|head| head.scan_prefix(TEST).next().is_some())
        };
        let db = open::open(path, open::Kind::Run, &sound)?.db;
        let tree = |name: &str| db.open_tree(name).map_err(database(path));
        Ok(Self {
            path: path.to_owned(),
            head: tree("head")?,
            blocks: tree("blocks")?,
            seconds: tree("seconds")?,
            groups: tree("groups")?,
            reports: tree("reports")?,
            traces: tree("traces")?,
            log: File::open(path.join("db")).map_err(|source| StoreError::Directory {
                path: path.to_owned(),
                source,
            })?,
            db,
        })
    }

    /// Stores the frozen test. Passwords are needed to run, never to read a result.
    pub(super) fn put_test(&self, test: &Test) -> Result<(), StoreError> {
        let mut test = test.clone();
        for account in test.groups.iter_mut().flat_map(|group| &mut group.accounts) {
            account.password.clear();
        }
        self.put(&self.head, TEST, "the test", &test)
    }

    /// Stores what the run holds.
    pub(super) fn put_held(&self, held: &Held) -> Result<(), StoreError> {
        self.put(&self.head, HELD, "what it holds", held)
    }

    /// Stores a record; it is on disk after the next flush.
    pub(super) fn put_record(&self, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Frame(frame) => self.put_frame(frame),
            Record::Report(report) => self.put(
                &self.reports,
                &report.endpoint.0.to_be_bytes(),
                "an endpoint",
                report,
            ),
            Record::Trace(trace) => self.put(
                &self.traces,
                &trace.endpoint.0.to_be_bytes(),
                "a trace",
                trace,
            ),
            Record::Second(second) => self.put(
                &self.seconds,
                &second.second.to_be_bytes(),
                "a second",
                second,
            ),
            Record::GroupSecond(group, second) => {
                let mut key = u32::from(*group).to_be_bytes().to_vec();
                key.extend_from_slice(&second.second.to_be_bytes());
                self.put(&self.groups, &key, "a group's second", second)
            }
            Record::Summary(summary) => self.put(&self.head, SUMMARY, "the summary", summary),
        }
    }

    fn put_frame(&self, frame: &Frame) -> Result<(), StoreError> {
        let node = crc32fast::hash(frame.node.0.as_bytes());
        // A run has fewer than 2^32 frames of a node: ten a second for thirteen years.
        let sequence = u32::try_from(frame.sequence).unwrap_or(u32::MAX);
        let mut batch = sled::Batch::default();
        for (chunk, block) in block::blocks(frame) {
            let mut key = Vec::with_capacity(16);
            for number in [chunk, frame.second, node, sequence] {
                key.extend_from_slice(&number.to_be_bytes());
            }
            parts::put(&mut batch, &key, "endpoint seconds", &block)?;
        }
        self.blocks.apply_batch(batch).map_err(database(&self.path))
    }

    fn put<T: Serialize>(
        &self,
        tree: &sled::Tree,
        key: &[u8],
        what: &'static str,
        record: &T,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        parts::put(&mut batch, key, what, record)?;
        tree.apply_batch(batch).map_err(database(&self.path))
    }

    /// Returns once everything written is on disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(database(&self.path))?;
        // sled asks the system to write the pages; a power cut wants the file's length as well, and
        // nodes let go of what they were told is stored.
        let synced = self.log.sync_data().map_err(sled::Error::Io);
        synced.map_err(database(&self.path))
    }
}
