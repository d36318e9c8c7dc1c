//! Clocks that are right on every kernel: boot time, and the CPU of another process.

use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// `CLOCK_BOOTTIME` in microseconds.
pub(crate) fn boot_us() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("the boot clock");
    u64::try_from(Duration::from(now).as_micros()).unwrap()
}

/// CPU time of a process.
pub(crate) fn cpu(process: u32) -> Duration {
    let id = Pid::from_raw(i32::try_from(process).unwrap());
    let clock = clock_getcpuclockid(id).expect("the process' clock");
    Duration::from(clock_gettime(clock).expect("its time"))
}

/// Octets below a folder.
pub(crate) fn size(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Median and worst, in milliseconds.
pub(crate) fn told(times: &mut [Duration]) -> String {
    times.sort();
    let ms = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    format!(
        "median {:.0} ms, worst {:.0} ms of {}",
        ms(times.get(times.len() / 2)),
        ms(times.last()),
        times.len()
    )
}
