//! Figures of this process. CPU by the process' clock: `/proc/stat` is wrong for work that timers
//! drive.

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// This process now; what the kernel does not say is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Seconds of CPU since its start, all threads.
    pub(super) cpu_s: f64,
    /// Octets in memory.
    pub(super) resident: Option<u64>,
    /// Open file descriptors.
    pub(super) descriptors: Option<u64>,
}

impl Process {
    /// Reads them.
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident: resident(),
            descriptors: std::fs::read_dir("/proc/self/fd")
                .ok()
                // The directory itself is one of them.
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
        }
    }
}

/// The second figure of `statm` is resident pages.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_descriptors_and_used_cpu() {
        let first = Process::read();
        assert!(first.resident.unwrap() > 100_000);
        assert!(first.descriptors.unwrap() >= 3);
        let mut sum = 0u64;
        while Process::read().cpu_s <= first.cpu_s {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
