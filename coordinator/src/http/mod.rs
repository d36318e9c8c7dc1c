//! The HTTP API: the only place that knows actix-web. Decides nothing about runs, stores nothing.
//!
//! A request goes: `server` (connections, TLS, head time) → `manners` (request id, key, rate, log,
//! problem documents) → a route (`Caller`, `Json`, `Query`) → `Objects` or the coordinator's handle.
//! Every route has its OpenAPI entry, with the role that it needs as `x-role`.

mod auth;
mod body;
mod config;
mod depth;
mod etag;
mod gate;
mod health;
mod idempotency;
mod limit;
mod manners;
mod objects;
mod openapi;
mod page;
mod problem;
mod request_id;
mod routes;
mod runs;
mod server;
mod state;
mod streams;
mod tls;
mod unread;
mod watch;

#[cfg(test)]
mod tests;

pub use config::{HttpConfig, TlsFiles};
pub use server::{HttpServerHandle, ServeError, serve};
pub use state::Service;
