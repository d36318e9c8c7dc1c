//! Which sequence numbers of one source were expected, came, came twice, came late.
//!
//! Owns: the extended sequence number, restarts, and the fate of the newest 128 numbers. Never:
//! times, payload types or SSRCs.
//! Source: RFC 3550 §A.1, §A.3.

use super::burst::{Bursts, Fate};

/// Where a packet stands in its source's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Behind the highest so far (or the first): numbers between them are missing for now.
    Next,
    /// Below the highest, and had not come before.
    Reordered,
    /// Had come before.
    Duplicate,
    /// Far off: counts only when the next packet follows it.
    Suspect,
    /// Followed a suspect: the source restarted, both packets count.
    Restarted,
}

/// Sequence statistics of a stream, over restarts and changes of source.
///
/// Shape: one `place` per packet in arrival order. A segment is what lies between restarts; totals
/// go over all segments. Bounds: constant size; a jump costs at most `MAX_DROPOUT` steps.
///
/// What was lost before the first packet that came, or after the last, is not known here.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Extended highest and lowest of the segment; both carry [`ORIGIN`] so that a packet from
    /// before the first one fits.
    highest: u64,
    base: u64,
    started: bool,
    restart: Option<u16>,
    /// Bit i: number `highest - i` came.
    came: u128,
    /// Bit i: it came and could not be played.
    unusable: u128,
    segment_placed: u64,
    prior_expected: u64,
    prior_placed: u64,
    duplicates: u64,
    reordered: u64,
    resets: u64,
    bursts: Bursts,
}

/// Totals over all segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Numbers from lowest to highest, in each segment.
    pub expected: u64,
    /// Packets that have a place, duplicates counted.
    pub placed: u64,
    /// Packets whose number had come before.
    pub duplicates: u64,
    /// Packets below the highest so far.
    pub reordered: u64,
    /// Restarts of the sequence (not changes of source).
    pub resets: u64,
}

impl Totals {
    /// Numbers that have not come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.expected
            .saturating_sub(self.placed.saturating_sub(self.duplicates))
    }

    /// Expected minus received as RFC 3550 §A.3 counts it: duplicates lower it below zero.
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.expected as i64 - self.placed as i64
    }
}

/// What a reception report says of the present source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Extended highest sequence number received.
    pub highest: u32,
    /// Expected of this source since its (re)start.
    pub expected: u64,
    /// Received of it, duplicates counted.
    pub received: u64,
}

