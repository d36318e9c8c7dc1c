//! The process' own figures: CPU by its clock (not `/proc/stat`, which is wrong for timer-driven
//! work) and resident memory.

use std::time::Instant;

use crate::core::meter::ProcessSecond;
use crate::net::media::time::process_cpu_ns;

/// Reads the process' CPU and memory between two calls.
#[derive(Debug)]
pub(super) struct ProcessMeter {
    at: Instant,
    cpu_ns: u64,
}

impl ProcessMeter {
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now(),
            cpu_ns: process_cpu_ns(),
        }
    }

    /// Cores busy since the last call, and memory now.
    pub(super) fn read(&mut self) -> ProcessSecond {
        let (at, cpu_ns) = (Instant::now(), process_cpu_ns());
        let span = at.duration_since(self.at).as_secs_f64().max(1e-6);
        let used = cpu_ns.saturating_sub(self.cpu_ns) as f64 / 1e9;
        (self.at, self.cpu_ns) = (at, cpu_ns);
        ProcessSecond {
            cpu_cores: (used / span) as f32,
            resident_bytes: resident_bytes(),
        }
    }
}

/// The second figure of `statm` is resident pages. 0 where the kernel does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * PAGE_OCTETS
}

/// Linux on x86-64 and most 64-bit ARM machines.
const PAGE_OCTETS: u64 = 4_096;
