//! `carillon nkey FILE`: a key by which a process logs in to NATS. The seed stays in the file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::exit::Exit;

/// Writes the seed into a file that does not exist yet, and prints what `nats.conf` is told.
pub(crate) fn make(path: &Path) -> anyhow::Result<Exit> {
    let (seed, public) =
        shared::bus::make_nkey().map_err(|why| anyhow!("cannot make an nkey: {why}"))?;
    let cannot = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(cannot)?;
    writeln!(file, "{seed}").with_context(cannot)?;
    writeln!(io::stdout(), "{public}")?;
    Ok(Exit::Passed)
}
