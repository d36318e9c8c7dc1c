//! A real nats-server on a free port, and a subscriber that speaks NATS' text protocol by itself: an
//! independent witness of what is on the bus. Source: NATS client protocol.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Child, Repository, Scratch, free_ports, peers, until};

/// A nats-server that can be killed and comes back on the same port.
#[derive(Debug)]
pub struct NatsServer {
    address: String,
    port: u16,
    arguments: Vec<String>,
    folder: PathBuf,
    starts: u32,
    encrypted: bool,
    // Ends before the folder goes.
    process: Option<Child>,
    scratch: Scratch,
}

impl NatsServer {
    /// One that lets everybody do everything. `None`, with a line that says so, where nats-server is
    /// missing.
    ///
    /// # Panics
    /// Where it does not get ready, or is missing under CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::configured("")
    }

    /// The same on another address of this machine.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_at(address: &str) -> Option<Self> {
        if !peers(&["nats-server"]) {
            return None;
        }
        let scratch = Scratch::new("nats");
        let path = scratch.write("nats.conf", "");
        Some(Self::run(scratch, &path, address, false))
    }

    /// One with further lines in its configuration: users, limits.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn configured(lines: &str) -> Option<Self> {
        if !peers(&["nats-server"]) {
            return None;
        }
        let scratch = Scratch::new("nats");
        let path = scratch.write("nats.conf", lines);
        Some(Self::run(scratch, &path, LOOPBACK, false))
    }

    /// One with `config/nats.conf` as it is in the repository, after the commands in its comments:
    /// TLS, users and permissions.
    ///
    /// # Panics
    /// As [`Self::start`], and where a command fails.
    #[must_use]
    pub fn shipped() -> Option<Self> {
        Self::shipped_with(str::to_owned)
    }

    /// The same, but it asks clients for certificates too, as comments in the file say how.
    ///
    /// # Panics
    /// As [`Self::shipped`], and where those comments are missing.
    #[must_use]
    pub fn shipped_with_client_certificates() -> Option<Self> {
        Self::shipped_with(|text| {
            let authority = "# ca_file: \"/etc/carillon/tls/ca.pem\"";
            let verify = "# verify: true";
            assert!(text.contains(authority) && text.contains(verify), "{text}");
            text.replace(authority, "ca_file: \"tls/ca.pem\"")
                .replace(verify, "verify: true")
        })
    }

    fn shipped_with(change: impl FnOnce(&str) -> String) -> Option<Self> {
        if !peers(&["nats-server", "openssl"]) {
            return None;
        }
        let text = change(&Repository::find().read("config/nats.conf"));
        let commands: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#     "))
            .collect();
        assert!(commands.len() > 5, "config/nats.conf has no commands");
        let scratch = Scratch::new("nats");
        let path = scratch.write("nats.conf", &text);
        shell(scratch.path(), &commands.join("\n"));
        Some(Self::run(scratch, &path, LOOPBACK, true))
    }

    fn run(scratch: Scratch, config: &Path, address: &str, encrypted: bool) -> Self {
        let [port] = free_ports();
        let arguments = ["-a", address, "-p", &port.to_string(), "-c"]
            .map(str::to_owned)
            .into_iter()
            .chain([config.display().to_string()])
            .collect();
        let mut server = Self {
            address: address.to_owned(),
            port,
            arguments,
            folder: scratch.path().to_owned(),
            starts: 0,
            encrypted,
            process: None,
            scratch,
        };
        server.restart();
        server
    }

    /// Starts it (again) on the same port and waits until it greets.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn restart(&mut self) {
        self.process = None;
        self.starts += 1;
        let mut command = Command::new("nats-server");
        let path = std::env::var("PATH").unwrap_or_default();
        // Debian keeps servers out of a user's path.
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command.args(&self.arguments).current_dir(&self.folder);
        let name = format!("nats-server-{}", self.starts);
        let mut process = Child::start(&name, &mut command, &self.scratch);
        until("nats-server greeting", READY, || {
            if let Some(status) = process.ended() {
                panic!("nats-server ended ({status}):\n{}", process.tail());
            }
            let mut stream = TcpStream::connect((self.address.as_str(), self.port)).ok()?;
            stream.set_read_timeout(Some(POLL)).ok()?;
            let mut greeting = [0; 5];
            stream.read_exact(&mut greeting).ok()?;
            (&greeting == b"INFO ").then_some(())
        });
        self.process = Some(process);
    }

    /// Kills it: `kill -9`.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("KILL");
            process.wait(READY);
        }
    }

    /// A signal by its name, such as `STOP` and `CONT`.
    pub fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "tls" } else { "nats" };
        format!("{scheme}://{}:{}", self.address, self.port)
    }

    /// Makes a client's certificate and key with these file names in its folder, signed by the shipped
    /// configuration's authority.
    ///
    /// # Panics
    /// Where openssl fails.
    pub fn sign_client(&self, certificate: &str, key: &str) {
        let commands = format!(
            "openssl ecparam -name prime256v1 -genkey -noout -out {key}
             openssl req -new -key {key} -subj /CN=fra1 -out client.csr
             printf 'extendedKeyUsage=clientAuth\\n' > client.ext
             openssl x509 -req -in client.csr -CA tls/ca.pem -CAkey tls/ca-key.pem -CAcreateserial -days 1 -extfile client.ext -out {certificate}"
        );
        shell(self.scratch.path(), &commands);
    }

    /// Its folder; of [`Self::shipped`] with `tls/ca.pem`.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The password that the commands made for a user, such as `coordinator`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn password(&self, user: &str) -> String {
        let key = format!("{}_PASSWORD: ", user.to_uppercase());
        self.scratch
            .read("nats-secrets.conf")
            .lines()
            .find_map(|line| line.strip_prefix(&key))
            .map(|value| value.trim_matches('"').to_owned())
            .unwrap_or_else(|| panic!("no password for {user}"))
    }
}

