//! Seconds that close, wait and are given up.

use super::*;
use shared::metric;

fn meter(sources: usize) -> Meter {
    Meter::new(RunId(1), NodeId("n".into()), 1, sources, 2_500)
}

fn second(second: u32, samples: Vec<(u32, MetricId, f32)>) -> SourceSecond {
    SourceSecond {
        second,
        phases: samples
            .iter()
            .map(|(e, _, _)| (EndpointIndex(*e), Phase::Incall))
            .collect(),
        samples: samples
            .into_iter()
            .map(|(e, m, v)| (EndpointIndex(e), m, v))
            .collect(),
        ..SourceSecond::default()
    }
}

#[test]
fn a_second_closes_when_every_source_has_spoken() {
    let mut meter = meter(2);
    meter.add(second(0, vec![(0, metric::TX_PACKETS, 50.0)]));
    meter.advance(Duration::from_millis(1_100));
    assert!(meter.poll().is_none());
    meter.add(second(
        0,
        vec![(0, metric::TX_PACKETS, 1.0), (1, metric::MOS, 4.4)],
    ));
    meter.advance(Duration::from_millis(1_100));
    let frame = meter.poll().expect("closed");
    assert_eq!(
        (frame.second, frame.sequence, frame.last_of_second),
        (0, 0, true)
    );
    assert_eq!(frame.endpoints, [EndpointIndex(0), EndpointIndex(1)]);
    let column = |id: MetricId| {
        &frame
            .columns
            .iter()
            .find(|column| column.metric == id)
            .expect("column")
            .values
    };
    assert_eq!(column(metric::TX_PACKETS)[0], 51.0);
    assert!(
        column(metric::TX_PACKETS)[1].is_nan(),
        "no data is absent, not 0"
    );
    assert!(column(metric::MOS)[0].is_nan());
}

#[test]
fn a_silent_source_is_not_waited_for_and_its_late_counts_are_kept() {
    let mut meter = meter(2);
    meter.add(second(0, vec![(0, metric::TX_PACKETS, 50.0)]));
    meter.advance(Duration::from_secs(1) + PATIENCE);
    assert_eq!(meter.poll().expect("closed").second, 0);
    meter.add(second(
        0,
        vec![(0, metric::RX_PACKETS, 49.0), (0, metric::MOS, 1.0)],
    ));
    meter.add(second(1, vec![(0, metric::RX_PACKETS, 50.0)]));
    meter.add(second(1, vec![]));
    meter.advance(Duration::from_secs(2));
    let frame = meter.poll().expect("closed");
    let packets = frame
        .columns
        .iter()
        .find(|c| c.metric == metric::RX_PACKETS)
        .expect("rx");
    assert_eq!(packets.values, [99.0]);
    assert!(
        frame
            .columns
            .iter()
            .all(|column| column.metric != metric::MOS)
    );
    assert_eq!(frame.generator.expect("last").refused, 1);
}

#[test]
fn a_source_that_is_over_is_not_waited_for() {
    let mut meter = meter(2);
    meter.add(second(0, vec![(0, metric::TX_PACKETS, 50.0)]));
    meter.source_over(0);
    meter.advance(Duration::from_millis(1_010));
    assert!(meter.poll().is_none(), "the other one is still awaited");
    meter.add(second(0, vec![]));
    meter.add(second(1, vec![]));
    meter.advance(Duration::from_millis(2_010));
    let seconds: Vec<u32> = std::iter::from_fn(|| meter.poll())
        .map(|frame| frame.second)
        .collect();
    assert_eq!(seconds, [0, 1]);
}

#[test]
fn many_endpoints_become_several_frames_with_one_end() {
    let mut meter = meter(1);
    meter.add(second(
        0,
        (0..2_500).map(|e| (e, metric::MOS, 4.0)).collect(),
    ));
    meter.finish();
    let frames: Vec<_> = std::iter::from_fn(|| meter.poll()).collect();
    assert_eq!(
        frames.iter().map(|f| f.endpoints.len()).collect::<Vec<_>>(),
        [1000, 1000, 500]
    );
    assert_eq!(
        frames.iter().filter(|frame| frame.last_of_second).count(),
        1
    );
    assert_eq!(
        frames.iter().map(|f| f.sequence).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}
