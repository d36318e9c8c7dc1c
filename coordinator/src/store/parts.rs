//! Records as compressed parts of at most [`PART_MAX`] octets under consecutive keys.
//!
//! A sled leaf holds up to 17 values, and a page above 64 KiB becomes a file of its own, so values
//! stay small. A record is: envelope (magic, version, CRC-32) → zstd → parts.

use std::cell::RefCell;
use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::wire::{MESSAGE_MAX, decode, encode};
use zstd::bulk::Compressor;

use super::StoreError;

/// Adds a record to a batch: `key` followed by the part's number.
pub(super) fn put<T: Serialize>(
    batch: &mut sled::Batch,
    key: &[u8],
    what: &'static str,
    record: &T,
) -> Result<(), StoreError> {
    let octets = encode(record).map_err(|source| StoreError::Record { what, source })?;
    let packed = compress(&octets).map_err(|source| StoreError::Parts { what, source })?;
    for (number, part) in packed.chunks(PART_MAX).enumerate() {
        let mut place = Vec::with_capacity(key.len() + NUMBER);
        place.extend_from_slice(key);
        place.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        batch.insert(place, part);
    }
    Ok(())
}

thread_local! {
    /// zstd's tables are larger than most records; the writer's thread keeps them.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses with this thread's tables.
pub(super) fn compress(octets: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::new(ZSTD_LEVEL)?,
        };
        let packed = compressor.compress(octets)?;
        *kept = Some(compressor);
        Ok(packed)
    })
}

/// Reads the record under `key`; none where there is no such record.
pub(super) fn get<T: DeserializeOwned>(
    tree: &sled::Tree,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, StoreError> {
    let mut packed = Vec::new();
    for part in tree.scan_prefix(key) {
        let (_, value) = part.map_err(|source| damaged(what, source))?;
        packed.extend_from_slice(&value);
    }
    if packed.is_empty() {
        return Ok(None);
    }
    unpack(&packed, what).map(Some)
}

/// Reads all records whose keys (without the part's number) lie in a prefix, in their order.
///
/// Stops with an error at the first damaged one.
pub(super) fn scan<T: DeserializeOwned>(
    tree: &sled::Tree,
    prefix: &[u8],
    what: &'static str,
) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + use<T> {
    joined(tree.scan_prefix(prefix), what)
}

/// Reads all records whose keys lie from `from` up to, but without, `to`; else as [`scan`].
pub(super) fn range<T: DeserializeOwned>(
    tree: &sled::Tree,
    from: &[u8],
    to: &[u8],
    what: &'static str,
) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + use<T> {
    // A range that is turned around is empty, where sled would panic.
    joined(tree.range(from..to.max(from)), what)
}

fn joined<T: DeserializeOwned>(
    parts: sled::Iter,
    what: &'static str,
) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + use<T> {
    let mut parts = parts.peekable();
    std::iter::from_fn(move || {
        let (place, first) = match parts.next()? {
            Ok(part) => part,
            Err(source) => return Some(Err(damaged(what, source))),
        };
        let key = place
            .get(..place.len().saturating_sub(NUMBER))
            .unwrap_or_default()
            .to_vec();
        let mut packed = first.to_vec();
        while let Some(Ok((_, part))) = parts.next_if(|next| continues(next, &key)) {
            packed.extend_from_slice(&part);
        }
        Some(unpack(&packed, what).map(|record| (key, record)))
    })
}

fn continues(next: &sled::Result<(sled::IVec, sled::IVec)>, key: &[u8]) -> bool {
    next.as_ref()
        .is_ok_and(|(place, _)| place.get(..place.len().saturating_sub(NUMBER)) == Some(key))
}

fn unpack<T: DeserializeOwned>(packed: &[u8], what: &'static str) -> Result<T, StoreError> {
    let mut octets = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed);
    decoder
        .and_then(|decoder| decoder.take(MESSAGE_MAX + 64).read_to_end(&mut octets))
        .map_err(|source| StoreError::Parts { what, source })?;
    decode(&octets).map_err(|source| StoreError::Record { what, source })
}

fn damaged(what: &'static str, source: sled::Error) -> StoreError {
    StoreError::Parts {
        what,
        source: std::io::Error::other(source),
    }
}

/// Octets of a part. Seventeen of them are the most a leaf holds: a segment takes many such pages with
/// little left over, where twice as long ones waste a sixth of the disk.
const PART_MAX: usize = 1_700;
/// Octets of the part's number at the end of a key.
const NUMBER: usize = 4;
/// A twentieth smaller than the fastest level, for a twentieth of a core more at 20,000 endpoints.
const ZSTD_LEVEL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    /// Octets that zstd cannot make smaller.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut random = crate::testing::Random::new(seed);
        (0..length)
            .map(|_| random.next().to_le_bytes()[0])
            .collect()
    }

    #[test]
    fn long_records_are_cut_and_come_back() {
        let tree = tree();
        let records = [noise(3, 1), noise(50_000, 2), Vec::new(), noise(7_000, 3)];
        for (n, record) in records.iter().enumerate() {
            let mut batch = sled::Batch::default();
            put(&mut batch, &[7, n as u8], "noise", record).unwrap();
            tree.apply_batch(batch).unwrap();
        }
        assert!(tree.iter().values().all(|v| v.unwrap().len() <= PART_MAX));
        for (n, record) in records.iter().enumerate() {
            let got: Option<Vec<u8>> = get(&tree, &[7, n as u8], "noise").unwrap();
            assert_eq!(got.as_ref(), Some(record));
        }
        let all: Vec<Vec<u8>> = scan(&tree, &[7], "noise")
            .map(|record| record.unwrap().1)
            .collect();
        assert_eq!(all, records);
        assert_eq!(get::<Vec<u8>>(&tree, &[8], "noise").unwrap(), None);
    }

    #[test]
    fn a_lost_or_changed_part_is_an_error_not_a_wrong_record() {
        let tree = tree();
        let mut batch = sled::Batch::default();
        put(&mut batch, &[1], "noise", &noise(20_000, 4)).unwrap();
        tree.apply_batch(batch).unwrap();
        let (place, whole) = tree.iter().nth(1).unwrap().unwrap();
        let mut changed = whole.to_vec();
        changed[100] ^= 1;
        tree.insert(&place, changed).unwrap();
        assert!(get::<Vec<u8>>(&tree, &[1], "noise").is_err());
        tree.remove(&place).unwrap();
        assert!(get::<Vec<u8>>(&tree, &[1], "noise").is_err());
    }
}
