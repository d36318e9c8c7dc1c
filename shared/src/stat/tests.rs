//! Laws of the histograms and sketches, with seeds.

use crate::metric::{Better, Unit};
use crate::wire::{decode, encode};

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Over all octaves.
    fn value(&mut self) -> u64 {
        let shift = self.next() % 64;
        self.next() >> shift
    }

    fn values(&mut self) -> Vec<u64> {
        let count = self.next() % 200;
        (0..count).map(|_| self.value()).collect()
    }
}

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

fn merged(parts: &[&Histogram]) -> Histogram {
    let mut sum = Histogram::new();
    for part in parts {
        sum.merge(part);
    }
    sum
}

#[test]
fn a_merge_is_what_recording_in_one_place_gives_in_any_order() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let (a, b, c) = (random.values(), random.values(), random.values());
        let whole = of(&[a.clone(), b.clone(), c.clone()].concat());
        let (a, b, c) = (of(&a), of(&b), of(&c));
        assert_eq!(merged(&[&a, &b, &c]), whole, "seed {seed}");
        assert_eq!(merged(&[&c, &a, &b]), whole, "seed {seed}: commutative");
        let right = merged(&[&b, &c]);
        assert_eq!(merged(&[&a, &right]), whole, "seed {seed}: associative");
        assert_eq!(merged(&[&a, &Histogram::new()]), a, "seed {seed}: neutral");
    }
}

#[test]
fn quantiles_are_the_sorted_samples_within_the_precision() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut values = random.values();
        let histogram = of(&values);
        values.sort_unstable();
        assert_eq!(histogram.count(), values.len() as u64);
        assert_eq!(histogram.min(), values.first().copied());
        assert_eq!(histogram.max(), values.last().copied());
        for q in [0.0, 0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let Some(got) = histogram.quantile(q) else {
                assert!(values.is_empty(), "seed {seed}");
                continue;
            };
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let want = values[rank - 1];
            let error = got.abs_diff(want) as f64;
            assert!(
                error <= want as f64 / 2f64.powi(11) + 0.5,
                "seed {seed} q {q}: {got} for {want}"
            );
        }
    }
}

#[test]
fn small_values_are_exact_and_means_too() {
    let histogram = of(&(0..2_048).collect::<Vec<u64>>());
    for value in 1..=2_048u64 {
        assert_eq!(histogram.quantile(value as f64 / 2_048.0), Some(value - 1));
    }
    assert_eq!(histogram.mean(), Some(1_023.5));
    assert_eq!(Histogram::new().mean(), None);
    assert_eq!(Histogram::new().quantile(0.5), None);
}

#[test]
fn the_ends_of_the_range_fit() {
    for precision in [MIN_PRECISION, DEFAULT_PRECISION, MAX_PRECISION] {
        let mut histogram = Histogram::with_precision(precision);
        histogram.record(0);
        histogram.record(u64::MAX);
        histogram.record_n(u64::MAX, u64::MAX);
        histogram.record_n(5, 0);
        assert_eq!(histogram.count(), u64::MAX);
        assert_eq!(histogram.quantile(0.0), Some(0));
        assert_eq!(histogram.quantile(1.0), Some(u64::MAX));
        assert_eq!(histogram.quantile(f64::NAN), Some(0));
        let octets = encode(&histogram).unwrap();
        assert_eq!(decode::<Histogram>(&octets), Ok(histogram));
    }
}

#[test]
fn different_precisions_still_merge_to_the_right_counts() {
    let mut coarse = Histogram::with_precision(MIN_PRECISION);
    coarse.record_n(1_000_000, 7);
    let mut fine = of(&[3, 4]);
    fine.merge(&coarse);
    assert_eq!((fine.count(), fine.max()), (9, Some(1_000_000)));
}

#[test]
fn they_travel_small_and_come_back_equal() {
    for seed in 0..200 {
        let histogram = of(&Random(seed).values());
        let octets = encode(&histogram).unwrap();
        assert_eq!(decode::<Histogram>(&octets), Ok(histogram), "seed {seed}");
    }
    assert!(encode(&Histogram::new()).unwrap().len() < 20);
    // A second of 50,000 packets sent 20 to 520 µs late.
    let mut random = Random(1);
    let late: Vec<u64> = (0..50_000).map(|_| 20 + random.next() % 500).collect();
    let size = encode(&of(&late)).unwrap().len();
    assert!(size < 2_000, "{size}");
}

