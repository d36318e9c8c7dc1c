//! The SIP messages of one endpoint, with times, in a bounded ring. Filled while the endpoint lives
//! (a failure is only known afterwards); whether it is kept is decided at the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use shared::id::{EndpointIndex, RunId};
use shared::wire::{Trace, TraceMessage};
use sip::ua::{HostPort, Transport};

/// Messages and octets one endpoint may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceBounds {
    /// Messages.
    pub messages: usize,
    /// Octets of all messages together.
    pub octets: usize,
}

impl TraceBounds {
    /// Bounds for a run of so many endpoints: memory per endpoint shrinks when they are many.
    #[must_use]
    pub fn for_endpoints(count: u32) -> Self {
        if count <= FULL_TRACE_ENDPOINTS {
            Self {
                messages: 256,
                octets: 192 * 1024,
            }
        } else {
            // A registration and a call with both challenges are 16 messages.
            Self {
                messages: 20,
                octets: 14 * 1024,
            }
        }
    }
}

/// Up to here every endpoint keeps a long trace.
pub const FULL_TRACE_ENDPOINTS: u32 = 500;

struct Entry {
    at: Duration,
    sent: bool,
    remote: HostPort,
    bytes: Bytes,
}

/// A bounded ring of SIP messages; the oldest go first and are counted.
pub struct TraceRing {
    bounds: TraceBounds,
    entries: VecDeque<Entry>,
    octets: usize,
    dropped: u32,
}

impl TraceRing {
    /// An empty ring.
    #[must_use]
    pub fn new(bounds: TraceBounds) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            octets: 0,
            dropped: 0,
        }
    }

    /// Adds a message. `at` counts from the run's begin; `remote` is a name where the shell resolves it.
    pub fn push(&mut self, at: Duration, sent: bool, remote: HostPort, bytes: Bytes) {
        self.octets += bytes.len();
        self.entries.push_back(Entry {
            at,
            sent,
            remote,
            bytes,
        });
        while self.entries.len() > self.bounds.messages
            || (self.octets > self.bounds.octets && self.entries.len() > 1)
        {
            if let Some(oldest) = self.entries.pop_front() {
                self.octets -= oldest.bytes.len();
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }

    /// The trace as it travels. `None` where nothing was recorded.
    #[must_use]
    pub fn into_trace(
        self,
        run: RunId,
        endpoint: EndpointIndex,
        local: SocketAddr,
        transport: Transport,
    ) -> Option<Trace> {
        if self.entries.is_empty() {
            return None;
        }
        let local = local.to_string();
        let transport = match transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        let messages = self
            .entries
            .into_iter()
            .map(|entry| TraceMessage {
                at_us: u64::try_from(entry.at.as_micros()).unwrap_or(u64::MAX),
                sent: entry.sent,
                local: local.clone(),
                remote: entry.remote.to_string(),
                transport: transport.to_owned(),
                bytes: entry.bytes.to_vec(),
            })
            .collect();
        Some(Trace {
            run,
            endpoint,
            dropped: self.dropped,
            messages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_messages_leave_first_and_are_counted() {
        let mut ring = TraceRing::new(TraceBounds {
            messages: 3,
            octets: 1_000,
        });
        let remote: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        for number in 0..5_u8 {
            ring.push(
                Duration::from_millis(number.into()),
                true,
                HostPort::Ip(remote),
                Bytes::from(vec![number]),
            );
        }
        let trace = ring
            .into_trace(RunId(1), EndpointIndex(2), remote, Transport::Udp)
            .expect("three messages");
        assert_eq!(trace.dropped, 2);
        let first_octets: Vec<_> = trace
            .messages
            .iter()
            .map(|message| message.bytes[0])
            .collect();
        assert_eq!(first_octets, [2, 3, 4]);
    }

    #[test]
    fn octets_are_bounded_too_but_one_message_always_stays() {
        let mut ring = TraceRing::new(TraceBounds {
            messages: 10,
            octets: 8,
        });
        let remote: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        let peer = HostPort::Name("pbx.example".into(), 5060);
        ring.push(
            Duration::ZERO,
            true,
            peer.clone(),
            Bytes::from_static(&[0; 6]),
        );
        ring.push(Duration::ZERO, false, peer, Bytes::from_static(&[1; 60]));
        let trace = ring
            .into_trace(RunId(1), EndpointIndex(0), remote, Transport::Udp)
            .expect("one");
        assert_eq!((trace.dropped, trace.messages.len()), (1, 1));
        assert_eq!(trace.messages[0].remote, "pbx.example:5060");
    }
}
