//! Quality figures of one stream, each a small estimator of constant size.
//!
//! Owns: arithmetic. Never: a clock, a packet's octets, an allocation.
//! Source: RFC 3550 §A; RFC 3611 §4.7; ITU-T G.107, G.107.1, G.107.2, G.113.

pub mod burst;
pub mod drift;
pub mod emodel;
pub mod jitter;
pub mod playout;
pub mod round_trip;
pub mod sequence;
pub mod spacing;