#[test]
fn octets_that_are_no_histogram_are_refused() {
    type Shape = (u8, u128, u64, u64, Vec<(u32, u64)>);
    let shapes: [Shape; 4] = [
        (3, 0, 0, 0, Vec::new()),
        (15, 0, 0, 0, Vec::new()),
        (10, 1, 1, 1, vec![(u32::MAX, 1)]),
        (10, 1, 1, 1, vec![(1, 0)]),
    ];
    for shape in shapes {
        let octets = encode(&shape).unwrap();
        assert!(decode::<Histogram>(&octets).is_err(), "{shape:?}");
    }
}

#[test]
fn forgetting_leaves_an_empty_one() {
    let mut histogram = of(&[1, 2, 3]);
    histogram.clear();
    assert_eq!(histogram, Histogram::new());
    assert!(histogram.is_empty());
}

#[test]
fn sketches_keep_the_resolution_that_their_unit_promises() {
    for (unit, least, most, absolute, relative) in [
        (Unit::Mos, 1.0, 5.0, 0.000_51, 0.0),
        (Unit::Milliseconds, 0.0, 10_000.0, 0.000_01, 0.001),
        (Unit::Percent, 0.0, 100.0, 0.000_51, 0.001),
        (Unit::Dbov, -127.0, 0.0, 0.000_51, 0.001),
        (Unit::Ppm, -500.0, 500.0, 0.000_51, 0.001),
        (Unit::BitsPerSecond, 0.0, 1e9, 0.51, 0.001),
    ] {
        for seed in 0..40 {
            let mut random = Random(seed);
            let mut sketch = Sketch::new(unit);
            let mut values: Vec<f64> = (0..300)
                .map(|_| {
                    let part = (random.next() % 1_000_000) as f64 / 1e6;
                    least + (most - least) * part
                })
                .collect();
            for value in &values {
                sketch.record(*value);
            }
            values.sort_by(f64::total_cmp);
            for q in [0.0f64, 0.01, 0.05, 0.25, 0.5, 0.95, 0.99, 1.0] {
                let rank = ((q * 300.0).ceil() as usize).clamp(1, 300);
                let want = values[rank - 1];
                let got = sketch.quantile(q).unwrap();
                assert!(
                    (got - want).abs() <= absolute + want.abs() * relative,
                    "{unit:?} seed {seed} q {q}: {got} for {want}"
                );
            }
            let mean = values.iter().sum::<f64>() / 300.0;
            assert!((sketch.mean().unwrap() - mean).abs() < 1e-6);
        }
    }
}

#[test]
fn sketches_merge_in_any_order_and_leave_out_what_is_no_number() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut parts = vec![Sketch::new(Unit::Ppm); 3];
        let mut whole = Sketch::new(Unit::Ppm);
        for _ in 0..200 {
            let value = (random.next() % 2_000_000) as f64 / 1e3 - 1e3;
            parts[(random.next() % 3) as usize].record(value);
            whole.record(value);
        }
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut sum = Sketch::new(Unit::Ppm);
            for part in order {
                sum.merge(&parts[part]);
            }
            assert_eq!(sum, whole, "seed {seed}");
        }
    }
    let mut sketch = Sketch::new(Unit::Mos);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        sketch.record(value);
    }
    assert!(sketch.is_empty());
    assert_eq!(sketch.distribution(Better::Higher), None);
}

#[test]
fn the_worst_value_is_on_the_bad_side() {
    let mut sketch = Sketch::new(Unit::Mos);
    for value in [1.5f32, 4.41, 3.0] {
        sketch.record(f64::from(value));
    }
    let good_high = sketch.distribution(Better::Higher).unwrap();
    let good_low = sketch.distribution(Better::Lower).unwrap();
    assert_eq!((good_high.worst, good_low.worst), (1.5, 4.41));
    assert_eq!((good_high.p50, good_high.count), (3.0, 3));
}
