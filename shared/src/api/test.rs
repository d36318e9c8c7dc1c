//! Saved tests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{ProjectId, TestId};

/// A test as it is saved: the fields of the test file (docs/TESTFILE.md), as JSON.
///
/// Differences: `registrars` is not there, a group's `registrar` names one of the project's; a
/// group's `accounts` may be left out (any free accounts of the registrar) or is
/// `{"pattern": "user{0001..0500}"}`, which picks accounts by user name and has no password; `media`
/// names a media file of the project.
///
/// Unknown keys are refused by `definition::saved_from_json`, which says what was meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestDefinition {
    /// Unique in the project; 1 to 128 octets.
    pub name: String,
    /// `"60s"` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// `"10s"` or a quarter of a shorter duration where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildup: Option<String>,
    /// Groups by name, in order; keys as in the test file.
    pub groups: Map<String, Value>,
    /// `"mos.p5 >= 3.8"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<String>>,
    /// Networks that may be sent to; each inside what the operator allows. All of that where it is
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_targets: Option<Vec<String>>,
    /// Traces kept of endpoints that did not fail: 0 to 1,000, 10 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_sample: Option<u32>,
    /// `"fail"` (where it is not given): the run ends FAILED when one of its nodes is lost;
    /// `"continue"`: it goes on without that node's share, and the result says what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_node_loss: Option<String>,
    /// Publish each endpoint's seconds on the bus too; false where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_endpoints: Option<bool>,
}

/// A saved test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SavedTest {
    /// Its id.
    pub id: TestId,
    /// Where it belongs.
    pub project: ProjectId,
    /// How many endpoints it has.
    pub endpoints: u32,
    /// ETag.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
    /// What was saved.
    #[serde(flatten)]
    pub definition: TestDefinition,
}

/// Whether a test could run now: pre-run validation without a run (PRODUCT §2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Checked {
    /// True where nothing speaks against it.
    pub can_run: bool,
    /// Everything that does.
    pub problems: Vec<super::Problem>,
    /// What it would reserve.
    pub estimate: super::Credits,
}