/// Commands in a folder, for the host of this test.
fn shell(folder: &Path, commands: &str) {
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(folder)
        .env("HOST", LOOPBACK)
        .output()
        .expect("sh");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

/// A message that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsMessage {
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl NatsMessage {
    /// Its payload as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload)
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.subject, self.payload))
    }
}

/// A connection to a server without TLS that hears subjects and can say anything.
#[derive(Debug)]
pub struct NatsSubscriber {
    stream: TcpStream,
    unread: Vec<u8>,
    heard: VecDeque<NatsMessage>,
    errors: Vec<String>,
    pongs: u64,
    next_sid: u64,
}

impl NatsSubscriber {
    /// Connects as nobody and hears a subject from now on: the server has confirmed it.
    ///
    /// # Panics
    /// Where the server does not answer.
    #[must_use]
    pub fn new(port: u16, subject: &str) -> Self {
        let mut subscriber = Self::connect(port, None);
        subscriber.subscribe(subject);
        subscriber
    }

    /// Connects, with user and password where they are given.
    ///
    /// # Panics
    /// Where the server does not answer.
    #[must_use]
    pub fn connect(port: u16, user: Option<(&str, &str)>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection to nats-server");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(POLL)).expect("a timeout");
        let mut subscriber = Self {
            stream,
            unread: Vec::new(),
            heard: VecDeque::new(),
            errors: Vec::new(),
            pongs: 0,
            next_sid: 1,
        };
        let mut options = serde_json::json!({
            "verbose": false, "pedantic": false, "lang": "carillon-tests", "version": "1", "protocol": 1,
        });
        if let Some((user, password)) = user {
            options["user"] = user.into();
            options["pass"] = password.into();
        }
        subscriber.say(&format!("CONNECT {options}\r\n"));
        subscriber.round_trip();
        subscriber
    }

    /// Hears a further subject; the server has confirmed it, or refused (see [`Self::errors`]).
    pub fn subscribe(&mut self, subject: &str) {
        let sid = self.next_sid;
        self.next_sid += 1;
        self.say(&format!("SUB {subject} {sid}\r\n"));
        self.round_trip();
    }

    /// Publishes; the server has taken it, or refused (see [`Self::errors`]).
    ///
    /// # Panics
    /// Where the connection is gone.
    pub fn publish(&mut self, subject: &str, payload: &[u8]) {
        let mut octets = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
        octets.extend_from_slice(payload);
        octets.extend_from_slice(b"\r\n");
        self.stream.write_all(&octets).expect("a publication");
        self.round_trip();
    }

    /// The next message, waiting for it at most so long.
    pub fn next(&mut self, within: Duration) -> Option<NatsMessage> {
        let deadline = Instant::now() + within;
        while self.heard.is_empty() && Instant::now() < deadline {
            if !self.read() {
                break;
            }
        }
        self.heard.pop_front()
    }

    /// The first message that `wanted` makes something of; those before it are gone.
    ///
    /// # Panics
    /// At the deadline, naming `what`.
    pub fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(&NatsMessage) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.next(left);
            if let Some(found) = message.as_ref().and_then(&mut wanted) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not heard within {within:?}"
            );
        }
    }

    /// Everything that the server has sent up to now.
    pub fn drain(&mut self) -> Vec<NatsMessage> {
        self.round_trip();
        self.heard.drain(..).collect()
    }

    /// What the server said was wrong, since the last question.
    pub fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    /// After this the server has dealt with everything that was said before, and everything that it
    /// sent up to then is here.
    fn round_trip(&mut self) {
        let before = self.pongs;
        self.say("PING\r\n");
        let deadline = Instant::now() + READY;
        while self.pongs == before {
            let is_open = self.read();
            assert!(is_open, "nats-server has closed: {:?}", self.errors);
            assert!(Instant::now() < deadline, "nats-server does not answer");
        }
    }

    fn say(&mut self, line: &str) {
        // A connection that is gone shows when it is read.
        self.stream.write_all(line.as_bytes()).ok();
    }

    /// Reads what is there; false where the server has closed.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 65_536];
        let length = match self.stream.read(&mut chunk) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(_) => return false,
        };
        self.unread.extend_from_slice(&chunk[..length]);
        while let Some(used) = self.take_one() {
            self.unread.drain(..used);
        }
        true
    }

    /// Deals with the first whole operation and tells how many octets it was.
    fn take_one(&mut self) -> Option<usize> {
        let end = self.unread.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["MSG", subject, _, .., length] => {
                let length: usize = length.parse().expect("a length");
                let payload = self.unread.get(end + 2..end + 2 + length)?.to_vec();
                let used = end + 2 + length + 2;
                (self.unread.len() >= used).then_some(())?;
                self.heard.push_back(NatsMessage {
                    subject: (*subject).to_owned(),
                    payload,
                });
                Some(used)
            }
            ["PING"] => {
                self.say("PONG\r\n");
                Some(end + 2)
            }
            ["PONG"] => {
                self.pongs += 1;
                Some(end + 2)
            }
            ["-ERR", ..] => {
                self.errors.push(line);
                Some(end + 2)
            }
            _ => Some(end + 2),
        }
    }
}

const LOOPBACK: &str = "127.0.0.1";
const READY: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
