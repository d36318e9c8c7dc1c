//! Media, sans-IO: SDP offer/answer, RTP and RTCP, codecs and sources, quality.
//!
//! Never: a socket, a clock, a thread, a runtime; never sees a SIP header.

pub mod codec;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod seeded;
pub mod source;
pub mod stream;

#[cfg(test)]
mod torture;
