//! The bus between coordinator and nodes: subjects, octets, nothing else. In-process here; the NATS
//! side keeps the same shape.

use bytes::Bytes;

/// A message as it arrives.
#[derive(Clone, Debug)]
pub struct BusMessage {
    /// The subject it was published on.
    pub subject: String,
    /// The payload.
    pub payload: Bytes,
}
