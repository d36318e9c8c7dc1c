//! Mergeable statistics.

use serde::{Deserialize, Serialize};

/// stub: a mergeable histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    _stub: u8,
}
