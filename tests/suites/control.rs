//! The control plane under load, faults and attack, as a process with a real socket and a real disk:
//! limits that hold, crashes at every step, full and torn disks, roles, an independent client, abuse.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failed step is a failed test, and a skipped one says so"
)]

#[path = "control/abuse.rs"]
mod abuse;
#[path = "control/access.rs"]
mod access;
#[path = "control/contract.rs"]
mod contract;
#[path = "control/crash.rs"]
mod crash;
#[path = "control/disk.rs"]
mod disk;
#[path = "control/fixture.rs"]
mod fixture;
#[path = "control/limits.rs"]
mod limits;
#[path = "control/secrets.rs"]
mod secrets;
#[path = "control/troubles.rs"]
mod troubles;
