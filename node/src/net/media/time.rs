//! The system's clocks in nanoseconds, and sleeping until one of them says so.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// `CLOCK_MONOTONIC` in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970.
#[must_use]
pub fn realtime_ns() -> u64 {
    clock_ns(ClockId::CLOCK_REALTIME)
}

/// `CLOCK_BOOTTIME` in microseconds: as the monotonic clock, and it goes on while the machine is
/// suspended. Leases are measured by it.
#[must_use]
pub fn boottime_us() -> u64 {
    clock_ns(ClockId::CLOCK_BOOTTIME) / 1_000
}

/// CPU time of the calling thread in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of this process in nanoseconds.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

// These clocks exist on every Linux; a reading of 0 is what is left where one does not.
fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        (time.tv_sec() as u64) * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// Sleeps until a `CLOCK_MONOTONIC` time; returns at once where it has passed.
pub fn sleep_until(mono_ns: u64) {
    let until = TimeSpec::new(
        (mono_ns / 1_000_000_000) as i64,
        (mono_ns % 1_000_000_000) as i64,
    );
    while clock_nanosleep(
        ClockId::CLOCK_MONOTONIC,
        ClockNanosleepFlags::TIMER_ABSTIME,
        &until,
    ) == Err(Errno::EINTR)
    {}
}

/// Both clocks at one moment, wall clock first; none where the thread lost its processor between
/// the readings in every try: such a pair would move all arrival times by the time it was away.
pub(super) fn both_clocks_ns() -> Option<(u64, u64)> {
    (0..TRIES)
        .map(|_| {
            let before = monotonic_ns();
            let real = realtime_ns();
            let doubt = monotonic_ns().saturating_sub(before);
            (doubt, real, before + doubt / 2)
        })
        .find(|(doubt, ..)| *doubt <= DOUBT_MAX_NS)
        .map(|(_, real, mono)| (real, mono))
}

/// Readings tried for one sample.
const TRIES: u32 = 5;
/// Three readings that nothing came between take far less than this.
const DOUBT_MAX_NS: u64 = 5_000;
