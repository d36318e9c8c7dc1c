//! RTCP: bounds check, reading, writing, and when to send.
//!
//! Source: RFC 3550 §6; RFC 3611; RFC 5761.
