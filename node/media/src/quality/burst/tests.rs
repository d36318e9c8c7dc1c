use super::*;
use crate::seeded::Random;

/// `100R L` … as in the table: counts before letters, R good, L lost, D discarded.
fn fates(pattern: &str) -> Vec<Fate> {
    let mut fates = Vec::new();
    for word in pattern.split_whitespace() {
        let digits = word.chars().take_while(char::is_ascii_digit).count();
        let count = word[..digits].parse().unwrap_or(1);
        for letter in word[digits..].chars() {
            let fate = match letter {
                'R' => Fate::Good,
                'L' => Fate::Lost,
                _ => Fate::Discarded,
            };
            fates.extend(std::iter::repeat_n(fate, count));
        }
    }
    fates
}

fn analyse(pattern: &str) -> Bursts {
    let mut bursts = Bursts::default();
    for fate in fates(pattern) {
        bursts.push(fate);
    }
    bursts
}

const A: &str = "100R L 100R L 100R";
const B: &str = "100R LRLLRRL 200R L 50R";
const C: &str = "50R LLLLL 45R";
const D: &str = "49R L 49R L 49R L 49R L 49R L 49R L 49R L 49R L 49R L 49R L";
const E: &str = "20R LRRL 26R 20R LRRL 26R 20R LRRL 26R 20R LRRL 26R";
const F: &str = "30R D RR L 30R";

#[test]
fn the_wire_counters_of_the_six_vectors() {
    // c11 c13 c14 c22 c23 c33; burst ms, gap ms, burst density, gap density at 20 ms.
    let table = [
        (A, [200, 1, 1, 0, 0, 0], [20.0, 4_040.0, 256.0, 1.27]),
        (B, [300, 2, 0, 1, 2, 1], [80.0, 3_020.0, 160.0, 0.0]),
        (C, [50, 1, 0, 0, 0, 4], [100.0, 1_020.0, 256.0, 0.0]),
        (D, [490, 1, 9, 0, 0, 0], [20.0, 10_000.0, 256.0, 4.617]),
        (E, [158, 4, 0, 4, 4, 0], [80.0, 810.0, 128.0, 0.0]),
        (F, [30, 1, 0, 1, 1, 0], [80.0, 620.0, 128.0, 0.0]),
    ];
    for (pattern, counters, figures) in table {
        let wire = analyse(pattern).wire();
        let got = [wire.c11, wire.c13, wire.c14, wire.c22, wire.c23, wire.c33];
        assert_eq!(got, counters, "{pattern}");
        let got = wire.figures(20);
        let got = [got.burst_ms, got.gap_ms, got.burst_density, got.gap_density];
        for (got, want) in got.iter().zip(figures) {
            assert!((got - want).abs() < 5e-3, "{pattern}: {got} is not {want}");
        }
    }
}

#[test]
fn bursts_and_gaps_by_definition_of_the_six_vectors() {
    // Bursts, their density, mean ms at 20 ms, gap density.
    let table = [
        (A, 0, None, None, 2.0 / 302.0),
        (B, 1, Some(4.0 / 7.0), Some(140.0), 1.0 / 351.0),
        (C, 1, Some(1.0), Some(100.0), 0.0),
        (D, 0, None, None, 0.02),
        (E, 4, Some(0.5), Some(80.0), 0.0),
        (F, 1, Some(0.5), Some(80.0), 0.0),
    ];
    for (pattern, bursts, density, ms, gap_density) in table {
        let figures = analyse(pattern).figures();
        assert_eq!(figures.bursts, bursts, "{pattern}");
        assert_eq!(figures.burst_density, density, "{pattern}");
        assert_eq!(
            figures.burst_packets.map(|packets| packets * 20.0),
            ms,
            "{pattern}"
        );
        assert_eq!(figures.gap_density, Some(gap_density), "{pattern}");
    }
    assert_eq!(analyse(A).figures().gap_packets, Some(302.0), "one gap");
    assert_eq!(
        analyse(C).figures().gap_packets,
        Some(47.5),
        "one before, one behind"
    );
    assert_eq!(
        analyse("LL 20R").figures().gap_packets,
        Some(20.0),
        "none before"
    );
    assert_eq!(
        analyse("20R LL").figures().gap_packets,
        Some(20.0),
        "none behind"
    );
    assert_eq!(Bursts::default().figures(), BurstFigures::default());
}

