//! Shells of the node: actors that turn the world into inputs of a core and perform its outputs.
//!
//! One `NodeActor` a process; a `ShardActor` for each signalling thread; below it a
//! `GroupActor` for each group's part, which supervises its `EndpointActor`s
//! (DESIGN 3 and 4). Nothing on a call's path crosses threads.

mod endpoint;
mod engine_reports;
mod former;
mod group;
mod lingering;
mod listen;
mod live_run;
mod measuring;
mod node;
mod perform;
mod plan;
mod preparation;
mod prepare;
mod process;
mod running;
mod shard;
mod shard_run;
mod start;
mod state;
mod timers;

pub use start::{NodeConfig, NodeEnd, NodeHandle, StartError, start};
