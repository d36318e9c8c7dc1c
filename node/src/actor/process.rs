//! The process' own figures: CPU by its clock (not `/proc/stat`, which is wrong for timer-driven
//! work) and resident memory.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::core::meter::ProcessSecond;

/// Reads the process' CPU and memory between two calls.
#[derive(Debug)]
pub(super) struct ProcessMeter {
    at: Instant,
    cpu: Duration,
}

impl ProcessMeter {
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// Cores busy since the last call, and memory now.
    pub(super) fn read(&mut self) -> ProcessSecond {
        let (at, cpu) = (Instant::now(), cpu_time());
        let span = at.duration_since(self.at).as_secs_f64().max(1e-6);
        let used = cpu.saturating_sub(self.cpu).as_secs_f64();
        (self.at, self.cpu) = (at, cpu);
        ProcessSecond {
            cpu_cores: (used / span) as f32,
            resident_bytes: resident_bytes(),
        }
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(Duration::from)
        .unwrap_or_default()
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