#[test]
fn the_longest_run_counts_what_did_not_come() {
    assert_eq!(analyse(C).figures().lost_run_max, 5);
    assert_eq!(analyse(B).figures().lost_run_max, 2);
    assert_eq!(analyse("20R LDLL 20R").figures().lost_run_max, 2);
}

#[test]
fn burst_ratio_from_runs() {
    for (pattern, want) in [(C, 4.75), (B, 1.233), (D, 0.98), (A, 0.993)] {
        let got = analyse(pattern).figures().burst_ratio.expect("losses");
        assert!((got - want).abs() < 1e-3, "{pattern}: {got} is not {want}");
    }
    assert_eq!(analyse("50R").figures().burst_ratio, None);
}

#[test]
fn burst_ratio_of_gilbert_loss() {
    for (p, q, loss, want) in [
        (0.01, 0.99, 0.01, 1.0),
        (0.01, 0.5, 0.019_61, 1.961),
        (0.02, 0.25, 0.074_07, 3.704),
    ] {
        let seed = 11;
        let mut random = Random::new(seed);
        let mut bursts = Bursts::default();
        let (mut bad, mut lost) = (false, 0);
        for _ in 0..1_000_000 {
            let turn = random.unit();
            bad = if bad { turn >= q } else { turn < p };
            lost += u32::from(bad);
            bursts.push(if bad { Fate::Lost } else { Fate::Good });
        }
        let got = bursts.figures().burst_ratio.expect("losses");
        assert!(
            (got / want - 1.0).abs() < 0.02,
            "seed {seed}: {got} is not {want}"
        );
        assert!(
            (f64::from(lost) / 1e6 / loss - 1.0).abs() < 0.03,
            "seed {seed}: {lost}"
        );
    }
}

#[test]
fn every_bad_packet_is_in_a_burst_or_a_gap() {
    for seed in 0..300_u64 {
        let mut random = Random::new(seed);
        let loss = random.unit() * 0.3;
        let all: Vec<Fate> = (0..500)
            .map(|_| {
                if random.unit() < loss {
                    Fate::Lost
                } else {
                    Fate::Good
                }
            })
            .collect();
        let mut bursts = Bursts::default();
        all.iter().for_each(|fate| bursts.push(*fate));
        let got = bursts.figures();
        let (count, packets, bad) = slowly(&all);
        assert_eq!(got.bursts, count, "seed {seed}");
        assert_eq!(got.burst_density, ratio(bad, packets), "seed {seed}");
        let all_bad = all.iter().filter(|fate| **fate != Fate::Good).count() as u64;
        assert_eq!(
            got.gap_density,
            ratio(all_bad - bad, 500 - packets),
            "seed {seed}"
        );
    }
}

/// The definition read aloud: bad packets less than Gmin good ones apart belong together.
fn slowly(all: &[Fate]) -> (u32, u64, u64) {
    let bad: Vec<usize> = (0..all.len()).filter(|at| all[*at] != Fate::Good).collect();
    let (mut bursts, mut packets, mut inside) = (0, 0, 0);
    for cluster in bad.chunk_by(|a, b| b - a <= GMIN as usize) {
        if cluster.len() > 1 {
            bursts += 1;
            packets += (cluster[cluster.len() - 1] - cluster[0] + 1) as u64;
            inside += cluster.len() as u64;
        }
    }
    (bursts, packets, inside)
}
