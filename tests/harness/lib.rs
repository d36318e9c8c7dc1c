//! What the integration suites stand on: the program itself, real SIP peers, an independent
//! instrument, and the repository as text.
//!
//! Every process that is started here is ended on drop, is bounded in time, and leaves its output
//! in a folder that is kept when its test fails. Nothing waits for a length of time: readiness is
//! a condition with a deadline. Never: decides what is right; that is the suites'.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step is a failed test"
)]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod api;
mod baresip;
mod capture;
mod carillon;
mod child;
mod debian;
mod events;
mod kamailio;
mod nats;
mod nats_jwt;
mod network;
mod reported;
mod repository;
mod scratch;
mod service;
mod sipp;
mod stage;
mod tshark;
mod wait;
mod wav;
mod worker;

pub use api::{Answer, Api, Asking, wait_for};
pub use baresip::{Baresip, BaresipCall};
pub use capture::{Capture, Seen};
pub use carillon::{Carillon, Finished, assert_late_at_most, assert_passed};
pub use child::Child;
pub use debian::{Debian, Ran};
pub use events::{Event, Events};
pub use kamailio::Kamailio;
pub use nats::{NatsMessage, NatsServer, NatsSubscriber};
pub use nats_jwt::NatsAccount;
pub use network::Network;
pub use reported::Reported;
pub use repository::{Repository, SourceFile};
pub use scratch::Scratch;
pub use service::{Service, Setup};
pub use sipp::{Sipp, SippStatistics};
pub use stage::Stage;
pub use tshark::{RtpStream, Tshark};
pub use wait::{alone, free_ports, peers, until};
pub use wav::write_sine;
pub use worker::Worker;

mod rtp_peer;
mod scripted;
pub use rtp_peer::{RtpEcho, rtp_packet, session};
pub use scripted::{Dialing, Heard, Scripted};
