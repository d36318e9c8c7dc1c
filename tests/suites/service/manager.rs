//! What a service manager hears: ready, how it stands, that it lives, that it stops.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use tests::{Scratch, Setup, Worker, free_ports};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _scratch: Scratch,
}

impl Manager {
    fn new() -> Self {
        let scratch = Scratch::new("manager");
        let path = scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self {
            socket,
            path: path.to_str().unwrap().to_owned(),
            _scratch: scratch,
        }
    }

    /// What a service is started with.
    fn environment(&self) -> [(&'static str, &str); 2] {
        [("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", "3000000")]
    }

    /// Waits for a message with this line in it.
    fn hear(&self, line: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut heard = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{line} was not heard, but {heard:#?}");
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 4_096];
            let Ok(length) = self.socket.recv(&mut buffer) else {
                continue;
            };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|given| given == line) {
                return message;
            }
            heard.push(message);
        }
    }
}

#[test]
fn a_service_manager_hears_how_the_coordinator_stands() {
    let manager = Manager::new();
    let setup = manager
        .environment()
        .iter()
        .fold(Setup::new("notify"), |setup, (name, value)| {
            setup.environment(name, value)
        });
    let mut service = setup.start();
    let ready = manager.hear("READY=1");
    assert!(ready.contains(service.address()), "{ready}");
    manager.hear("WATCHDOG=1");
    service.process_mut().signal("TERM");
    manager.hear("STOPPING=1");
    let status = service.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", service.tail());
}

#[test]
fn a_node_is_ready_without_nats_and_says_that_it_waits_for_it() {
    let manager = Manager::new();
    let [nobody] = free_ports();
    let mut node = Worker::new("n1", "", &format!("nats://127.0.0.1:{nobody}"));
    for (name, value) in manager.environment() {
        node.set(name, value);
    }
    node.start();
    let ready = manager.hear("READY=1");
    assert!(
        ready.contains("STATUS=waits for NATS at nats://127.0.0.1:"),
        "{ready}"
    );
    manager.hear("WATCHDOG=1");
    node.signal("TERM");
    manager.hear("STOPPING=1");
    let status = node.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", node.tail());
}
