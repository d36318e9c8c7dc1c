//! The packet log: one CSV line per packet, written by a thread of its own.
//!
//! Owns the file. A relay thread never waits for it: lines that find no room are counted.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::core::packet::Packet;
use crate::core::relay::Side;

/// What became of a packet, as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// Sent on.
    Sent,
    /// A copy was sent.
    Duplicate,
    /// Lost on purpose.
    Lost,
    /// From elsewhere than the SDP said.
    Stranger,
    /// No target, or no room.
    Refused,
}

/// One line.
#[derive(Debug)]
pub(super) struct Entry {
    /// When the kernel took it.
    pub(super) received: Instant,
    /// When it was sent on: before and after the system's call, which may take long on a busy machine.
    pub(super) released: Option<(Instant, Instant)>,
    /// Whose call.
    pub(super) call_id: Arc<str>,
    /// The end that it came from.
    pub(super) from: Side,
    /// `None` for RTCP.
    pub(super) rtp: Option<Packet>,
    /// Its fate.
    pub(super) fate: Logged,
}

/// The relay threads' end of the log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    sender: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Writes a line, or counts it.
    pub(super) fn write(&self, entry: Entry) {
        if self.sender.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Opens the file and starts its thread, which ends when the last [`Log`] is gone. Gives the count of lost
/// lines, too. Times are microseconds since `epoch`.
pub(super) fn open(
    path: &Path,
    epoch: Instant,
) -> io::Result<(Log, Arc<AtomicU64>, JoinHandle<()>)> {
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
    file.write_all(HEADER.as_bytes())?;
    let (sender, receiver) = sync_channel(ROOM);
    let lost = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&lost);
    let thread = std::thread::Builder::new()
        .name("lab-log".to_owned())
        .spawn(move || {
            if let Err(error) = write_all(&mut file, &receiver, epoch) {
                tracing::error!(%error, "the packet log ends here");
            }
        })?;
    Ok((
        Log {
            sender,
            lost: Arc::clone(&lost),
        },
        counter,
        thread,
    ))
}

fn write_all(
    file: &mut BufWriter<File>,
    receiver: &Receiver<Entry>,
    epoch: Instant,
) -> io::Result<()> {
    while let Ok(first) = receiver.recv() {
        line(file, &first, epoch)?;
        while let Ok(entry) = receiver.try_recv() {
            line(file, &entry, epoch)?;
        }
        file.flush()?;
    }
    file.flush()
}

fn line(file: &mut BufWriter<File>, entry: &Entry, epoch: Instant) -> io::Result<()> {
    let micros = |at: Instant| at.saturating_duration_since(epoch).as_nanos() as f64 / 1000.0;
    write!(file, "{:.1},", micros(entry.received))?;
    match entry.released {
        Some((_, at)) => write!(file, "{:.1},", micros(at))?,
        None => write!(file, ",")?,
    }
    let direction = match entry.from {
        Side::Caller => "to_callee",
        Side::Callee => "to_caller",
    };
    // A Call-ID has no quotes or commas that matter only if they are doubled and quoted.
    write!(
        file,
        "\"{}\",{direction},",
        entry.call_id.replace('"', "\"\"")
    )?;
    match entry.rtp {
        Some(rtp) => write!(file, "rtp,{},{},{},", rtp.sequence, rtp.timestamp, rtp.ssrc)?,
        None => write!(file, "rtcp,,,,")?,
    }
    let fate = match entry.fate {
        Logged::Sent => "sent",
        Logged::Duplicate => "duplicate",
        Logged::Lost => "lost",
        Logged::Stranger => "stranger",
        Logged::Refused => "refused",
    };
    match entry.released {
        Some((begun, at)) => {
            let took = at.saturating_duration_since(begun);
            writeln!(file, "{fate},{:.1}", took.as_nanos() as f64 / 1000.0)
        }
        None => writeln!(file, "{fate},"),
    }
}

/// `released_us` is when the sending had ended, `sending_us` how long it took: the packet left between.
const HEADER: &str =
    "received_us,released_us,call_id,direction,kind,sequence,timestamp,ssrc,fate,sending_us\n";
/// Lines in flight to the writer: a third of a second of 2,000 calls.
const ROOM: usize = 65_536;
