//! One metric's values in a block, as planes of octets that zstd shrinks well.
//!
//! What an endpoint measured lies on the steps of its metric's unit ([`Unit::steps`]), so a column
//! is a least value and small whole numbers above it: all their first octets, then all their second
//! ones. A column off the steps is kept as its floats. Either way it comes back bit by bit.

use serde::{Deserialize, Serialize};
use shared::metric::{CATALOGUE, MetricId, Unit};

/// What a column's planes mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Packed {
    pub(super) metric: MetricId,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Form {
    /// Four planes: the floats.
    Floats,
    /// Values `least + n × every`, in steps of the unit; n big-endian in `width` planes.
    Steps {
        least: i64,
        every: u64,
        width: u8,
        /// n = 0 is no value, and 1 is the least.
        holes: bool,
    },
}

impl Packed {
    /// Appends the planes of a column; none, and nothing appended, where no row has a value.
    pub(super) fn pack(metric: MetricId, values: &[f32], planes: &mut Vec<u8>) -> Option<Self> {
        if values.iter().all(|value| value.is_nan()) {
            return None;
        }
        let unit = unit(metric);
        let form = match unit.and_then(|unit| steps(unit, values)) {
            Some(steps) => pack_steps(&steps, planes),
            None => {
                put(planes, 4, values.iter().map(|value| value.to_bits().into()));
                Form::Floats
            }
        };
        Some(Self { metric, form })
    }

    /// Octets of a row: its planes.
    pub(super) fn width(&self) -> usize {
        match self.form {
            Form::Floats => 4,
            Form::Steps { width, .. } => usize::from(width),
        }
    }

    /// The value of a row; NaN where it has none.
    ///
    /// `planes`: this column's, `rows` octets each.
    pub(super) fn value(&self, planes: &[u8], rows: usize, row: usize) -> f32 {
        let octets = planes.iter().skip(row).step_by(rows.max(1));
        let number = octets.fold(0u64, |number, octet| number << 8 | u64::from(*octet));
        match self.form {
            Form::Floats => f32::from_bits(u32::try_from(number).unwrap_or(u32::MAX)),
            Form::Steps { holes: true, .. } if number == 0 => f32::NAN,
            Form::Steps {
                least,
                every,
                holes,
                ..
            } => {
                let number = number - u64::from(holes);
                let steps = least.wrapping_add_unsigned(number.wrapping_mul(every));
                unit(self.metric).map_or(f32::NAN, |unit| unit.value(steps as f64))
            }
        }
    }
}

fn unit(metric: MetricId) -> Option<Unit> {
    CATALOGUE
        .get(usize::from(metric.0))
        .map(|metric| metric.unit)
}

/// Each value in steps; none where one of them would not come back bit by bit.
fn steps(unit: Unit, values: &[f32]) -> Option<Vec<Option<i64>>> {
    let step = |value: &f32| {
        if value.to_bits() == f32::NAN.to_bits() {
            return Some(None);
        }
        let steps = (f64::from(*value) * unit.steps()).round();
        // NaNs of other bits and infinities fail the first comparison.
        let back = steps.abs() < STEPS_END && unit.value(steps).to_bits() == value.to_bits();
        back.then_some(Some(steps as i64))
    };
    values.iter().map(step).collect()
}

fn pack_steps(steps: &[Option<i64>], planes: &mut Vec<u8>) -> Form {
    let least = steps.iter().flatten().min().copied().unwrap_or(0);
    let holes = steps.contains(&None);
    let above = |step: &i64| step.abs_diff(least);
    let every = steps.iter().flatten().map(above).fold(0, common).max(1);
    let number = |step: &Option<i64>| {
        let number = step.as_ref().map(|step| above(step) / every);
        number.map_or(0, |number| number + u64::from(holes))
    };
    let most = steps.iter().map(number).max().unwrap_or(0);
    let width = 8 - most.leading_zeros() as usize / 8;
    put(planes, width, steps.iter().map(number));
    Form::Steps {
        least,
        every,
        width: width as u8,
        holes,
    }
}

/// The greatest common divisor; 0 divides by everything.
fn common(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The last `width` octets of each number, one plane after the other.
fn put(planes: &mut Vec<u8>, width: usize, numbers: impl Iterator<Item = u64> + Clone) {
    for plane in (8 - width)..8 {
        planes.extend(
            numbers
                .clone()
                .map(|number| number.to_be_bytes().get(plane).copied().unwrap_or(0)),
        );
    }
}

/// Whole numbers below are exact in an f64.
const STEPS_END: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use shared::metric;

    use super::*;
    use crate::testing::Random;

    fn back(metric: MetricId, values: &[f32]) -> (Packed, Vec<u8>) {
        let mut planes = Vec::new();
        let packed = Packed::pack(metric, values, &mut planes).unwrap();
        assert_eq!(planes.len(), packed.width() * values.len());
        for (row, value) in values.iter().enumerate() {
            let got = packed.value(&planes, values.len(), row);
            assert_eq!(got.to_bits(), value.to_bits(), "{value} of {values:?}");
        }
        (packed, planes)
    }

    #[test]
    fn what_lies_on_steps_takes_the_octets_its_span_needs() {
        let same = back(metric::RX_PACKETS, &[50.0; 9]);
        assert_eq!(same.0.width(), 0, "{same:?}");
        let times = [0.031, 0.286, 0.03].map(|value| metric::JITTER.metric().unit.round(value));
        assert_eq!(back(metric::JITTER, &times).0.width(), 2);
        assert_eq!(back(metric::JITTER, times.get(..1).unwrap()).0.width(), 0);
        // Multiples of 160 octets, below and above 0.
        let octets = [-160.0, 8_000.0, 40_480.0, f32::NAN];
        let (packed, planes) = back(metric::RX_BYTES, &octets);
        assert_eq!(packed.width(), 1, "{packed:?}");
        assert_eq!(planes, [1, 52, 255, 0]);
    }

    #[test]
    fn whatever_the_bits_they_come_back() {
        for bits in [
            (-0.0f32).to_bits(),
            f32::INFINITY.to_bits(),
            f32::NAN.to_bits() | 1,
            1,
            f32::MAX.to_bits(),
        ] {
            let (packed, _) = back(metric::JITTER, &[1.0, f32::from_bits(bits), f32::NAN]);
            assert_eq!(packed.form, Form::Floats, "{bits:x}");
        }
        let unknown = MetricId(u16::MAX);
        assert_eq!(back(unknown, &[1.0, 2.0]).0.form, Form::Floats);
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let metric = MetricId(random.below(CATALOGUE.len() as u32) as u16);
            let unit = metric.metric().unit;
            let bits = 1 + random.below(31);
            let values: Vec<f32> = (0..1 + random.below(300))
                .map(|_| match random.below(5) {
                    0 => f32::NAN,
                    1 => -unit.round(random.below(1 << bits) as f32 / 7.0),
                    _ => unit.round(random.below(1 << bits) as f32 / 7.0),
                })
                .map(|value| value + 0.0)
                .collect();
            if values.iter().any(|value| !value.is_nan()) {
                let (packed, _) = back(metric, &values);
                assert_ne!(packed.form, Form::Floats, "seed {seed}: {values:?}");
            }
        }
    }

    #[test]
    fn a_column_without_a_value_is_none() {
        let mut planes = Vec::new();
        assert_eq!(Packed::pack(metric::MOS, &[f32::NAN; 3], &mut planes), None);
        assert!(planes.is_empty());
    }
}
