//! Seeds of a bus that loses, doubles, delays and reorders, between a node and a coordinator of a few
//! rules: whatever it does, a run starts at most once and never after its stop, its items are taken
//! in order without a hole, and in the end nothing is held.

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Messages on their way, by when they come.
struct Net<T> {
    under_way: Vec<(u64, T)>,
}

impl<T: Clone> Net<T> {
    fn send(&mut self, random: &mut Random, now_us: u64, message: &T) {
        for chance in [80, 10] {
            if random.chance(chance) {
                let slow = if random.chance(5) {
                    12 * SECOND
                } else {
                    SECOND / 5
                };
                let at = now_us + random.below(slow);
                self.under_way.push((at, message.clone()));
            }
        }
    }

    fn due(&mut self, now_us: u64) -> Vec<T> {
        self.under_way.sort_by_key(|(at, _)| *at);
        let count = self.under_way.partition_point(|(at, _)| *at <= now_us);
        self.under_way
            .drain(..count)
            .map(|(_, message)| message)
            .collect()
    }
}

const RUN: u64 = 9;
const FRAMES: u32 = 30;

/// The coordinator: wants one run for a while, stores items in order.
struct Coordinator {
    sequence: u64,
    wanted: Option<DesiredState>,
    order: u64,
    taken: Vec<Item>,
    over: Option<EndCause>,
    renewal: Option<(u64, u64)>,
}

impl Coordinator {
    fn order(&self, state: DesiredState) -> Order {
        order(RUN, self.order, state, self.taken.len() as u64)
    }

    fn want(&mut self, state: DesiredState) {
        self.wanted = Some(state);
        self.order += 1;
    }

    fn hear(&mut self, now_us: u64, message: &Message<Upward>) -> Vec<Downward> {
        match &message.body {
            Upward::Renew(renew) => {
                if self
                    .renewal
                    .is_none_or(|(sent, _)| sent < renew.sent_boot_us)
                {
                    self.renewal = Some((renew.sent_boot_us, now_us));
                }
                let held = renew.runs.iter().find(|held| held.run == RunId(RUN));
                let mut answers = vec![Downward::Lease(Box::new(Lease {
                    renewal_boot_us: renew.sent_boot_us,
                    renewal_unix_us: renew.sent_unix_us,
                    received_unix_us: renew.sent_unix_us,
                    sent_unix_us: renew.sent_unix_us,
                    verdict: LeaseVerdict::Granted,
                    orders: self
                        .wanted
                        .map(|state| self.order(state))
                        .into_iter()
                        .collect(),
                    drain: false,
                }))];
                if held.is_none() && self.wanted == Some(DesiredState::Prepared) {
                    answers.push(Downward::Prepare(Box::new(desired(RUN))));
                }
                if held.is_some_and(|held| held.state == HeldState::Prepared)
                    && self.wanted == Some(DesiredState::Prepared)
                {
                    self.want(DesiredState::Running);
                }
                answers
            }
            Upward::Prepared { .. } => vec![],
            Upward::Item(item) => {
                if item.sequence != self.taken.len() as u64 {
                    return vec![];
                }
                self.taken.push((**item).clone());
                self.over = self.over.or(ended(item));
                self.wanted
                    .map(|state| Downward::Order(self.order(state)))
                    .into_iter()
                    .collect()
            }
        }
    }
}

fn one_seed(seed: u64) -> u32 {
    let mut random = Random(seed);
    let mut bench = Bench::new();
    let mut coordinator = Coordinator {
        sequence: 0,
        wanted: None,
        order: 0,
        taken: vec![],
        over: None,
        renewal: None,
    };
    let (mut up, mut down) = (Net { under_way: vec![] }, Net { under_way: vec![] });
    coordinator.want(DesiredState::Prepared);
    let (mut starts, mut stops, mut frames, mut alive) = (0, 0, 0, false);
    let stop_at = bench.now_us + 20 * SECOND + random.below(20 * SECOND);
    for _ in 0..2_000 {
        bench.now_us += SECOND / 10;
        bench.input(Input::Tick);
        if bench.now_us > stop_at && matches!(coordinator.wanted, Some(DesiredState::Running)) {
            coordinator.want(DesiredState::Stopped);
        }
        if alive && frames < FRAMES && random.chance(30) {
            bench.event(RUN, RunEvent::Item(frame(RUN, frames)));
            frames += 1;
        }
        while let Some(output) = bench.out.pop_front() {
            match output {
                Output::Send(message) => up.send(&mut random, bench.now_us, &message),
                Output::Prepare(_) => bench.event(RUN, RunEvent::Prepared(vec![])),
                Output::Start { generation, .. } => {
                    assert!(bench.guard.permits(generation, bench.now_us), "seed {seed}");
                    assert_eq!((starts, stops), (0, 0), "seed {seed}");
                    starts += 1;
                    alive = true;
                }
                Output::Stop { .. } => {
                    stops += 1;
                    alive = false;
                    bench.event(RUN, RunEvent::Over);
                }
                _ => {}
            }
        }
        for message in up.due(bench.now_us) {
            for body in coordinator.hear(bench.now_us, &message) {
                coordinator.sequence += 1;
                let (sent, came) = coordinator.renewal.unwrap_or_default();
                let head = Head {
                    cluster: CLUSTER,
                    epoch: 3,
                    life: LIFE,
                    sequence: coordinator.sequence,
                    expires_boot_us: sent + (bench.now_us - came) + 10 * SECOND,
                };
                down.send(&mut random, bench.now_us, &Message { head, body });
            }
        }
        if coordinator.over.is_some() {
            coordinator.wanted = None;
        }
        for message in down.due(bench.now_us) {
            bench.input(Input::Message(Box::new(message)));
        }
    }
    assert!(coordinator.over.is_some(), "seed {seed}: the run ends");
    assert_eq!(bench.core.held(), [], "seed {seed}: and is forgotten");
    let kept: Vec<u32> = coordinator
        .taken
        .iter()
        .filter_map(|item| match &item.report {
            Report::Frame(frame) => Some(frame.second),
            _ => None,
        })
        .collect();
    assert_eq!(kept, (0..frames).collect::<Vec<_>>(), "seed {seed}");
    starts
}

#[test]
fn over_a_bad_bus_a_run_starts_once_ends_once_and_loses_nothing() {
    let starts: u32 = (0..60).map(one_seed).sum();
    assert!(starts > 50, "most of them ran at all: {starts}");
}
