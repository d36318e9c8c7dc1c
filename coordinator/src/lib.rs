//! The coordinator: decides, remembers, shows.
//!
//! `core` is pure and runs in virtual time; `actor` performs what the cores put out; `store` is the
//! only place that knows sled. Never touches `node`, `sip` or `media`: it speaks to nodes through
//! the bus, also where both live in one process (DESIGN "The way of a run").

mod actor;
mod core;
mod failpoint;
mod handle;
mod http;
mod live;
mod objects;
mod outward;
mod plane;
mod result;
#[cfg(any(feature = "simulation", test))]
pub mod simulation;
mod store;
#[cfg(test)]
mod testing;

pub use core::plan::Plan;
pub use handle::{
    CoordinatorConfig, Handle, RequestError, STARTS_AT_ONCE, StartError, StopReason, start,
};
pub use http::{HttpConfig, HttpServerHandle, ServeError, Service, TlsFiles, serve};
pub use live::LiveStream;
pub use plane::{ControlPlane, ControlPlaneConfig};
