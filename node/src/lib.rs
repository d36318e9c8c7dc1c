//! The node: makes the calls. `core` decides without a clock or socket, `actor` performs on
//! signalling threads, `net` meets the kernel. Never uses `coordinator`, sled or actix-web.

pub mod actor;
pub mod core;
pub mod net;

pub use actor::{NodeConfig, NodeHandle, StartError, start};
