//! A capture of everything UDP on an interface, read back packet by packet: what was sent, by whom,
//! when.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{Child, Scratch, peers};

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    file: PathBuf,
    process: Child,
    // Goes last.
    _scratch: Scratch,
}

/// A UDP datagram that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Seconds since 1970.
    pub at: f64,
    /// `address:port`.
    pub from: String,
    /// `address:port`.
    pub to: String,
    /// SIP's method or status code; blank where it is no SIP.
    pub sip: String,
}

impl Capture {
    /// Captures UDP on an interface. `None`, with a line that says so, where tshark is missing.
    ///
    /// # Panics
    /// Where it does not start, or tshark is missing under CI.
    #[must_use]
    pub fn start(interface: &str) -> Option<Self> {
        if !peers(&["tshark", "dumpcap"]) {
            return None;
        }
        let scratch = Scratch::new("capture");
        let file = scratch.path().join("capture.pcapng");
        let mut command = Command::new("dumpcap");
        // The head of a packet says what it is.
        command.args(["-i", interface, "-B", "64", "-s", "256", "-f", "udp", "-w"]);
        command.arg(&file);
        let mut process = Child::start("dumpcap", &mut command, &scratch);
        process.wait_for_output("File: ", Duration::from_secs(15));
        Some(Self {
            file,
            process,
            _scratch: scratch,
        })
    }

    /// Ends the capture and reads it.
    ///
    /// # Panics
    /// Where tshark fails or packets were not captured.
    #[must_use]
    pub fn finish(mut self) -> Vec<Seen> {
        self.process.signal("INT");
        self.process.wait(Duration::from_secs(15));
        let printed = self.process.output();
        assert!(
            printed.contains("/0 (pcap:0/"),
            "packets were lost:\n{printed}"
        );
        let output = Command::new("tshark")
            .arg("-r")
            .arg(&self.file)
            .args(["-n", "-T", "fields", "-E", "separator=|"])
            .args([
                "-e",
                "frame.time_epoch",
                "-e",
                "ip.src",
                "-e",
                "udp.srcport",
            ])
            .args(["-e", "ip.dst", "-e", "udp.dstport", "-e", "udp.payload"])
            .output()
            .expect("tshark");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter_map(row).collect()
    }
}

fn row(line: &str) -> Option<Seen> {
    let fields: Vec<&str> = line.split('|').collect();
    let [at, from, from_port, to, to_port, payload] = fields[..] else {
        return None;
    };
    let octets: Vec<u8> = (0..payload.len().min(60) / 2)
        .filter_map(|place| u8::from_str_radix(payload.get(place * 2..place * 2 + 2)?, 16).ok())
        .collect();
    let text = String::from_utf8_lossy(&octets).into_owned();
    let mut words = text.split(' ');
    let first = words.next().unwrap_or_default();
    let sip = match (first, words.next()) {
        ("SIP/2.0", Some(code)) => code.to_owned(),
        (method, Some(uri)) if uri.starts_with("sip:") => method.to_owned(),
        _ => String::new(),
    };
    Some(Seen {
        at: at.parse().ok()?,
        from: format!("{from}:{from_port}"),
        to: format!("{to}:{to_port}"),
        sip,
    })
}
