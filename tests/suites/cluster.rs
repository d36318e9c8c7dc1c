//! A cluster as its users run it: coordinator, nodes and NATS as processes, and everything that can
//! die among them.
//!
//! `CARILLON_CRASHES=20` sets how often each fault is tried; CI tries each a few times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed step is a failed test"
)]
#![allow(clippy::print_stdout, reason = "seeds and figures are told")]

#[path = "cluster/allocation.rs"]
mod allocation;
#[path = "cluster/bus_faults.rs"]
mod bus_faults;
#[path = "cluster/commands.rs"]
mod commands;
#[path = "cluster/coordinator_lost.rs"]
mod coordinator_lost;
#[path = "cluster/drain.rs"]
mod drain;
#[path = "cluster/fixture.rs"]
mod fixture;
#[path = "cluster/frozen.rs"]
mod frozen;
#[path = "cluster/hosts.rs"]
mod hosts;
#[path = "cluster/media.rs"]
mod media;
#[path = "cluster/node_lost.rs"]
mod node_lost;
#[path = "cluster/readme.rs"]
mod readme;
