//! What two processes must agree on: ids, the test definition, phases and statuses, wire messages,
//! the objects of the HTTP API, the metric catalogue, mergeable statistics and the bus.
//!
//! Nothing here has a clock, a task or a socket of its own (the NATS side of `bus` will be the one
//! exception). `shared` never uses `sip`, `media`, sled or actix-web.

pub mod api;
pub mod bus;
pub mod definition;
pub mod id;
pub mod metric;
pub mod phase;
pub mod result;
pub mod stat;
pub mod units;
pub mod wire;
