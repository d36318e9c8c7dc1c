//! The media side of a scripted peer: session descriptions as text, single RTP packets, an echo.
//!
//! Never: measures anything; what the program measured is compared with what was sent here.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A session description with one audio line. `direction` may be blank.
#[must_use]
pub fn session(address: SocketAddr, formats: &str, direction: &str) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (address.ip(), address.port());
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n"
    );
    if !direction.is_empty() {
        write!(text, "a={direction}\r\n").expect("memory");
    }
    text
}

/// An RTP packet of 20 ms of µ-law silence (RFC 3550 §5.1).
#[must_use]
pub fn rtp_packet(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xff; 160]);
    packet
}

/// A far end that sends back every RTP packet it gets, under its own SSRC.
#[derive(Debug)]
pub struct RtpEcho {
    address: SocketAddr,
    received: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RtpEcho {
    /// Starts one at a free port.
    ///
    /// # Panics
    /// Where no socket can be had.
    #[must_use]
    pub fn start(address: &str) -> Self {
        let ip: IpAddr = address.parse().expect("an address");
        let socket = UdpSocket::bind((ip, 0)).expect("a UDP socket");
        let address = socket.local_addr().expect("its address");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let (received, stop) = (
            Arc::new(AtomicU32::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut octets = [0; 2_048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut octets)
                    && length >= 12
                {
                    count.fetch_add(1, Ordering::Relaxed);
                    octets[8..12].copy_from_slice(&ECHO_SSRC.to_be_bytes());
                    socket.send_to(&octets[..length], from).ok();
                }
            }
        });
        Self {
            address,
            received,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Packets so far.
    #[must_use]
    pub fn received(&self) -> u32 {
        self.received.load(Ordering::Relaxed)
    }

    /// A session description that leads here.
    #[must_use]
    pub fn session(&self) -> String {
        session(self.address, "0", "sendrecv")
    }
}

impl Drop for RtpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

const ECHO_SSRC: u32 = 0x0ec0_0ec0;
