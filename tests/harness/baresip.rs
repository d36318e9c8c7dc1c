//! baresip, headless: registered at a proxy, driven through its control socket, read by what it
//! prints of each call.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Child, Scratch, free_ports, peers, until, write_sine};

/// A running baresip with one account.
#[derive(Debug)]
pub struct Baresip {
    control: TcpStream,
    heard: String,
    process: Child,
    scratch: Scratch,
}

/// What baresip printed of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaresipCall {
    /// RTP packets it sent.
    pub sent: u64,
    /// RTP packets it received.
    pub received: u64,
    /// What the peer's RTCP said was lost of what baresip sent; none where no report came.
    pub lost_at_peer: Option<i64>,
    /// What baresip itself missed.
    pub lost_here: Option<i64>,
    /// Its line of `rtcpsummary`.
    pub summary: String,
}

impl Baresip {
    /// Starts one that registers `user` (password `pw-USER`) at 127.0.0.1:`proxy` and waits for
    /// the registration. `codec` is its only one: `PCMU`, `PCMA`, `opus`.
    ///
    /// # Panics
    /// Where it does not register, or is missing under CI.
    #[must_use]
    pub fn register(user: &str, proxy: u16, codec: &str) -> Option<Self> {
        if !peers(&["baresip"]) {
            return None;
        }
        let scratch = Scratch::new("baresip");
        let [sip, control, media] = free_ports();
        let (rate, channels) = if codec == "opus" {
            (48_000, 2)
        } else {
            (8_000, 1)
        };
        let voice = write_sine(&scratch, "voice.wav", rate, channels, 120);
        let account = format!(
            "<sip:{user}@127.0.0.1:{proxy};transport=udp>;auth_user={user};auth_pass=pw-{user};\
             answermode=auto;audio_codecs={codec};regint=60\n"
        );
        scratch.write("accounts", account);
        scratch.write("contacts", "");
        let mut settings = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{sip}\nnet_interface 127.0.0.1\n\
             audio_player aubridge,void\naudio_source aufile,{}\naudio_alert aubridge,void\n\
             audio_srate {rate}\naudio_channels {channels}\nrtp_stats yes\n\
             rtp_ports {media}-{}\nctrl_tcp_listen 127.0.0.1:{control}\n\
             module_path {MODULES}\n",
            voice.display(),
            media.saturating_add(20)
        );
        for module in ["g711", "opus", "aufile", "aubridge", "rtcpsummary"] {
            settings.push_str(&format!("module {module}.so\n"));
        }
        for module in ["menu", "ctrl_tcp"] {
            settings.push_str(&format!("module_app {module}.so\n"));
        }
        settings.push_str("module_tmp account.so\n");
        scratch.write("config", settings);
        let mut command = Command::new("baresip");
        command.arg("-f").arg(scratch.path());
        let mut process = Child::start("baresip", &mut command, &scratch);
        process.wait_for_output("200 OK", Duration::from_secs(10));
        let control = until("baresip's control socket", Duration::from_secs(5), || {
            TcpStream::connect(("127.0.0.1", control)).ok()
        });
        control
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        Some(Self {
            control,
            heard: String::new(),
            process,
            scratch,
        })
    }

    /// Calls a URI.
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Ends its call.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Waits for an event, such as `CALL_ESTABLISHED`, since the last one waited for.
    ///
    /// # Panics
    /// At the deadline, with what it said.
    pub fn wait_for(&mut self, event: &str, within: Duration) {
        let deadline = Instant::now() + within;
        let needle = format!("\"type\":\"{event}\"");
        loop {
            if let Some(at) = self.heard.find(&needle) {
                self.heard.drain(..at + needle.len());
                return;
            }
            assert!(
                Instant::now() < deadline,
                "baresip: no {event} within {within:?}; it said {}\nand printed\n{}",
                self.heard,
                self.process.tail()
            );
            self.listen();
        }
    }

    /// The calls it has printed figures of, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<BaresipCall> {
        let output = self.process.output();
        let mut calls = Vec::new();
        let mut summary = String::new();
        for line in output.lines() {
            if let Some(at) = line.find("EX=BareSip") {
                summary = line[at..].to_owned();
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["packets:", sent, received] = words[..] {
                calls.push(BaresipCall {
                    sent: sent.parse().unwrap_or(0),
                    received: received.parse().unwrap_or(0),
                    lost_at_peer: pair(&summary, "PL=").map(|(_, sent)| sent),
                    lost_here: pair(&summary, "PL=").map(|(received, _)| received),
                    summary: std::mem::take(&mut summary),
                });
            }
        }
        calls
    }

    /// The folder with its output.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn command(&mut self, command: &str, parameters: &str) {
        let message =
            format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\",\"token\":\"t\"}}");
        // A netstring: length, colon, text, comma.
        write!(self.control, "{}:{message},", message.len()).expect("baresip's control socket");
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4_096];
        match self.control.read(&mut buffer) {
            Ok(0) => panic!(
                "baresip closed its control socket:\n{}",
                self.process.tail()
            ),
            Ok(length) => self
                .heard
                .push_str(&String::from_utf8_lossy(&buffer[..length])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("baresip's control socket: {error}"),
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // Leaves the registrar in order; where it does not, the process is ended all the same.
        self.command("quit", "");
    }
}

/// `PL=1,2;`: received, sent.
fn pair(summary: &str, key: &str) -> Option<(i64, i64)> {
    let value = summary
        .split(';')
        .find_map(|field| field.strip_prefix(key))?;
    let (received, sent) = value.split_once(',')?;
    Some((received.trim().parse().ok()?, sent.trim().parse().ok()?))
}

const MODULES: &str = "/usr/lib/baresip/modules";
