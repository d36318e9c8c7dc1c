//! Why a lab could not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps a lab from starting. Peers' misbehaviour is never an error: it is counted.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The configuration contradicts itself or names what is not allowed.
    #[error("the lab's configuration cannot be used: {}", problems.join("; "))]
    Config {
        /// One sentence each, beginning with the key.
        problems: Vec<String>,
    },
    /// An address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The packet log could not be created.
    #[error("cannot write the packet log {}: {source}", path.display())]
    Log {
        /// The file asked for.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system refused a thread, a timer or an event queue.
    #[error("the system refused what the lab needs: {source}")]
    System {
        /// The system's reason.
        #[from]
        source: std::io::Error,
    },
}

/// Two errors are the same when they say the same; `io::Error` has no better notion.
impl PartialEq for LabError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
