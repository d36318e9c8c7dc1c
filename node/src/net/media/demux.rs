//! Tells the streams of one shared socket apart by remote address and SSRC. Pure.
//!
//! Order for a packet from `source` with `ssrc`:
//! 1. the stream that expects exactly this pair (signalled by SDP's `a=ssrc`, RFC 5576, or seen before);
//! 2. the stream whose own SSRC comes back from elsewhere than our own sockets: the peer echoes;
//! 3. the only stream that expects anything from `source`, or the only one there that has not heard
//!    its peer yet: it latches;
//! 4. else nobody: `Ambiguous` where several might be meant, `Stranger` where none is.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;

/// One stream's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    /// Its key in the thread's table.
    pub key: u32,
    /// Where its peer sends from.
    pub remote: SocketAddr,
    /// Our own SSRC.
    pub own_ssrc: u32,
    /// The peer's SSRC where it was signalled or already seen.
    pub remote_ssrc: Option<u32>,
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Known.
    Stream(u32),
    /// This stream's, as of now: remove it, note the SSRC, insert it again.
    Latches(u32),
    /// Several streams expect packets from there and none this SSRC.
    Ambiguous,
    /// Nobody expects packets from there.
    Stranger,
}

/// The table of one socket.
///
/// Bounds: three entries a stream; O(1) for each packet, no allocation but at insertion.
#[derive(Debug, Default)]
pub(super) struct Demux {
    expected: FxHashMap<(SocketAddr, u32), u32>,
    own: FxHashMap<(SocketAddr, u32), u32>,
    remotes: FxHashMap<SocketAddr, Crowd>,
}

/// The streams that expect packets from one address. Sums, so that the last one left is known
/// without a list.
#[derive(Clone, Copy, Debug, Default)]
struct Crowd {
    all: u32,
    key_sum: u64,
    waiting: u32,
    waiting_key_sum: u64,
}

impl Crowd {
    fn sole(self) -> Option<u32> {
        (self.all == 1)
            .then_some(self.key_sum)
            .and_then(|key| u32::try_from(key).ok())
    }

    fn sole_waiting(self) -> Option<u32> {
        (self.waiting == 1)
            .then_some(self.waiting_key_sum)
            .and_then(|key| u32::try_from(key).ok())
    }
}

impl Demux {
    /// Adds a stream.
    pub(super) fn insert(&mut self, stream: &Expectation) {
        let crowd = self.remotes.entry(stream.remote).or_default();
        crowd.all += 1;
        crowd.key_sum += u64::from(stream.key);
        match stream.remote_ssrc {
            Some(ssrc) => {
                self.expected.insert((stream.remote, ssrc), stream.key);
            }
            None => {
                crowd.waiting += 1;
                crowd.waiting_key_sum += u64::from(stream.key);
            }
        }
        self.own
            .insert((stream.remote, stream.own_ssrc), stream.key);
    }

    /// Removes a stream; `stream` is what was inserted, with the SSRC it latched to since.
    pub(super) fn remove(&mut self, stream: &Expectation) {
        if let Some(crowd) = self.remotes.get_mut(&stream.remote) {
            crowd.all = crowd.all.saturating_sub(1);
            crowd.key_sum = crowd.key_sum.saturating_sub(u64::from(stream.key));
            if stream.remote_ssrc.is_none() {
                crowd.waiting = crowd.waiting.saturating_sub(1);
                crowd.waiting_key_sum = crowd.waiting_key_sum.saturating_sub(u64::from(stream.key));
            }
            if crowd.all == 0 {
                self.remotes.remove(&stream.remote);
            }
        }
        if let Some(ssrc) = stream.remote_ssrc {
            remove_if_mine(&mut self.expected, (stream.remote, ssrc), stream.key);
        }
        remove_if_mine(&mut self.own, (stream.remote, stream.own_ssrc), stream.key);
    }

    /// Finds the stream of an RTP packet. `from_ourselves`: `source` is a socket of this engine,
    /// where an echo cannot come from.
    #[must_use]
    pub(super) fn rtp(&self, source: SocketAddr, ssrc: u32, from_ourselves: bool) -> Verdict {
        if let Some(key) = self.expected.get(&(source, ssrc)) {
            return Verdict::Stream(*key);
        }
        if !from_ourselves && let Some(key) = self.own.get(&(source, ssrc)) {
            return Verdict::Stream(*key);
        }
        self.unknown(source)
    }

    /// Finds the stream of an RTCP packet by its sender and by the SSRC its first report is about,
    /// which is ours: the surest sign there is.
    #[must_use]
    pub(super) fn rtcp(
        &self,
        source: SocketAddr,
        sender: u32,
        reported: Option<u32>,
        from_ourselves: bool,
    ) -> Verdict {
        // An echo carries our own SSRC as its sender; what it reports about is the peer.
        let echo = !from_ourselves && self.own.contains_key(&(source, sender));
        if let (Some(reported), false) = (reported, echo)
            && let Some(key) = self.own.get(&(source, reported))
        {
            return Verdict::Stream(*key);
        }
        match self.rtp(source, sender, from_ourselves) {
            // A report may come before the first packet: RTP alone decides whom an SSRC belongs to.
            Verdict::Latches(key) => Verdict::Stream(key),
            verdict @ (Verdict::Stream(_) | Verdict::Ambiguous | Verdict::Stranger) => verdict,
        }
    }

    /// The only stream that expects packets from `remote`.
    #[must_use]
    pub(super) fn sole(&self, remote: SocketAddr) -> Option<u32> {
        self.remotes.get(&remote).and_then(|crowd| crowd.sole())
    }

