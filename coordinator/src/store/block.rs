//! Endpoint-seconds by column: the rows of one frame that lie in one chunk of endpoints.
//!
//! Lossless; how a column is kept: see `column`.

use serde::{Deserialize, Serialize};
use shared::id::EndpointIndex;
use shared::metric::MetricId;
use shared::phase::Phase;
use shared::wire::{Column, Frame};

use super::column::Packed;

/// Rows of one second, endpoints ascending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    /// Distance of each endpoint from the one before it.
    steps: Vec<u32>,
    phases: Vec<Phase>,
    columns: Vec<Packed>,
    /// Of one column after the other, `steps.len()` octets each.
    planes: Vec<u8>,
}

/// Endpoints of one chunk: one range scan reads all their seconds.
pub(super) const CHUNK: u32 = 256;

/// Cuts a frame into blocks by chunk of endpoints, in ascending order of chunks.
///
/// Columns that have no value for any row of a block are left out of it.
pub(super) fn blocks(frame: &Frame) -> Vec<(u32, Block)> {
    let mut order: Vec<usize> = (0..frame.endpoints.len()).collect();
    order.sort_by_key(|row| frame.endpoints.get(*row).map(|endpoint| endpoint.0));
    let chunk_of = |row: &usize| {
        frame
            .endpoints
            .get(*row)
            .map_or(0, |endpoint| endpoint.0 / CHUNK)
    };
    order
        .chunk_by(|a, b| chunk_of(a) == chunk_of(b))
        .filter_map(|rows| {
            let chunk = chunk_of(rows.first()?);
            Some((chunk, Block::new(frame, rows)))
        })
        .collect()
}

impl Block {
    fn new(frame: &Frame, rows: &[usize]) -> Self {
        let mut before = 0;
        let mut steps = Vec::with_capacity(rows.len());
        let mut phases = Vec::with_capacity(rows.len());
        for row in rows {
            let endpoint = frame.endpoints.get(*row).map_or(0, |endpoint| endpoint.0);
            steps.push(endpoint - before);
            before = endpoint;
            phases.push(frame.phases.get(*row).copied().unwrap_or(Phase::Closed));
        }
        let mut planes = Vec::new();
        let columns = frame.columns.iter().filter_map(|column| {
            let value = |row: &usize| column.values.get(*row).copied().unwrap_or(f32::NAN);
            let values: Vec<f32> = rows.iter().map(value).collect();
            Packed::pack(column.metric, &values, &mut planes)
        });
        let columns = columns.collect();
        Self {
            steps,
            phases,
            columns,
            planes,
        }
    }

    /// The endpoints, their phases and their columns; none where the planes do not fit.
    pub(super) fn read(&self) -> Option<(Vec<EndpointIndex>, &[Phase], Vec<Column>)> {
        let rows = self.steps.len();
        if self.phases.len() != rows || !self.fits() {
            return None;
        }
        let mut number = 0u32;
        let endpoints = self
            .steps
            .iter()
            .map(|step| {
                number = number.saturating_add(*step);
                EndpointIndex(number)
            })
            .collect();
        let columns = self.planes().map(|(packed, planes)| Column {
            metric: packed.metric,
            values: (0..rows)
                .map(|row| packed.value(planes, rows, row))
                .collect(),
        });
        let columns = columns.collect();
        Some((endpoints, &self.phases, columns))
    }

    /// One endpoint's phase and values; none where it has no row here, or the planes do not fit.
    pub(super) fn row(&self, endpoint: EndpointIndex) -> Option<(Phase, Vec<(MetricId, f32)>)> {
        if !self.fits() {
            return None;
        }
        let mut number = 0u32;
        let row = self.steps.iter().position(|step| {
            number = number.saturating_add(*step);
            number == endpoint.0
        })?;
        let values = self.planes().map(|(packed, planes)| {
            let value = packed.value(planes, self.steps.len(), row);
            (packed.metric, value)
        });
        let values = values.filter(|(_, value)| value.is_finite()).collect();
        Some((*self.phases.get(row)?, values))
    }

    /// Every endpoint here with its phase.
    pub(super) fn phases(&self) -> impl Iterator<Item = (EndpointIndex, Phase)> {
        let numbers = self.steps.iter().scan(0u32, |number, step| {
            *number = number.saturating_add(*step);
            Some(EndpointIndex(*number))
        });
        numbers.zip(self.phases.iter().copied())
    }

    /// The planes are as long as the columns say.
    fn fits(&self) -> bool {
        let widths = self.columns.iter().map(Packed::width);
        widths.sum::<usize>() * self.steps.len() == self.planes.len()
    }

    /// Each column with its planes.
    fn planes(&self) -> impl Iterator<Item = (&Packed, &[u8])> {
        let mut from = 0;
        self.columns.iter().map(move |packed| {
            let to = from + packed.width() * self.steps.len();
            let planes = self.planes.get(from..to).unwrap_or_default();
            from = to;
            (packed, planes)
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::metric;

    use super::*;
    use crate::testing::{self, Random};

    #[test]
    fn a_frame_comes_back_bit_by_bit() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let endpoints: Vec<EndpointIndex> = (0..1_000)
                .filter(|_| random.below(3) > 0)
                .map(EndpointIndex)
                .collect();
            let mut frame = testing::frame(0, 7);
            frame.phases = vec![Phase::Incall; endpoints.len()];
            frame.columns = [metric::MOS, metric::RX_PACKETS, metric::RTT]
                .into_iter()
                .map(|metric| Column {
                    metric,
                    values: endpoints
                        .iter()
                        .map(|_| match random.below(4) {
                            0 => f32::NAN,
                            _ => f32::from_bits(random.below(u32::MAX)),
                        })
                        .collect(),
                })
                .collect();
            frame.endpoints = endpoints;
            let mut back: Vec<(EndpointIndex, Vec<u32>)> = Vec::new();
            for (chunk, block) in blocks(&frame) {
                let (endpoints, phases, columns) = block.read().unwrap();
                assert!(phases.iter().all(|phase| *phase == Phase::Incall));
                assert!(
                    block
                        .phases()
                        .map(|(endpoint, _)| endpoint)
                        .eq(endpoints.clone())
                );
                for (row, endpoint) in endpoints.iter().enumerate() {
                    assert_eq!(endpoint.0 / CHUNK, chunk);
                    let present = columns.iter().filter(|c| c.values[row].is_finite());
                    let present: Vec<_> = present.map(|c| (c.metric, c.values[row])).collect();
                    assert_eq!(block.row(*endpoint), Some((Phase::Incall, present)));
                    let bits = columns.iter().map(|c| c.values[row].to_bits()).collect();
                    back.push((*endpoint, bits));
                }
            }
            let want: Vec<(EndpointIndex, Vec<u32>)> = frame
                .endpoints
                .iter()
                .enumerate()
                .map(|(row, endpoint)| {
                    let bits = frame.columns.iter().map(|c| c.values[row].to_bits());
                    (*endpoint, bits.collect())
                })
                .collect();
            assert_eq!(back, want, "seed {seed}");
        }
    }

    #[test]
    fn columns_without_a_value_take_no_room() {
        let mut frame = testing::frame(0, 7);
        frame.endpoints = vec![EndpointIndex(1)];
        frame.phases = vec![Phase::Incall];
        frame.columns = vec![Column {
            metric: metric::MOS,
            values: vec![f32::NAN],
        }];
        let (_, block) = blocks(&frame).remove(0);
        assert!(block.columns.is_empty() && block.planes.is_empty());
    }
}
