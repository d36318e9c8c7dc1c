//! tshark as an independent instrument: a capture on loopback and its own RTP stream analysis.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{Child, Scratch, peers};

/// A running capture.
#[derive(Debug)]
pub struct Tshark {
    file: PathBuf,
    ports: (u16, u16),
    process: Child,
    scratch: Scratch,
}

/// A row of `-z rtp,streams`.
#[derive(Clone, Debug, PartialEq)]
pub struct RtpStream {
    /// Source port.
    pub from: u16,
    /// Destination port.
    pub to: u16,
    /// SSRC.
    pub ssrc: u32,
    /// Packets seen.
    pub packets: u64,
    /// Lost by sequence number.
    pub lost: i64,
    /// RFC 3550 jitter, mean of all packets, in milliseconds.
    pub mean_jitter_ms: f64,
    /// RFC 3550 jitter, largest, in milliseconds.
    pub max_jitter_ms: f64,
}

impl Tshark {
    /// Captures UDP of a range of ports on loopback. `None`, with a line that says so, where
    /// tshark is missing.
    ///
    /// # Panics
    /// Where the capture does not start, or tshark is missing under CI.
    #[must_use]
    pub fn capture(first: u16, last: u16) -> Option<Self> {
        if !peers(&["tshark", "dumpcap"]) {
            return None;
        }
        let scratch = Scratch::new("tshark");
        let file = scratch.path().join("capture.pcapng");
        let mut command = Command::new("dumpcap");
        command.args(["-i", "lo", "-B", "64", "-f"]);
        command.arg(format!("udp portrange {first}-{last}"));
        command.arg("-w").arg(&file);
        let mut process = Child::start("dumpcap", &mut command, &scratch);
        process.wait_for_output("File: ", Duration::from_secs(15));
        Some(Self {
            file,
            ports: (first, last),
            process,
            scratch,
        })
    }

    /// Ends the capture and analyses it.
    ///
    /// # Panics
    /// Where tshark fails or the capture dropped packets.
    #[must_use]
    pub fn streams(mut self) -> Vec<RtpStream> {
        self.process.signal("INT");
        self.process.wait(Duration::from_secs(15));
        let dropped = self.process.output();
        assert!(
            dropped.contains("/0 (pcap:0/"),
            "the capture dropped packets:\n{dropped}"
        );
        let analysis = Command::new("tshark")
            .arg("-r")
            .arg(&self.file)
            .args([
                "-q",
                "-d",
                &format!("udp.port=={}-{},rtp", self.ports.0, self.ports.1),
            ])
            .args(["-z", "rtp,streams"])
            .output()
            .expect("tshark");
        let table = String::from_utf8_lossy(&analysis.stdout).into_owned();
        self.scratch.write("streams.txt", &table);
        let streams: Vec<RtpStream> = table.lines().filter_map(row).collect();
        assert!(!streams.is_empty(), "no stream in:\n{table}");
        streams
    }
}

/// `start end source port destination port 0xSSRC payload… packets lost (x%) …`: the payload's
/// name may have blanks, so columns are counted from `(x%)`.
fn row(line: &str) -> Option<RtpStream> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words
        .iter()
        .position(|word| word.starts_with('(') && word.ends_with("%)"))?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
    Some(RtpStream {
        from: words.get(3)?.parse().ok()?,
        to: words.get(5)?.parse().ok()?,
        ssrc: u32::from_str_radix(words.get(6)?.strip_prefix("0x")?, 16).ok()?,
        packets: words.get(percent.checked_sub(2)?)?.parse().ok()?,
        lost: words.get(percent.checked_sub(1)?)?.parse().ok()?,
        mean_jitter_ms: number(percent + 5)?,
        max_jitter_ms: number(percent + 6)?,
    })
}