    fn unknown(&self, source: SocketAddr) -> Verdict {
        let Some(crowd) = self.remotes.get(&source) else {
            return Verdict::Stranger;
        };
        match crowd.sole().or_else(|| crowd.sole_waiting()) {
            Some(key) => Verdict::Latches(key),
            None => Verdict::Ambiguous,
        }
    }
}

/// Two peers may have chosen one SSRC (RFC 3550 §8): the later entry stays when the earlier goes.
fn remove_if_mine(map: &mut FxHashMap<(SocketAddr, u32), u32>, at: (SocketAddr, u32), key: u32) {
    if map.get(&at) == Some(&key) {
        map.remove(&at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn expectation(key: u32, port: u16, own_ssrc: u32, remote_ssrc: Option<u32>) -> Expectation {
        Expectation {
            key,
            remote: address(port),
            own_ssrc,
            remote_ssrc,
        }
    }

    fn latch(demux: &mut Demux, stream: &Expectation, ssrc: u32) -> Expectation {
        demux.remove(stream);
        let latched = Expectation {
            remote_ssrc: Some(ssrc),
            ..*stream
        };
        demux.insert(&latched);
        latched
    }

    #[test]
    fn both_ends_of_many_calls_on_one_socket_are_told_apart_by_signalled_ssrc() {
        let mut demux = Demux::default();
        for call in 0..100 {
            let (a, b) = (call * 2, call * 2 + 1);
            demux.insert(&expectation(a, 4_000, 1_000 + a, Some(1_000 + b)));
            demux.insert(&expectation(b, 4_000, 1_000 + b, Some(1_000 + a)));
        }
        for key in 0..200u32 {
            let peer = key ^ 1;
            assert_eq!(
                demux.rtp(address(4_000), 1_000 + key, true),
                Verdict::Stream(peer)
            );
            // Its report about the peer goes to the peer too.
            assert_eq!(
                demux.rtcp(address(4_000), 1_000 + key, Some(1_000 + peer), true),
                Verdict::Stream(peer)
            );
            assert_eq!(
                demux.rtcp(address(4_000), 1_000 + key, None, true),
                Verdict::Stream(peer)
            );
        }
        assert_eq!(demux.rtp(address(4_000), 7, true), Verdict::Ambiguous);
        assert_eq!(demux.rtp(address(4_001), 1_000, true), Verdict::Stranger);
    }

    #[test]
    fn an_unknown_ssrc_latches_only_where_one_stream_is_meant() {
        let mut demux = Demux::default();
        let first = expectation(1, 4_000, 11, None);
        let second = expectation(2, 4_000, 12, None);
        demux.insert(&first);
        assert_eq!(demux.rtp(address(4_000), 99, false), Verdict::Latches(1));
        demux.insert(&second);
        assert_eq!(demux.rtp(address(4_000), 99, false), Verdict::Ambiguous);
        let first = latch(&mut demux, &first, 99);
        assert_eq!(demux.rtp(address(4_000), 99, false), Verdict::Stream(1));
        // The one that has not heard its peer yet is the only one left for a new SSRC.
        assert_eq!(demux.rtp(address(4_000), 98, false), Verdict::Latches(2));
        demux.remove(&second);
        // A peer that restarts with a new SSRC is followed while it is alone at its address.
        assert_eq!(demux.rtp(address(4_000), 97, false), Verdict::Latches(1));
        let first = latch(&mut demux, &first, 97);
        assert_eq!(demux.rtp(address(4_000), 97, false), Verdict::Stream(1));
        demux.remove(&first);
        assert_eq!(demux.rtp(address(4_000), 97, false), Verdict::Stranger);
        assert!(demux.expected.is_empty() && demux.own.is_empty() && demux.remotes.is_empty());
    }

    #[test]
    fn an_echo_finds_the_stream_by_its_own_ssrc() {
        let mut demux = Demux::default();
        demux.insert(&expectation(1, 6_000, 11, None));
        demux.insert(&expectation(2, 6_000, 12, None));
        assert_eq!(demux.rtp(address(6_000), 11, false), Verdict::Stream(1));
        assert_eq!(demux.rtp(address(6_000), 12, false), Verdict::Stream(2));
        assert_eq!(
            demux.rtcp(address(6_000), 12, Some(11), false),
            Verdict::Stream(2)
        );
        // From a socket of our own the same SSRC is the peer's mistake, not an echo.
        assert_eq!(demux.rtp(address(6_000), 11, true), Verdict::Ambiguous);
    }

    #[test]
    fn rtcp_never_latches_but_is_delivered() {
        let mut demux = Demux::default();
        demux.insert(&expectation(1, 6_001, 11, None));
        assert_eq!(
            demux.rtcp(address(6_001), 50, None, false),
            Verdict::Stream(1)
        );
        assert_eq!(
            demux.rtcp(address(6_001), 50, Some(11), false),
            Verdict::Stream(1)
        );
        assert_eq!(demux.sole(address(6_001)), Some(1));
    }

    #[test]
    fn of_two_streams_with_one_ssrc_the_later_stays() {
        let mut demux = Demux::default();
        let first = expectation(1, 4_000, 11, Some(5));
        let second = expectation(2, 4_000, 12, Some(5));
        demux.insert(&first);
        demux.insert(&second);
        demux.remove(&first);
        assert_eq!(demux.rtp(address(4_000), 5, false), Verdict::Stream(2));
    }
}
