//! The meter: gathers what shards and media threads measured in one second of one run and closes it
//! as columnar frames, numbered without a hole. Never waits for ever: a source that is late by more
//! than [`PATIENCE`] has its values put into the next open second only where they are sums, and is
//! counted otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::id::{EndpointIndex, NodeId, RunId};
use shared::metric::{CATALOGUE, Kind, MetricId};
use shared::phase::Phase;
use shared::stat::Histogram;
use shared::wire::{Column, FRAME_ROWS_MAX, Frame, GeneratorSecond};

/// What one source (a signalling shard or a media thread) says about one second.
#[derive(Debug, Default)]
pub struct SourceSecond {
    /// Whole seconds since the run's begin.
    pub second: u32,
    /// The phase of each endpoint of this source at the end of the second; media threads give none.
    pub phases: Vec<(EndpointIndex, Phase)>,
    /// Values; several counters of one cell are summed, of several events the largest stays.
    pub samples: Vec<(EndpointIndex, MetricId, f32)>,
    /// RTP send lateness, microseconds.
    pub send_late_us: Histogram,
    /// Timer lateness, microseconds.
    pub timer_late_us: Histogram,
    /// Datagrams dropped by our sockets.
    pub socket_drops: u64,
    /// Packets skipped.
    pub skipped_packets: u64,
    /// Refused by full queues.
    pub refused: u64,
    /// Datagrams at shared RTP sockets that belong to no stream.
    pub strangers: u64,
    /// Endpoints that panicked.
    pub panics: u64,
}

/// The process' own figures of one second, read by the shell.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessSecond {
    /// Cores busy.
    pub cpu_cores: f32,
    /// Resident memory in octets.
    pub resident_bytes: u64,
}

/// A source that has said nothing this long after a second's end is not waited for. Its gauges of
/// that second are lost then, so this is long: only a thread without a processor is so late.
pub const PATIENCE: Duration = Duration::from_millis(4_000);

struct OpenSecond {
    /// Row of each endpoint, by its offset from `first_endpoint`; `NO_ROW` where none.
    rows: Vec<u32>,
    endpoints: Vec<EndpointIndex>,
    phases: Vec<Phase>,
    columns: Vec<Option<Vec<f32>>>,
    heard: usize,
    generator: GeneratorSecond,
}

const NO_ROW: u32 = u32::MAX;

/// Closes the seconds of one run on one node.
pub struct Meter {
    run: RunId,
    node: NodeId,
    epoch: u64,
    sources: usize,
    /// The last second of each source that is over.
    over: Vec<u32>,
    endpoint_count: usize,
    last_phase: Vec<Phase>,
    open: BTreeMap<u32, OpenSecond>,
    next_second: u32,
    sequence: u64,
    process: ProcessSecond,
    late_samples: u64,
    ready: VecDeque<Frame>,
}

impl Meter {
    /// A meter that expects `sources` reports for each second and endpoints below `endpoint_count`.
    #[must_use]
    pub fn new(run: RunId, node: NodeId, epoch: u64, sources: usize, endpoint_count: u32) -> Self {
        Self {
            run,
            node,
            epoch,
            sources,
            over: Vec::new(),
            endpoint_count: endpoint_count as usize,
            last_phase: vec![Phase::Initializing; endpoint_count as usize],
            open: BTreeMap::new(),
            next_second: 0,
            sequence: 0,
            process: ProcessSecond::default(),
            late_samples: 0,
            ready: VecDeque::new(),
        }
    }

    /// A source has ended: seconds after its last one do not wait for it.
    pub fn source_over(&mut self, last_second: u32) {
        if self.over.len() < self.sources {
            self.over.push(last_second);
        }
    }

    /// Takes the newest figures of the process; they go into the next second that closes.
    pub fn process(&mut self, figures: ProcessSecond) {
        self.process = figures;
    }

    /// Takes one source's second. A second that is closed already is folded into the oldest open one.
    pub fn add(&mut self, source: SourceSecond) {
        self.fold(source, 1);
    }

    /// Takes values that belong to a second beside its sources' own reports: the end of a stream.
    pub fn add_part(&mut self, part: SourceSecond) {
        self.fold(part, 0);
    }

    fn fold(&mut self, source: SourceSecond, heard: usize) {
        let on_time = source.second >= self.next_second;
        let second = source.second.max(self.next_second);
        let endpoint_count = self.endpoint_count;
        let open = self
            .open
            .entry(second)
            .or_insert_with(|| OpenSecond::new(endpoint_count));
        open.heard += heard * usize::from(on_time);
        if on_time {
            for (endpoint, phase) in source.phases {
                open.set_phase(endpoint, phase);
                if let Some(last) = self.last_phase.get_mut(endpoint.index()) {
                    *last = phase;
                }
            }
        }
        for (endpoint, metric, value) in source.samples {
            let keeps = on_time || CATALOGUE[usize::from(metric.0)].kind != Kind::Gauge;
            if keeps {
                let phase = self.last_phase.get(endpoint.index()).copied();
                open.add(
                    endpoint,
                    phase.unwrap_or(Phase::Initializing),
                    metric,
                    value,
                );
            } else {
                self.late_samples += 1;
            }
        }
        let generator = &mut open.generator;
        generator.send_late_us.merge(&source.send_late_us);
        generator.timer_late_us.merge(&source.timer_late_us);
        generator.socket_drops += source.socket_drops;
        generator.skipped_packets += source.skipped_packets;
        generator.refused += source.refused;
        generator.strangers += source.strangers;
        generator.panics += source.panics;
    }

