//! Frames that were refused or came late, counted by reason.

use serde::{Deserialize, Serialize};

/// What was refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Strange {
    /// Frames of another run or epoch, or of a node without a share.
    pub(crate) foreign: u64,
    /// Frames that had come before.
    pub(crate) repeated: u64,
    /// Frames whose columns do not fit their rows.
    pub(crate) malformed: u64,
    /// Frames that never came, by their numbers.
    pub(crate) missing: u64,
    /// Frames of a second that was already told.
    pub(crate) late: u64,
}

impl Strange {
    /// Frames whose figures are in no result.
    pub(crate) fn lost(self) -> u64 {
        self.missing + self.malformed
    }
}
