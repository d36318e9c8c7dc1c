//! Ids of requests: in the answer's `X-Request-Id`, in a problem's `instance`, in the log.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next id: 8 hexadecimal digits of this process, 8 that count.
pub(crate) fn next() -> String {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish() as u32);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{process:08x}{:08x}", count & 0xFFFF_FFFF)
}
