//! Hostile datagrams for tests: the files of the torture collection and what a mutator makes of
//! them.
//!
//! Owns: where they lie and how they are bent. Never: what should come of them.

use std::path::Path;

use crate::seeded::Random;

/// The files of a folder of the torture collection, by name; none (and a line that says so) where
/// the collection is not beside this repository.
pub(crate) fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/testdata/torture"
    );
    let folder = Path::new(root).join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            std::fs::read(entry.path())
                .ok()
                .map(|octets| (name, octets))
        })
        .collect();
    files.sort();
    files
}

/// Gives `try_one` the datagram whole, cut at every length, and with every octet set to each of
/// the values that break parsers and with each of its bits flipped.
pub(crate) fn bend(datagram: &[u8], mut try_one: impl FnMut(&[u8])) {
    for length in 0..=datagram.len() {
        try_one(&datagram[..length]);
    }
    let mut bent = datagram.to_vec();
    for at in 0..datagram.len() {
        let whole = bent[at];
        for value in [0x00, 0x01, 0x0F, 0x10, 0x7F, 0x80, 0xF0, 0xFF, !whole] {
            bent[at] = value;
            try_one(&bent);
        }
        for bit in 0..8 {
            bent[at] = whole ^ 1 << bit;
            try_one(&bent);
        }
        bent[at] = whole;
    }
}

/// Gives `try_one` `rounds` random bends of the seeds, each with the number that makes it again.
pub(crate) fn mutate(seeds: &[Vec<u8>], rounds: u64, mut try_one: impl FnMut(u64, &[u8])) {
    for round in 0..rounds {
        let mut random = Random::new(round);
        let mut octets = seeds[(random.bits() % seeds.len() as u64) as usize].clone();
        for _ in 0..=random.bits() % 6 {
            let at = (random.bits() % octets.len().max(1) as u64) as usize;
            match random.bits() % 4 {
                0 => octets.truncate(at),
                1 => octets.insert(at.min(octets.len()), random.bits() as u8),
                2 => octets.extend_from_within(at.min(octets.len())..),
                _ => {
                    if let Some(octet) = octets.get_mut(at) {
                        *octet = random.bits() as u8;
                    }
                }
            }
            octets.truncate(1_500);
        }
        try_one(round, &octets);
    }
}
