//! Kamailio as digest registrar and record-routing proxy, with the configuration of the briefing
//! folder beside the checkout; asked through `kamcmd` for what it knows.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use crate::{Child, Repository, Scratch, free_ports, peers, until};

/// A running Kamailio. Any user NAME has the password `pw-NAME`.
#[derive(Debug)]
pub struct Kamailio {
    address: String,
    port: u16,
    control: u16,
    // Ends before the folder goes.
    process: Child,
    scratch: Scratch,
}

impl Kamailio {
    /// Starts one on free ports and waits until it answers OPTIONS. `None`, with a line that says
    /// so, where it or its configuration is missing.
    ///
    /// # Panics
    /// Where it does not get ready, or is missing under CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_at("127.0.0.1")
    }

    /// The same on another address of this machine.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_at(address: &str) -> Option<Self> {
        if !peers(&["kamailio", "kamcmd"]) {
            return None;
        }
        let configuration = Repository::find().shared("testdata/kamailio/kamailio.cfg")?;
        let scratch = Scratch::new("kamailio");
        let [port, control] = free_ports();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(&configuration);
        command.args(["-DD", "-E", "-m", "512", "-M", "16"]);
        command.arg("-P").arg(scratch.path().join("pid"));
        command
            .arg("-w")
            .arg(scratch.path())
            .arg("-Y")
            .arg(scratch.path());
        command.args(["-A", &format!("LISTEN=udp:{address}:{port}")]);
        command.args(["-A", &format!("CTL=\"tcp:127.0.0.1:{control}\"")]);
        command.env("PATH", system_path());
        let process = Child::start("kamailio", &mut command, &scratch);
        let mut kamailio = Self {
            address: address.to_owned(),
            port,
            control,
            process,
            scratch,
        };
        kamailio.wait_ready();
        Some(kamailio)
    }

    /// Its SIP port, UDP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many contacts are registered now. (A dump of them all does not fit into one of
    /// `kamcmd`'s replies.)
    #[must_use]
    pub fn contacts(&self) -> u64 {
        self.counter("usrloc:location_contacts")
    }

    /// A counter, such as `registrar:accepted_regs`.
    ///
    /// # Panics
    /// Where Kamailio has no such counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let all = self.ask(&["stats.get_statistics", "all"]);
        all.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("Kamailio has no counter {name}:\n{all}"))
    }

    fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("kamcmd")
            .arg("-s")
            .arg(format!("tcp:127.0.0.1:{}", self.control))
            .args(command)
            .env("PATH", system_path())
            .output()
            .expect("kamcmd");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "kamcmd {command:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    fn wait_ready(&mut self) {
        let socket = UdpSocket::bind((self.address.as_str(), 0)).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout");
        let local = socket.local_addr().expect("its address");
        let (address, port) = (self.address.clone(), self.port);
        until("kamailio answering OPTIONS", READY, || {
            if let Some(status) = self.process.ended() {
                panic!("kamailio ended ({status}):\n{}", self.process.tail());
            }
            let request = format!(
                "OPTIONS sip:{address}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready\r\n\
                 From: <sip:ready@{address}>;tag=1\r\nTo: <sip:{address}:{port}>\r\n\
                 Call-ID: ready@{local}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            socket
                .send_to(request.as_bytes(), (address.as_str(), port))
                .ok()?;
            let mut answer = [0; 2_048];
            let length = socket.recv(&mut answer).ok()?;
            answer
                .get(..length)?
                .starts_with(b"SIP/2.0 200")
                .then_some(())
        });
        // The control socket may come a moment later.
        until("kamcmd answering", READY, || {
            let mut probe = Command::new("kamcmd");
            probe
                .arg("-s")
                .arg(format!("tcp:127.0.0.1:{}", self.control))
                .arg("core.uptime");
            let output = probe.env("PATH", system_path()).output().ok()?;
            output.status.success().then_some(())
        });
    }

    /// The folder with its output.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// Debian keeps servers out of a user's path.
fn system_path() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}

const READY: Duration = Duration::from_secs(10);
