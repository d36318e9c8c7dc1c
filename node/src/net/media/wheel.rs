//! The wheel of packetisation slots: which streams are due in which millisecond.
//!
//! Pure. A stream with a ptime of 20 ms sits in one of 20 slots and is due in every tick with
//! `tick mod 20 == slot`; streams are spread so that every tick has about the same work.

/// Packetisation times that have slots, in milliseconds.
pub const PTIMES_MS: [u32; 6] = [10, 20, 30, 40, 50, 60];

/// The longest of [`PTIMES_MS`]: within so many ticks every stream has been due once.
pub(super) const PTIME_LONGEST_MS: u64 = 60;

/// Where a stream sits in the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    ring: usize,
    slot: usize,
    place: usize,
}

/// Keys of streams by packetisation time and slot.
///
/// Bounds: insertion looks at ≤ 60 slots; removal O(1); a tick visits exactly the due streams.
#[derive(Debug)]
pub(super) struct Wheel {
    rings: [Ring; PTIMES_MS.len()],
}

#[derive(Debug)]
struct Ring {
    slots: Vec<Vec<u32>>,
}

impl Wheel {
    /// Makes an empty wheel.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            rings: PTIMES_MS.map(|ptime| Ring {
                slots: vec![Vec::new(); ptime as usize],
            }),
        }
    }

    /// Seats a stream in the emptiest slot of its packetisation time, starting the search at the
    /// slot after `tick` so that its first packet leaves soon.
    ///
    /// Shape: none where `ptime_ms` is not one of [`PTIMES_MS`].
    pub(super) fn insert(&mut self, key: u32, ptime_ms: u32, tick: u64) -> Option<Seat> {
        let ring = PTIMES_MS.iter().position(|ptime| *ptime == ptime_ms)?;
        let slots = &mut self.rings.get_mut(ring)?.slots;
        let count = slots.len();
        let start = (tick % u64::from(ptime_ms)) as usize + 1;
        let slot = (start..start + count)
            .map(|slot| slot % count)
            .min_by_key(|slot| slots.get(*slot).map_or(usize::MAX, Vec::len))?;
        let keys = slots.get_mut(slot)?;
        keys.push(key);
        Some(Seat {
            ring,
            slot,
            place: keys.len() - 1,
        })
    }

    /// Frees a seat. Returns the key that moved into its place, whose seat is now this one.
    pub(super) fn remove(&mut self, seat: Seat) -> Option<u32> {
        let keys = self.slot_mut(seat.ring, seat.slot)?;
        if seat.place >= keys.len() {
            return None;
        }
        keys.swap_remove(seat.place);
        keys.get(seat.place).copied()
    }

    /// The due slot of each ring at `tick`.
    pub(super) fn due(tick: u64) -> impl Iterator<Item = (usize, usize)> {
        PTIMES_MS
            .into_iter()
            .enumerate()
            .map(move |(ring, ptime)| (ring, (tick % u64::from(ptime)) as usize))
    }

    /// The key at a place of a slot; none past its end.
    #[must_use]
    pub(super) fn key(&self, ring: usize, slot: usize, place: usize) -> Option<u32> {
        self.rings.get(ring)?.slots.get(slot)?.get(place).copied()
    }

    fn slot_mut(&mut self, ring: usize, slot: usize) -> Option<&mut Vec<u32>> {
        self.rings.get_mut(ring)?.slots.get_mut(slot)
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_keys(wheel: &Wheel, tick: u64) -> Vec<u32> {
        Wheel::due(tick)
            .flat_map(|(ring, slot)| (0..).map_while(move |place| wheel.key(ring, slot, place)))
            .collect()
    }

    #[test]
    fn a_stream_is_due_once_per_ptime() {
        let mut wheel = Wheel::new();
        for (key, ptime) in PTIMES_MS.into_iter().enumerate() {
            wheel.insert(key as u32, ptime, 7).unwrap();
        }
        let mut seen = [0u32; PTIMES_MS.len()];
        for tick in 0..600 {
            for key in due_keys(&wheel, tick) {
                seen[key as usize] += 1;
            }
        }
        assert_eq!(seen, [60, 30, 20, 15, 12, 10]);
    }

    #[test]
    fn streams_spread_evenly_and_start_after_the_current_tick() {
        let mut wheel = Wheel::new();
        let first = wheel.insert(0, 20, 1_013).unwrap();
        assert_eq!(first.slot, 14);
        for key in 1..200 {
            wheel.insert(key, 20, u64::from(key)).unwrap();
        }
        for tick in 0..20 {
            assert_eq!(due_keys(&wheel, tick).len(), 10);
        }
    }

    #[test]
    fn removing_tells_which_stream_took_the_place() {
        let mut wheel = Wheel::new();
        let seats: Vec<Seat> = (0..41)
            .map(|key| wheel.insert(key, 20, 0).unwrap())
            .collect();
        // Keys 0, 20 and 40 share a slot.
        assert_eq!(wheel.remove(seats[0]), Some(40));
        assert_eq!(wheel.remove(Seat { ..seats[0] }), Some(20));
        assert_eq!(wheel.remove(seats[0]), None);
        assert_eq!(wheel.remove(seats[0]), None);
    }

    #[test]
    fn an_unknown_ptime_has_no_seat() {
        assert_eq!(Wheel::new().insert(1, 25, 0), None);
    }
}
