//! Waiting for conditions, finding free ports, and saying when a peer is missing.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Asks until there is an answer; fails the test at the deadline.
///
/// # Panics
/// At the deadline, naming `what`.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(POLL);
    }
}

/// Held by a test that measures, so that no other of its suite takes the machine's cores.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed while it held the machine has left nothing behind in it.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True where all programs are installed; else says so.
///
/// # Panics
/// Where one is missing and the environment has `CI`: there a missing peer is a failure.
#[must_use]
pub fn peers(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !installed(program))
        .collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(
        std::env::var_os("CI").is_none(),
        "not installed: {missing} (tests/run installs them)"
    );
    println!("skipped: not installed: {missing} (tests/run installs them)");
    false
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(Into::into))
        .any(|folder| Path::new(&folder).join(program).is_file())
}

/// Ports of 127.0.0.1 that are free for UDP and TCP now, together with the one behind each.
///
/// # Panics
/// Where the machine has none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are found, so that none comes twice.
    let mut held = Vec::new();
    std::array::from_fn(|_| {
        for _ in 0..ATTEMPTS {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
            let port = udp.local_addr().expect("its address").port();
            let Some(next) = port.checked_add(1) else {
                continue;
            };
            let pair = UdpSocket::bind(("127.0.0.1", next));
            let tcp = (
                TcpListener::bind(("127.0.0.1", port)),
                TcpListener::bind(("127.0.0.1", next)),
            );
            if let (Ok(pair), (Ok(_), Ok(_))) = (pair, tcp) {
                held.push((udp, pair));
                return port;
            }
        }
        panic!("no free pair of ports in {ATTEMPTS} attempts");
    })
}

const POLL: Duration = Duration::from_millis(20);
const ATTEMPTS: u32 = 200;