impl Default for Sequence {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequence {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            highest: 0,
            base: 0,
            started: false,
            restart: None,
            came: 0,
            unusable: 0,
            segment_placed: 0,
            prior_expected: 0,
            prior_placed: 0,
            duplicates: 0,
            reordered: 0,
            resets: 0,
            bursts: Bursts::default(),
        }
    }

    /// Places a packet.
    ///
    /// The first packet of all counts at once: address and payload type were agreed by signalling,
    /// so RFC 3550 §A.1's probation of MIN_SEQUENTIAL packets protects from nothing here and would
    /// hide a loss behind the first packet. Restarts and new sources do need two in sequence.
    pub fn place(&mut self, number: u16) -> Placed {
        if !self.started {
            self.begin(number);
            self.segment_placed = 1;
            return Placed::Next;
        }
        let ahead = number.wrapping_sub(self.highest as u16);
        if ahead == 0 {
            self.segment_placed += 1;
            self.duplicates += 1;
            Placed::Duplicate
        } else if ahead < MAX_DROPOUT {
            self.restart = None;
            self.advance(u32::from(ahead));
            self.segment_placed += 1;
            Placed::Next
        } else if u32::from(ahead) <= SEQUENCE_MODULUS - MAX_MISORDER {
            self.place_suspect(number)
        } else {
            self.place_behind(SEQUENCE_MODULUS - u32::from(ahead))
        }
    }

    /// Marks the packet placed last as one that came but cannot be played.
    pub fn mark_unusable(&mut self, number: u16) {
        let behind = u32::from((self.highest as u16).wrapping_sub(number));
        if behind < WINDOW {
            self.unusable |= 1 << behind;
        }
    }

    /// A new source takes over, confirmed by its second packet in sequence, `number`. Totals stay.
    pub fn change_source(&mut self, number: u16) {
        self.close_segment();
        self.begin(number.wrapping_sub(1));
        self.advance(1);
        self.segment_placed = 2;
    }

    /// Totals over all segments.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            expected: self.prior_expected + self.segment_expected(),
            placed: self.prior_placed + self.segment_placed,
            duplicates: self.duplicates,
            reordered: self.reordered,
            resets: self.resets,
        }
    }

    /// The present source's figures for a reception report.
    #[must_use]
    pub fn segment(&self) -> Segment {
        Segment {
            highest: self.highest.saturating_sub(ORIGIN) as u32,
            expected: self.segment_expected(),
            received: self.segment_placed,
        }
    }

    /// Bursts and gaps up to the highest number received.
    #[must_use]
    pub fn bursts(&self) -> Bursts {
        let mut bursts = self.bursts.clone();
        let depth = self.window_depth();
        let window = if depth == 0 {
            0
        } else {
            u128::MAX >> (WINDOW - depth)
        };
        if self.came & window == window && self.unusable & window == 0 {
            bursts.push_good(u64::from(depth));
            return bursts;
        }
        for behind in (0..depth).rev() {
            bursts.push(self.fate(behind));
        }
        bursts
    }

    fn begin(&mut self, number: u16) {
        self.started = true;
        self.restart = None;
        self.highest = ORIGIN + u64::from(number);
        self.base = self.highest;
        self.came = 1;
        self.unusable = 0;
        self.segment_placed = 0;
    }

    /// Moves the highest number on by `count` and fixes the fate of what leaves the window.
    fn advance(&mut self, count: u32) {
        if count == 1 {
            if self.highest - self.base >= u64::from(WINDOW - 1) {
                let fate = self.fate(WINDOW - 1);
                self.bursts.push(fate);
            }
            self.came = self.came << 1 | 1;
            self.unusable <<= 1;
            self.highest += 1;
            return;
        }
        for _ in 1..count {
            self.advance(1);
            self.came &= !1;
        }
        self.advance(1);
    }

    fn place_suspect(&mut self, number: u16) -> Placed {
        if self.restart != Some(number) {
            self.restart = Some(number.wrapping_add(1));
            return Placed::Suspect;
        }
        self.change_source(number);
        self.resets += 1;
        Placed::Restarted
    }

    fn place_behind(&mut self, behind: u32) -> Placed {
        self.segment_placed += 1;
        let bit = 1_u128 << behind;
        if self.came & bit != 0 {
            self.duplicates += 1;
            return Placed::Duplicate;
        }
        self.came |= bit;
        self.reordered += 1;
        // A packet from before the first one that came: it was expected too.
        self.base = self.base.min(self.highest - u64::from(behind));
        Placed::Reordered
    }

    fn close_segment(&mut self) {
        if self.started {
            self.bursts = self.bursts();
            self.prior_expected += self.segment_expected();
            self.prior_placed += self.segment_placed;
        }
    }

    fn segment_expected(&self) -> u64 {
        if self.started {
            self.highest - self.base + 1
        } else {
            0
        }
    }

    /// Numbers of the segment whose fate is not fixed yet.
    fn window_depth(&self) -> u32 {
        self.segment_expected().min(u64::from(WINDOW)) as u32
    }

    fn fate(&self, behind: u32) -> Fate {
        let bit = 1_u128 << behind;
        if self.came & bit == 0 {
            Fate::Lost
        } else if self.unusable & bit != 0 {
            Fate::Discarded
        } else {
            Fate::Good
        }
    }
}

/// A jump ahead of this many numbers or more is a restart, not loss (RFC 3550 §A.1).
pub const MAX_DROPOUT: u16 = 3_000;
/// A packet this far behind or farther is a restart, not reordering (RFC 3550 §A.1).
pub const MAX_MISORDER: u32 = 100;
const SEQUENCE_MODULUS: u32 = 65_536;
/// Numbers whose fate may still change: the bits of a u128, more than `MAX_MISORDER`.
const WINDOW: u32 = 128;
const ORIGIN: u64 = 1 << 16;

#[cfg(test)]
mod tests;