    /// Closes every second that is complete, or whose end lies more than [`PATIENCE`] in the past.
    /// `elapsed` counts from the run's begin.
    pub fn advance(&mut self, elapsed: Duration) {
        loop {
            let end = Duration::from_secs(u64::from(self.next_second) + 1);
            let overdue = elapsed >= end + PATIENCE;
            let over = self.over.iter().filter(|last| **last < self.next_second);
            let awaited = self.sources - over.count();
            let complete = self
                .open
                .get(&self.next_second)
                .is_some_and(|open| open.heard >= awaited);
            if !(overdue || complete) {
                return;
            }
            self.close();
        }
    }

    /// Closes everything that was heard, complete or not: the run has ended here.
    pub fn finish(&mut self) {
        while self
            .open
            .keys()
            .next_back()
            .is_some_and(|last| *last >= self.next_second)
        {
            self.close();
        }
    }

    /// The next closed frame.
    pub fn poll(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    fn close(&mut self) {
        let endpoint_count = self.endpoint_count;
        let mut open = self
            .open
            .remove(&self.next_second)
            .unwrap_or_else(|| OpenSecond::new(endpoint_count));
        open.generator.cpu_cores = self.process.cpu_cores;
        open.generator.resident_bytes = self.process.resident_bytes;
        open.generator.refused += std::mem::take(&mut self.late_samples);
        let total = open.endpoints.len();
        let mut from = 0;
        loop {
            let to = (from + FRAME_ROWS_MAX).min(total);
            let last = to == total;
            let columns = open
                .columns
                .iter()
                .enumerate()
                .filter_map(|(metric, column)| {
                    let values = column.as_ref()?.get(from..to)?;
                    let metric = MetricId(u16::try_from(metric).ok()?);
                    let any = values.iter().any(|value| !value.is_nan());
                    let unit = metric.metric().unit;
                    any.then(|| Column {
                        metric,
                        values: values.iter().map(|value| unit.round(*value)).collect(),
                    })
                })
                .collect();
            self.ready.push_back(Frame {
                run: self.run,
                node: self.node.clone(),
                epoch: self.epoch,
                sequence: self.sequence,
                second: self.next_second,
                last_of_second: last,
                endpoints: open.endpoints.get(from..to).unwrap_or_default().to_vec(),
                phases: open.phases.get(from..to).unwrap_or_default().to_vec(),
                columns,
                generator: last.then(|| open.generator.clone()),
            });
            self.sequence += 1;
            from = to;
            if last {
                break;
            }
        }
        self.next_second += 1;
    }
}

impl OpenSecond {
    fn new(endpoint_count: usize) -> Self {
        Self {
            rows: vec![NO_ROW; endpoint_count],
            endpoints: Vec::new(),
            phases: Vec::new(),
            columns: vec![None; CATALOGUE.len()],
            heard: 0,
            generator: GeneratorSecond {
                send_late_us: Histogram::default(),
                timer_late_us: Histogram::default(),
                cpu_cores: 0.0,
                socket_drops: 0,
                skipped_packets: 0,
                refused: 0,
                strangers: 0,
                panics: 0,
                resident_bytes: 0,
            },
        }
    }

    fn row(&mut self, endpoint: EndpointIndex, phase: Phase) -> Option<usize> {
        let slot = self.rows.get_mut(endpoint.index())?;
        if *slot == NO_ROW {
            *slot = u32::try_from(self.endpoints.len()).ok()?;
            self.endpoints.push(endpoint);
            self.phases.push(phase);
            for column in self.columns.iter_mut().flatten() {
                column.push(f32::NAN);
            }
        }
        Some(*slot as usize)
    }

    fn set_phase(&mut self, endpoint: EndpointIndex, phase: Phase) {
        if let Some(row) = self.row(endpoint, phase)
            && let Some(cell) = self.phases.get_mut(row)
        {
            *cell = phase;
        }
    }

    fn add(&mut self, endpoint: EndpointIndex, phase: Phase, metric: MetricId, value: f32) {
        let Some(row) = self.row(endpoint, phase) else {
            return;
        };
        let rows = self.endpoints.len();
        let Some(column) = self.columns.get_mut(usize::from(metric.0)) else {
            return;
        };
        let column = column.get_or_insert_with(|| vec![f32::NAN; rows]);
        let Some(cell) = column.get_mut(row) else {
            return;
        };
        *cell = match CATALOGUE[usize::from(metric.0)].kind {
            Kind::Counter if !cell.is_nan() => *cell + value,
            Kind::Event if !cell.is_nan() => cell.max(value),
            Kind::Gauge | Kind::Counter | Kind::Event => value,
        };
    }
}

#[cfg(test)]
mod tests;
