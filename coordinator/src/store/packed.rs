//! Control records as values of the tree: long ones are compressed and cut into parts.
//!
//! The record's own key holds a head (how it is packed, how many further parts) and its first part;
//! the others stand under the part kind, so that a scan over records never meets them. Readers may
//! see a record while it is replaced: then its parts do not fit, which is [`Unpacked::Torn`].

use std::io::Read;

use shared::wire::MESSAGE_MAX;

use super::keys::{Key, PART};

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// The record's octets: its envelope.
    Whole(Vec<u8>),
    /// Parts of two versions, or a damaged record: read again, then it is damage.
    Torn,
}

/// Cuts a record: the value of its own key, then the further parts.
pub(super) fn pack(octets: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
    let (how, packed) = if octets.len() > PART_MAX {
        (
            ZSTD,
            std::borrow::Cow::from(super::parts::compress(octets)?),
        )
    } else {
        (PLAIN, octets.into())
    };
    let mut parts: Vec<Vec<u8>> = packed.chunks(PART_MAX).map(<[u8]>::to_vec).collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    let further = u16::try_from(parts.len() - 1)
        .map_err(|_| std::io::Error::other("the record is too long"))?;
    if let Some(first) = parts.first_mut() {
        first.splice(
            0..0,
            [how, further.to_be_bytes()[0], further.to_be_bytes()[1]],
        );
    }
    Ok(parts)
}

/// How many further parts a record's own value says it has.
pub(super) fn further(value: &[u8]) -> u16 {
    match value {
        [_, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// The key of a further part, from 1.
pub(super) fn part_key(key: &[u8], number: u16) -> Key {
    let mut place = Vec::with_capacity(1 + key.len() + 2);
    place.push(PART);
    place.extend_from_slice(key);
    place.extend_from_slice(&number.to_be_bytes());
    place
}

/// Puts a record together from its own value.
pub(super) fn unpack(tree: &sled::Tree, key: &[u8], value: &[u8]) -> sled::Result<Unpacked> {
    let Some((head, first)) = value.split_at_checked(HEAD) else {
        return Ok(Unpacked::Torn);
    };
    let mut packed = first.to_vec();
    for number in 1..=further(value) {
        match tree.get(part_key(key, number))? {
            Some(part) => packed.extend_from_slice(&part),
            None => return Ok(Unpacked::Torn),
        }
    }
    match head.first() {
        Some(&PLAIN) => Ok(Unpacked::Whole(packed)),
        Some(&ZSTD) => {
            let mut octets = Vec::new();
            let read = zstd::stream::read::Decoder::new(packed.as_slice())
                .and_then(|decoder| decoder.take(MESSAGE_MAX + 64).read_to_end(&mut octets));
            Ok(read.map_or(Unpacked::Torn, |_| Unpacked::Whole(octets)))
        }
        _ => Ok(Unpacked::Torn),
    }
}

/// Octets of a part: seventeen of them, the most a sled leaf holds, stay below a quarter of the
/// control database's segment, above which sled makes a file of its own for the leaf.
const PART_MAX: usize = 1_700;
const HEAD: usize = 3;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::{Stage, State};
    use crate::testing::Random;

    fn tree() -> sled::Tree {
        let db = sled::Config::new().temporary(true).open().unwrap();
        db.open_tree("control").unwrap()
    }

    #[test]
    fn records_of_any_length_replace_each_other_and_leave_nothing_behind() {
        let db = tree();
        let mut state = State::default();
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let key = b"key";
            for _ in 0..6 {
                let length =
                    [0, 1, PART_MAX, PART_MAX + 1, 9_000, 60_000][random.below(6) as usize];
                let noise = random.below(2) == 0;
                let octets: Vec<u8> = (0..length)
                    .map(|_| if noise { random.below(256) as u8 } else { 7 })
                    .collect();
                let mut stage = Stage::after(&db, state);
                stage.put(key, &octets).unwrap();
                state = stage.apply().unwrap();
                assert!(state.holds(&db).unwrap());
                let value = db.get(key).unwrap().unwrap();
                let got = unpack(&db, key, &value).unwrap();
                assert_eq!(got, Unpacked::Whole(octets), "seed {seed}");
                let places = 2 + usize::from(further(&value));
                assert_eq!(db.len(), places, "seed {seed}: parts of the one before");
                assert!(
                    db.iter()
                        .values()
                        .all(|v| v.unwrap().len() <= PART_MAX + HEAD)
                );
            }
            let mut stage = Stage::after(&db, state);
            stage.delete(key).unwrap();
            state = stage.apply().unwrap();
            assert_eq!(db.len(), 1, "seed {seed}: the state itself");
            assert!(state.holds(&db).unwrap());
            assert_eq!(State::read(&db).unwrap(), state);
        }
    }

    #[test]
    fn a_missing_part_is_torn() {
        let db = tree();
        let mut random = Random::new(1);
        let octets: Vec<u8> = (0..9_000).map(|_| random.below(256) as u8).collect();
        let mut stage = Stage::after(&db, State::default());
        stage.put(b"key", &octets).unwrap();
        let state = stage.apply().unwrap();
        db.remove(part_key(b"key", 2)).unwrap();
        let value = db.get(b"key").unwrap().unwrap();
        assert_eq!(unpack(&db, b"key", &value).unwrap(), Unpacked::Torn);
        assert!(!state.holds(&db).unwrap());
        assert_eq!(unpack(&db, b"key", b"").unwrap(), Unpacked::Torn);
        assert_eq!(unpack(&db, b"key", &[9, 0, 0, 1]).unwrap(), Unpacked::Torn);
    }
}
