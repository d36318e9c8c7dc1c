//! The journal's files: `<state_dir>/journal/<life>-<shard>`, and the lock that says that a process
//! lives in the state directory.
//!
//! Records are written by write(2) before the message they are about leaves, and never flushed: they
//! must survive the death of the process, not of the machine, whose dialogs die with its ports.
//! A disk that takes nothing stops no call: what could not be written goes with the next record.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use shared::definition::Network;
use shared::wire::LifeId;
use sip::wire::Message;

use crate::core::journal::{Book, Leg, Watch};

/// What waits for a disk that takes nothing; beyond it records are dropped and counted.
const WAITING_MAX: usize = 4 << 20;

/// The right to use a state directory; given back when dropped, or by the process's death.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process lives in it.
    #[error("another node process uses the state directory {0}: give each node its own")]
    Taken(PathBuf),
    /// It cannot be made, or its lock cannot be opened.
    #[error("the state directory {path} cannot be used: {source}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StateLock {
    /// Makes the directory where it is missing and takes its lock.
    ///
    /// Errors: see [`LockError`].
    pub fn take(state_dir: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable {
            path: state_dir.to_owned(),
            source,
        };
        fs::create_dir_all(state_dir).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(state_dir.join("lock"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(LockError::Taken(state_dir.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}

/// Where the journals of a state directory are.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

/// The journal of one shard. Clones share it; not for other threads.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    /// None: nothing is kept.
    file: Option<Open>,
    dropped: u64,
    /// It was said in the log that the disk takes nothing.
    told: bool,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    size: u64,
}

/// The file of a shard's journal, on its way to the shard's thread.
#[derive(Debug)]
pub struct JournalFile(Open);

impl JournalFile {
    /// Makes the journal of a shard.
    ///
    /// Errors: what the system said.
    pub fn create(state_dir: &Path, life: LifeId, shard: usize) -> io::Result<Self> {
        let folder = folder(state_dir);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{:016x}-{shard}", life.0));
        let file = fresh(&path)?;
        Ok(Self(Open {
            path,
            file,
            size: 0,
        }))
    }
}

impl Journal {
    /// One that writes to this file; without one, nothing is kept.
    #[must_use]
    pub fn new(file: Option<JournalFile>) -> Self {
        Self::with(file.map(|file| file.0))
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.inner.borrow().file.is_some()
    }

    fn with(file: Option<Open>) -> Self {
        let inner = Inner {
            book: Book::new(),
            file,
            dropped: 0,
            told: false,
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// A run begins that may send to these networks.
    pub fn allow(&self, networks: &[Network]) {
        let mut inner = self.inner.borrow_mut();
        if inner.file.is_some() {
            inner.book.allow(networks);
        }
    }

    /// To be called before a message of an endpoint leaves.
    pub fn sending(&self, watch: &mut Watch, leg: &Leg, message: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if inner.file.is_some() {
            watch.sending(&mut inner.book, leg, message);
            inner.write_urgent();
        }
    }

    /// To be called when a message for an endpoint came, before the endpoint acts on it.
    pub fn received(&self, watch: &mut Watch, message: &Message) {
        let mut inner = self.inner.borrow_mut();
        if inner.file.is_some() {
            watch.received(&mut inner.book, message);
            inner.write_urgent();
        }
    }

    /// To be called when an endpoint is over.
    pub fn ended(&self, watch: &mut Watch) {
        let mut inner = self.inner.borrow_mut();
        if inner.file.is_some() {
            watch.ended(&mut inner.book);
            inner.write_urgent();
        }
    }

    /// To be called about once a second: writes what could wait, and the file anew where it has
    /// grown beyond what is open.
    pub fn tidy(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.write();
        inner.compact();
    }

    /// Records that are not kept: the disk takes nothing, or they were too long.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let inner = self.inner.borrow();
        inner.dropped + inner.book.refused()
    }
}

impl Inner {
    fn write_urgent(&mut self) {
        if self.book.is_urgent() {
            self.write();
        }
    }

    fn write(&mut self) {
        let Some(open) = &mut self.file else { return };
        let octets = self.book.take();
        if octets.is_empty() {
            return;
        }
        match open.append(&octets) {
            Ok(()) => {
                self.told = false;
                self.book.reuse(octets);
            }
            Err(error) => {
                if !self.told {
                    self.told = true;
                    let path = open.path.display();
                    tracing::error!(%path, %error, "the journal of calls cannot be written");
                }
                if octets.len() <= WAITING_MAX {
                    self.book.give_back(octets);
                } else {
                    // Nothing more is kept in this life; what is in the file stays for the next.
                    tracing::error!("the journal of calls is given up");
                    self.dropped += 1;
                    self.file = None;
                }
            }
        }
    }

    fn compact(&mut self) {
        let Some(open) = &mut self.file else { return };
        let Some(places) = self.book.worth_compacting() else {
            return;
        };
        let copied = open.rewrite(&places);
        match copied {
            Ok(()) => self.book.compacted(),
            Err(error) => {
                let path = open.path.display();
                tracing::warn!(%path, %error, "the journal of calls cannot be made smaller");
            }
        }
    }
}

impl Drop for Inner {
    /// A process that ends in order leaves nothing to do for the next one.
    fn drop(&mut self) {
        self.write();
        if let Some(open) = &self.file
            && self.book.open() == 0
        {
            let _ = fs::remove_file(&open.path);
        }
    }
}

fn fresh(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        // Names and addresses of people who called are nobody else's business.
        .mode(0o600)
        .open(path)
}

impl Open {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(octets, self.size);
        match written {
            Ok(()) => self.size += octets.len() as u64,
            // A torn record at the end is skipped by the reader; the next one goes over it.
            Err(_) => drop(self.file.set_len(self.size)),
        }
        written
    }

    /// Writes a new file with these records and puts it in the place of the old one.
    fn rewrite(&mut self, places: &[crate::core::journal::Place]) -> io::Result<()> {
        let path = self.path.with_extension("new");
        let file = fresh(&path)?;
        let mut writer = io::BufWriter::with_capacity(256 * 1024, &file);
        let mut record = Vec::new();
        let mut size = 0;
        for place in places {
            record.resize(usize::try_from(place.length).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut record, place.offset)?;
            writer.write_all(&record)?;
            size += u64::from(place.length);
        }
        writer.flush()?;
        drop(writer);
        fs::rename(&path, &self.path)?;
        self.file = file;
        self.size = size;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::journal::read;
    use crate::net::scratch::Scratch;
    use sip::ua::{Destination, HostPort, Transport};

    fn leg() -> Leg {
        let address = "127.0.0.1:5062".parse().unwrap();
        Leg {
            local: address,
            to: Destination {
                host: HostPort::Ip(address),
                transport: Transport::Udp,
            },
        }
    }

    fn invite(call: u32) -> String {
        format!(
            "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{call}\r\n\
             From: <sip:a@x>;tag=t{call}\r\nTo: <sip:b@x>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\r\n"
        )
    }

    #[test]
    fn an_invite_is_in_the_file_before_it_leaves_and_the_file_goes_in_order() {
        let scratch = Scratch::new("journal");
        let journal = Journal::new(Some(
            JournalFile::create(scratch.path(), LifeId(5), 3).unwrap(),
        ));
        let path = scratch.path().join("journal/0000000000000005-3");
        let mut watch = Watch::new();
        journal.sending(&mut watch, &leg(), invite(1).as_bytes());
        assert_eq!(read(&fs::read(&path).unwrap()).open.len(), 1);
        // The process is killed here: the file stays. Below it ends in order.
        journal.ended(&mut watch);
        journal.tidy();
        assert_eq!(read(&fs::read(&path).unwrap()).open.len(), 0);
        assert_eq!(journal.dropped(), 0);
        drop(journal);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_written_anew_while_calls_go_on() {
        let scratch = Scratch::new("journal-compact");
        let journal = Journal::new(Some(
            JournalFile::create(scratch.path(), LifeId(5), 0).unwrap(),
        ));
        let path = scratch.path().join("journal/0000000000000005-0");
        let mut stays = Watch::new();
        journal.sending(&mut stays, &leg(), invite(0).as_bytes());
        for call in 1..60_000 {
            let mut watch = Watch::new();
            journal.sending(&mut watch, &leg(), invite(call).as_bytes());
            journal.ended(&mut watch);
            if call % 1_000 == 0 {
                journal.tidy();
            }
        }
        journal.tidy();
        let octets = fs::read(&path).unwrap();
        assert!(octets.len() < 9 << 20, "{}", octets.len());
        let contents = read(&octets);
        assert_eq!((contents.open.len(), contents.skipped), (1, 0));
    }

    #[test]
    fn one_process_for_each_state_directory() {
        let scratch = Scratch::new("lock");
        let lock = StateLock::take(scratch.path()).unwrap();
        let second = StateLock::take(scratch.path()).unwrap_err();
        assert!(matches!(second, LockError::Taken(_)));
        assert!(second.to_string().contains("another node process"));
        drop(lock);
        StateLock::take(scratch.path()).unwrap();
    }
}
