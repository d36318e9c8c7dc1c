//! The limits of PRODUCT §4 that hold before a run may start.

use shared::units::Millis;

/// Limits of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Most endpoints of one run.
    pub endpoints_per_run: u32,
    /// Longest duration.
    pub duration_max: Millis,
    /// Runs at once.
    pub concurrent_runs: u32,
    /// Endpoints over all running runs.
    pub concurrent_endpoints: u32,
}

impl Default for Plan {
    /// The built-in plan: the numbers that DESIGN designs for.
    fn default() -> Self {
        Self {
            endpoints_per_run: 100_000,
            duration_max: Millis(24 * 3_600_000),
            concurrent_runs: 16,
            concurrent_endpoints: 200_000,
        }
    }
}
