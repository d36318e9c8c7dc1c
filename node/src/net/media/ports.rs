//! Which RTP ports are free, by local address. Pure: binding them is `reserve`'s work.
//!
//! Ports come out in the order in which they were given back, so that the tail of an old call's
//! packets has the longest time to die out before a new call listens there. Each process begins in an
//! order of its own: two that use the same range would else meet at every port, one after the other.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Most local addresses one pool keeps books for.
pub(super) const LOCAL_ADDRESSES_MAX: usize = 256;

/// Even RTP ports (RFC 3550 §11); the odd one above each is its RTCP port.
#[derive(Debug)]
pub(super) struct PortPool {
    first: u16,
    pairs: u16,
    /// Shuffles the first order; 0 leaves it ascending.
    seed: u64,
    free: HashMap<IpAddr, VecDeque<u16>>,
}

impl PortPool {
    /// Makes a pool of the even ports of `range` whose odd neighbour is in it too.
    #[must_use]
    pub(super) fn new(range: &RangeInclusive<u16>, seed: u64) -> Self {
        let first = range.start().saturating_add(range.start() % 2);
        let last = *range.end();
        let pairs = if last > first {
            (last - first).div_ceil(2)
        } else {
            0
        };
        Self {
            first,
            pairs,
            seed,
            free: HashMap::new(),
        }
    }

    /// Port pairs for each local address, taken or not.
    #[must_use]
    pub(super) fn pairs(&self) -> u16 {
        self.pairs
    }

    /// Pairs that may still be taken at `local`.
    #[must_use]
    pub(super) fn free(&self, local: IpAddr) -> usize {
        self.free
            .get(&local)
            .map_or(usize::from(self.pairs), VecDeque::len)
    }

    /// Takes the port that has been free for longest; none where all are taken or too many
    /// local addresses are in use.
    pub(super) fn take(&mut self, local: IpAddr) -> Option<u16> {
        if !self.free.contains_key(&local) && self.free.len() >= LOCAL_ADDRESSES_MAX {
            return None;
        }
        let (first, pairs, seed) = (self.first, self.pairs, self.seed);
        self.free
            .entry(local)
            .or_insert_with(|| {
                let mut ports: Vec<u16> = (0..pairs).map(|pair| first + pair * 2).collect();
                shuffle(&mut ports, seed);
                ports.into()
            })
            .pop_front()
    }

    /// Gives a port back that [`Self::take`] handed out.
    pub(super) fn give_back(&mut self, local: IpAddr, port: u16) {
        if let Some(free) = self.free.get_mut(&local) {
            free.push_back(port);
        }
    }
}

/// Fisher and Yates' shuffle with SplitMix64 behind it.
fn shuffle(ports: &mut [u16], seed: u64) {
    if seed == 0 {
        return;
    }
    let mut state = seed;
    for last in (1..ports.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let other = (mixed ^ (mixed >> 31)) % (last as u64 + 1);
        // Below `last`, which is an index.
        ports.swap(last, usize::try_from(other).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn only_even_ports_with_an_odd_neighbour_are_handed_out() {
        let mut pool = PortPool::new(&(10_001..=10_006), 0);
        assert_eq!(pool.pairs(), 2);
        assert_eq!(pool.take(LOCAL), Some(10_002));
        assert_eq!(pool.take(LOCAL), Some(10_004));
        assert_eq!(pool.take(LOCAL), None);
        assert_eq!(pool.free(LOCAL), 0);
    }

    #[test]
    fn two_processes_take_the_same_ports_in_unrelated_orders() {
        let order = |seed| {
            let mut pool = PortPool::new(&(16_384..=32_767), seed);
            let ports: Vec<u16> = std::iter::from_fn(|| pool.take(LOCAL)).collect();
            ports
        };
        let (one, two) = (order(1), order(2));
        // One process holds half of the range: the other never meets 64 of its ports in a row.
        let held: std::collections::HashSet<_> = one[..one.len() / 2].iter().collect();
        let longest = two
            .split(|port| !held.contains(port))
            .map(<[u16]>::len)
            .max();
        assert!(longest.is_some_and(|run| run < 32), "{longest:?}");
        let sorted = |mut ports: Vec<u16>| {
            ports.sort_unstable();
            ports
        };
        assert_eq!(sorted(one), sorted(two));
    }

    #[test]
    fn ranges_at_the_edges_do_not_overflow() {
        assert_eq!(PortPool::new(&(65_535..=65_535), 0).pairs(), 0);
        assert_eq!(PortPool::new(&(65_534..=65_535), 0).pairs(), 1);
        assert_eq!(PortPool::new(&(0..=65_535), 0).pairs(), 32_768);
        assert_eq!(PortPool::new(&RangeInclusive::new(20, 10), 0).pairs(), 0);
    }

    #[test]
    fn a_port_given_back_is_the_last_to_be_used_again() {
        let mut pool = PortPool::new(&(100..=105), 0);
        let port = pool.take(LOCAL).unwrap();
        pool.give_back(LOCAL, port);
        assert_eq!(pool.take(LOCAL), Some(102));
        assert_eq!(pool.take(LOCAL), Some(104));
        assert_eq!(pool.take(LOCAL), Some(port));
    }

    #[test]
    fn local_addresses_have_books_of_their_own_up_to_a_bound() {
        let mut pool = PortPool::new(&(100..=101), 0);
        for host in 0..LOCAL_ADDRESSES_MAX {
            let local = IpAddr::from([127, 0, 1, host as u8]);
            assert_eq!(pool.take(local), Some(100));
        }
        assert_eq!(pool.take(LOCAL), None);
        pool.give_back(LOCAL, 100);
        assert_eq!(pool.free(LOCAL), 1);
    }
}
