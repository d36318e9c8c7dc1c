//! Media files.

use serde::{Deserialize, Serialize};

use crate::id::{MediaId, ProjectId};

/// A WAV file; tests name it: `media = "announcement.wav"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaFile {
    /// Its id.
    pub id: MediaId,
    /// Where it belongs.
    pub project: ProjectId,
    /// Unique in the project; ends with `.wav`.
    pub name: String,
    /// Its size.
    pub octets: u64,
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u16,
    /// How long it plays.
    pub duration_ms: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// ETag; a file never changes: upload another and delete this one.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
}
