use super::*;
use crate::seeded::Random;

fn place_all(numbers: impl IntoIterator<Item = u16>) -> Sequence {
    let mut sequence = Sequence::new();
    for number in numbers {
        sequence.place(number);
    }
    sequence
}

#[test]
fn the_sequence_wraps_without_loss() {
    let sequence = place_all((0..200_000_u32).map(|n| (n.wrapping_add(65_000)) as u16));
    let totals = sequence.totals();
    assert_eq!(
        (totals.expected, totals.placed, totals.missing()),
        (200_000, 200_000, 0)
    );
    assert_eq!(
        sequence.segment().highest,
        65_000 + 199_999,
        "cycles are counted"
    );
}

#[test]
fn losses_duplicates_and_reordering_are_told_apart() {
    let mut sequence = place_all([10, 11, 14]);
    assert_eq!(sequence.totals().missing(), 2);
    assert_eq!(sequence.place(12), Placed::Reordered);
    assert_eq!(sequence.place(12), Placed::Duplicate);
    assert_eq!(sequence.place(14), Placed::Duplicate);
    let totals = sequence.totals();
    assert_eq!((totals.expected, totals.placed), (5, 6));
    assert_eq!(
        (totals.missing(), totals.lost()),
        (1, -1),
        "duplicates do not hide a loss"
    );
    assert_eq!((totals.duplicates, totals.reordered), (2, 1));
}

#[test]
fn a_packet_from_before_the_first_was_expected_too() {
    let mut sequence = place_all([0, 1]);
    assert_eq!(sequence.place(65_535), Placed::Reordered);
    assert_eq!(
        sequence.totals(),
        Totals {
            expected: 3,
            placed: 3,
            reordered: 1,
            ..Totals::default()
        }
    );
}

#[test]
fn a_restart_needs_two_in_sequence_and_keeps_the_totals() {
    let mut sequence = place_all(0..100);
    assert_eq!(sequence.place(40_000), Placed::Suspect);
    assert_eq!(
        sequence.place(100),
        Placed::Next,
        "a stray packet changes nothing"
    );
    assert_eq!(sequence.totals().missing(), 0);
    assert_eq!(sequence.place(40_001), Placed::Suspect);
    assert_eq!(sequence.place(40_002), Placed::Restarted);
    assert_eq!(sequence.place(40_004), Placed::Next);
    let totals = sequence.totals();
    assert_eq!(
        (totals.expected, totals.missing(), totals.resets),
        (105, 1, 1)
    );
    assert_eq!(
        sequence.segment(),
        Segment {
            highest: 40_004,
            expected: 4,
            received: 3
        }
    );
}

#[test]
fn the_limits_of_jump_and_reordering() {
    let mut sequence = place_all([0]);
    assert_eq!(sequence.place(MAX_DROPOUT - 1), Placed::Next);
    assert_eq!(sequence.totals().missing(), u64::from(MAX_DROPOUT) - 2);
    let mut sequence = place_all([0]);
    assert_eq!(sequence.place(MAX_DROPOUT), Placed::Suspect);
    let mut sequence = place_all(0..=500);
    assert_eq!(
        sequence.place(500 - (MAX_MISORDER as u16 - 1)),
        Placed::Duplicate
    );
    assert_eq!(sequence.place(500 - MAX_MISORDER as u16), Placed::Suspect);
}

#[test]
fn bursts_follow_the_final_order_not_the_arrival() {
    let mut sequence = Sequence::new();
    for number in 0..300_u16 {
        if ![50, 51, 52].contains(&number) {
            sequence.place(number);
        }
        if number == 60 {
            assert_eq!(sequence.bursts().figures().bursts, 1, "for now");
            sequence.place(51);
            sequence.place(52);
        }
    }
    sequence.place(250);
    sequence.mark_unusable(299);
    let figures = sequence.bursts().figures();
    assert_eq!((figures.bursts, figures.lost_run_max), (0, 1));
    assert_eq!(
        figures.gap_density,
        Some(2.0 / 300.0),
        "one lost, one discarded"
    );
}

#[test]
fn totals_equal_a_simple_count_whatever_the_road_does() {
    for seed in 0..200_u64 {
        let mut random = Random::new(seed);
        let first = random.bits() as u16;
        let loss = random.unit() * 0.2;
        let mut arrivals: Vec<(u32, u32)> = Vec::new();
        for n in 0..5_000_u32 {
            if n > 0 && random.unit() < loss {
                continue;
            }
            let delay = (random.unit() * 40.0) as u32;
            arrivals.push((n + delay, n));
            if random.unit() < 0.02 {
                arrivals.push((n + delay + 3, n));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let sequence = place_all(arrivals.iter().map(|(_, n)| first.wrapping_add(*n as u16)));
        let unique: std::collections::BTreeSet<u32> = arrivals.iter().map(|(_, n)| *n).collect();
        let (low, high) = (unique.first().expect("some"), unique.last().expect("some"));
        let totals = sequence.totals();
        assert_eq!(totals.expected, u64::from(high - low) + 1, "seed {seed}");
        assert_eq!(
            totals.missing(),
            totals.expected - unique.len() as u64,
            "seed {seed}"
        );
        assert_eq!(
            totals.duplicates,
            (arrivals.len() - unique.len()) as u64,
            "seed {seed}"
        );
        let figures = sequence.bursts().figures();
        let bad = figures.burst_density.unwrap_or(0.0)
            * figures.burst_packets.unwrap_or(0.0)
            * f64::from(figures.bursts);
        assert!(bad <= totals.missing() as f64 + 1e-6, "seed {seed}");
    }
}
