//! SIPp as callee with RTP echo and as caller with an RTP stream.

use std::process::Command;
use std::time::Duration;

use crate::{Child, Scratch, free_ports, peers, until};

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    port: u16,
    process: Child,
    scratch: Scratch,
}

/// What SIPp counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SippStatistics {
    /// Calls ended well.
    pub successful: u64,
    /// Calls failed.
    pub failed: u64,
    /// Calls that live now.
    pub current: u64,
    /// SIP messages sent again.
    pub retransmissions: u64,
}

impl Sipp {
    /// `sipp -sn uas` that echoes RTP and ends itself after `lifetime`.
    ///
    /// # Panics
    /// Where it does not start, or is missing under CI.
    #[must_use]
    pub fn answering(lifetime: Duration) -> Option<Self> {
        let [media] = free_ports();
        Self::start(lifetime, |command, _| {
            command.args(["-sn", "uas", "-rtp_echo", "-mp", &media.to_string()]);
        })
    }

    /// A scenario file that answers, written out.
    ///
    /// # Panics
    /// As [`Self::answering`].
    #[must_use]
    pub fn answering_with(scenario: &str, lifetime: Duration) -> Option<Self> {
        Self::start(lifetime, |command, scratch| {
            command
                .arg("-sf")
                .arg(scratch.write("scenario.xml", scenario));
        })
    }

    /// Calls `target` (`host:port`), `calls` times, `rate` a second, with PCMU both ways for
    /// `talk`, each call to the user that `service` names.
    ///
    /// # Panics
    /// As [`Self::answering`].
    #[must_use]
    pub fn calling(
        target: &str,
        service: &str,
        calls: u32,
        rate: u32,
        talk: Duration,
    ) -> Option<Self> {
        let [media] = free_ports();
        let lifetime = talk + Duration::from_secs(u64::from(calls / rate.max(1)) + 40);
        Self::start(lifetime, |command, scratch| {
            scratch.write("voice.raw", voice());
            let scenario = CALLER.replace("TALK_MS", &talk.as_millis().to_string());
            command
                .arg("-sf")
                .arg(scratch.write("caller.xml", scenario));
            command.args(["-s", service, "-mp", &media.to_string()]);
            command.args(["-m", &calls.to_string(), "-r", &rate.to_string()]);
            command.arg(target);
        })
    }

    fn start(lifetime: Duration, arguments: impl FnOnce(&mut Command, &Scratch)) -> Option<Self> {
        if !peers(&["sipp"]) {
            return None;
        }
        let scratch = Scratch::new("sipp");
        let [port] = free_ports();
        let mut command = Command::new("sipp");
        command.args([
            "-i",
            "127.0.0.1",
            "-mi",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]);
        command.args(["-nostdin", "-buff_size", "4000000", "-timeout"]);
        command.arg(format!("{}s", lifetime.as_secs().max(1)));
        command.args(["-trace_stat", "-fd", "1", "-stf", "statistics.csv"]);
        command.args(["-trace_err", "-error_file", "errors.log"]);
        arguments(&mut command, &scratch);
        command.current_dir(scratch.path());
        let process = Child::start("sipp", &mut command, &scratch);
        let mut sipp = Self {
            port,
            process,
            scratch,
        };
        // It writes the first line of its statistics once its sockets are bound.
        until("sipp listening", Duration::from_secs(10), || {
            if sipp.process.ended().is_some() {
                return Some(());
            }
            (!sipp.scratch.read("statistics.csv").is_empty()).then_some(())
        });
        Some(sipp)
    }

    /// Its SIP port on 127.0.0.1, UDP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for its end and returns what it counted.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait(&mut self, within: Duration) -> SippStatistics {
        self.process.wait(within);
        self.statistics()
    }

    /// Asks it to end after its live calls, and returns what it counted.
    ///
    /// # Panics
    /// Where it does not end within ten seconds.
    pub fn stop(&mut self) -> SippStatistics {
        // SIPp ends on USR1 once no call is left.
        self.process.signal("USR1");
        self.process.wait(Duration::from_secs(10));
        self.statistics()
    }

    /// The last line of its statistics file.
    #[must_use]
    pub fn statistics(&self) -> SippStatistics {
        let table = self.scratch.read("statistics.csv");
        let mut lines = table.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let values: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
        let value = |name: &str| {
            let column = names.iter().position(|have| *have == name);
            column
                .and_then(|at| values.get(at))
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        SippStatistics {
            successful: value("SuccessfulCall(C)"),
            failed: value("FailedCall(C)"),
            current: value("CurrentCall"),
            retransmissions: value("Retransmissions(C)"),
        }
    }

    /// What it complained about.
    #[must_use]
    pub fn errors(&self) -> String {
        self.scratch.read("errors.log")
    }
}

/// Two seconds of a quiet 400 Hz square wave in µ-law.
fn voice() -> Vec<u8> {
    (0..16_000)
        .map(|n| if n / 10 % 2 == 0 { 0xa0 } else { 0x20 })
        .collect()
}

/// SIPp's own `uac` scenario with an RTP stream while the call lives.
const CALLER: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller with RTP">
  <send retrans="500">
    <![CDATA[

      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: sip:sipp@[local_ip]:[local_port]
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000

    ]]>
  </send>
  <recv response="100" optional="true"></recv>
  <recv response="180" optional="true"></recv>
  <recv response="183" optional="true"></recv>
  <recv response="200" rtd="true" rrs="true"></recv>
  <send>
    <![CDATA[

      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>
  <nop><action><exec rtp_stream="voice.raw,-1,0"/></action></nop>
  <pause milliseconds="TALK_MS"/>
  <nop><action><exec rtp_stream="pause"/></action></nop>
  <send retrans="500">
    <![CDATA[

      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>
  <recv response="200" crlf="true"></recv>
</scenario>
"#;
