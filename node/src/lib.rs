//! The node: makes the calls. `core` decides without a clock or socket, `actor` performs on
//! signalling threads, `net` meets the kernel. Never uses `coordinator`, sled or actix-web.

pub mod actor;
pub mod beats;
pub mod core;
pub mod net;

pub use actor::{NodeConfig, NodeEnd, NodeHandle, StartError, start};
pub use beats::Beats;
