//! The cluster's figures for docs/PERFORMANCE.md: what 20 nodes of 1,000 endpoints cost the
//! coordinator, how soon a subscriber has each second, how soon a run over three nodes begins to
//! call, and how soon 5,000 live calls over three nodes are ended and stored.
//!
//! `CARILLON=target/release/carillon cargo bench -p tests --bench cluster [-- --bench ingest|start|stop]`.
//! Real nats-server, coordinator and nodes as processes of their own on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a figure that cannot be taken ends the bench"
)]

#[path = "cluster/clock.rs"]
mod clock;
#[path = "cluster/ingest.rs"]
mod ingest;
#[path = "cluster/recording.rs"]
mod recording;
#[path = "cluster/source.rs"]
mod source;
#[path = "cluster/start.rs"]
mod start;
#[path = "cluster/stop.rs"]
mod stop;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test` runs benches too, to see that they build.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let parts = ["ingest", "start", "stop"];
    let asked = |part: &&str| arguments.iter().any(|argument| argument == part);
    let all = !parts.iter().any(asked);
    for part in parts.iter().filter(|part| all || asked(part)) {
        println!("== {part}");
        match *part {
            "ingest" => ingest::run(),
            "start" => start::run(),
            _ => stop::run(),
        }
    }
}
