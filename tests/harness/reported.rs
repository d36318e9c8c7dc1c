//! How an endpoint of a result ended.

use shared::result::EndpointResult;
use shared::wire::EndpointReport;

/// An endpoint that told how it ended.
pub trait Reported {
    /// Its report.
    ///
    /// # Panics
    /// Where it never told.
    fn report(&self) -> &EndpointReport;
}

impl Reported for EndpointResult {
    fn report(&self) -> &EndpointReport {
        self.report
            .as_ref()
            .unwrap_or_else(|| panic!("endpoint {} never told how it ended", self.endpoint.0))
    }
}
