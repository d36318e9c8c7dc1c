//! What the control tree as a whole must be: the number of its newest commit and a sum over all its
//! entries, written with each commit in the same batch.
//!
//! sled takes a damaged page in the middle of its log for one that was never written, and shows the
//! page as it was before. No single record tells; the sum does, at the next start.

use super::keys::SEQUENCE;
use super::packed;

/// The state of the tree after a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Number of the newest commit.
    pub(super) number: u64,
    /// Sum over all other entries.
    sum: u64,
}

impl State {
    /// As the tree says it is.
    pub(super) fn read(tree: &sled::Tree) -> sled::Result<Self> {
        let Some(octets) = tree.get([SEQUENCE])? else {
            return Ok(Self::default());
        };
        let number = octets.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let sum = octets.last_chunk().copied().map_or(0, u64::from_be_bytes);
        Ok(Self { number, sum })
    }

    /// True where the tree's entries are those that were written. Reads all of them.
    pub(super) fn holds(self, tree: &sled::Tree) -> sled::Result<bool> {
        let mut sum = 0u64;
        for entry in tree {
            let (key, value) = entry?;
            if *key != [SEQUENCE] {
                sum = sum.wrapping_add(hash(&key, &value));
            }
        }
        Ok(sum == self.sum)
    }
}

/// A batch, and the state of the tree after it.
///
/// Bounds: each key is written at most once.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    tree: &'a sled::Tree,
    batch: sled::Batch,
    state: State,
}

impl<'a> Stage<'a> {
    /// Begins a batch after a state.
    pub(super) fn after(tree: &'a sled::Tree, state: State) -> Self {
        Self {
            tree,
            batch: sled::Batch::default(),
            state: State {
                number: state.number + 1,
                ..state
            },
        }
    }

    /// Writes a record, and takes away what the one before it had more of.
    pub(super) fn put(&mut self, key: &[u8], octets: &[u8]) -> sled::Result<()> {
        let parts = packed::pack(octets).map_err(sled::Error::Io)?;
        let before = self.further(key)?;
        let mut number = 0u16;
        for (place, part) in parts.into_iter().enumerate() {
            if place == 0 {
                self.entry(key, Some(part))?;
            } else {
                number += 1;
                self.entry(&packed::part_key(key, number), Some(part))?;
            }
        }
        for gone in number + 1..=before {
            self.entry(&packed::part_key(key, gone), None)?;
        }
        Ok(())
    }

    /// Takes a record away, if there is one.
    pub(super) fn delete(&mut self, key: &[u8]) -> sled::Result<()> {
        for gone in 1..=self.further(key)? {
            self.entry(&packed::part_key(key, gone), None)?;
        }
        self.entry(key, None)
    }

    /// Writes all of it, or nothing.
    pub(super) fn apply(mut self) -> sled::Result<State> {
        let mut octets = Vec::with_capacity(16);
        octets.extend_from_slice(&self.state.number.to_be_bytes());
        octets.extend_from_slice(&self.state.sum.to_be_bytes());
        self.batch.insert(&[SEQUENCE], octets);
        self.tree.apply_batch(self.batch)?;
        Ok(self.state)
    }

    fn further(&self, key: &[u8]) -> sled::Result<u16> {
        Ok(self
            .tree
            .get(key)?
            .map_or(0, |value| packed::further(&value)))
    }

    fn entry(&mut self, key: &[u8], value: Option<Vec<u8>>) -> sled::Result<()> {
        if let Some(before) = self.tree.get(key)? {
            self.state.sum = self.state.sum.wrapping_sub(hash(key, &before));
        } else if value.is_none() {
            return Ok(());
        }
        match value {
            Some(value) => {
                self.state.sum = self.state.sum.wrapping_add(hash(key, &value));
                self.batch.insert(key, value);
            }
            None => self.batch.remove(key),
        }
        Ok(())
    }
}

/// Against damage, not against people.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    let length = (key.len() as u64) << 32 | value.len() as u64;
    u64::from(hasher.finalize()).wrapping_mul(MIX) ^ length
}

/// Spreads the checksum over all bits: 2⁶⁴ through the golden ratio.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
