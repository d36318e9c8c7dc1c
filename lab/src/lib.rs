//! The built-in SIP target: digest registrar, record-routing proxy, RTP/RTCP relay that
//! misbehaves on demand.
//!
//! Owns what a test needs from a platform and no more: it is no production proxy. The decisions
//! live in `core` (pure, virtual time), the sockets and threads in `shell`. It is a
//! stateless proxy (RFC 3261 §16.11) with a table of calls beside it, so a repeated request is
//! answered, routed and broken in the same way each time.
//!
//! ```no_run
//! let lab = lab::Lab::start(lab::LabConfig::default())?;
//! println!("register at {}", lab.sip_addr());
//! let counted = lab.shutdown();
//! # Ok::<(), lab::LabError>(())
//! ```

mod config;
mod core;
mod error;
#[cfg(test)]
mod fake;
mod stats;

mod shell;

pub use config::{
    Accounts, Action, Auth, DigestAlgorithm, Fault, Faults, Impairment, LabConfig, Loss,
    RelayConfig,
};
pub use error::LabError;
pub use shell::{Lab, LabHandle};
pub use stats::{CallMedia, Direction, LabStats, MAX_ENDED_CALLS, SipStats};
