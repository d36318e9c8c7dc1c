use shared::wire::{LeaseVerdict, NodeCondition, Renew};

use super::*;
use crate::core::Now;
use crate::testing::{self, LIFE};

const SECOND: Duration = Duration::from_secs(1);

/// A cluster with a clock that only the test moves.
struct Scene {
    cluster: Cluster,
    begin: Instant,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let begin = Instant::now();
        Self {
            cluster: Cluster::new(begin, BTreeSet::new()),
            begin,
            now: begin,
        }
    }

    fn at(&self) -> Now {
        Now {
            instant: self.now,
            unix_ms: 1_000_000,
        }
    }

    /// A renewal whose clocks stand at the scene's, `delay` before now.
    fn renewal(&self, name: &str, delay: Duration) -> Renew {
        let sent = self.now.duration_since(self.begin) + 100 * SECOND;
        testing::renew(testing::node(name), sent.saturating_sub(delay))
    }

    fn renew(&mut self, name: &str, life: u64) -> Renewal {
        let renew = self.renewal(name, Duration::ZERO);
        self.give(name, life, &renew)
    }

    fn give(&mut self, name: &str, life: u64, renew: &Renew) -> Renewal {
        let now = self.at();
        self.cluster.renewed(now, &id(name), LifeId(life), renew)
    }

    /// Lets seconds pass in which the coordinator looks and these nodes renew.
    fn pass(&mut self, seconds: u64, alive: &[(&str, u64)]) {
        for _ in 0..seconds {
            self.now += SECOND;
            self.cluster.look(self.now);
            for (name, life) in alive {
                self.renew(name, *life);
            }
        }
    }
}

fn id(name: &str) -> NodeId {
    NodeId(name.to_owned())
}

#[test]
fn silence_makes_a_node_offline_then_lost_then_released() {
    let mut scene = Scene::new();
    scene.renew("a", 1);
    scene.renew("b", 1);
    for second in 1..=20 {
        scene.pass(1, &[("b", 1)]);
        let (cluster, now, life) = (&scene.cluster, scene.now, LifeId(1));
        let offline = cluster.state(now, &id("a")) == Some(NodeState::Offline);
        assert_eq!(offline, second >= 10, "{second}");
        let lost = cluster.is_lost(now, &id("a"), life);
        assert_eq!(lost.is_some(), second >= 12, "{second}");
        let released = cluster.released(now, &id("a"), life);
        assert_eq!(released, second >= 15, "{second}");
        assert_eq!(cluster.is_lost(now, &id("b"), life), None);
    }
    let online: Vec<_> = scene.cluster.online(scene.now).map(|n| &n.node.0).collect();
    assert_eq!(online, ["b"]);
    assert_eq!(scene.cluster.describe(scene.now), "a OFFLINE, b ONLINE");
}

#[test]
fn a_coordinator_that_slept_does_not_blame_its_nodes() {
    let mut scene = Scene::new();
    scene.renew("a", 1);
    scene.now += 60 * SECOND;
    scene.cluster.look(scene.now);
    assert_eq!(
        scene.cluster.is_lost(scene.now, &id("a"), LifeId(1)),
        None,
        "its silence was ours"
    );
    assert!(!scene.cluster.released(scene.now, &id("b"), LifeId(1)));
    scene.pass(12, &[]);
    assert!(
        scene
            .cluster
            .is_lost(scene.now, &id("a"), LifeId(1))
            .is_some()
    );
}

#[test]
fn a_new_life_takes_the_name_over_and_the_former_one_is_told_so() {
    let mut scene = Scene::new();
    scene.renew("a", 1);
    scene.pass(3, &[("a", 1)]);
    scene.now += SECOND;
    let replaced = Some(LifeId(1));
    assert_eq!(scene.renew("a", 2), Renewal::Granted { replaced });
    let lost = scene.cluster.is_lost(scene.now, &id("a"), LifeId(1));
    assert_eq!(lost, Some(Lost::Replaced(SECOND)), "at once");
    assert!(!scene.cluster.released(scene.now, &id("a"), LifeId(1)));
    scene.now += SECOND;
    assert_eq!(
        scene.renew("a", 1),
        Renewal::Denied(LeaseVerdict::Displaced)
    );
    assert_eq!(scene.cluster.life(&id("a")), Some(LifeId(2)));
    scene.pass(13, &[("a", 2)]);
    assert!(
        scene.cluster.released(scene.now, &id("a"), LifeId(1)),
        "15 s after its last renewal, not after the one that was denied"
    );
    assert_eq!(scene.cluster.counts().displaced, 1);
}

#[test]
fn reordered_and_repeated_renewals_change_nothing() {
    let mut scene = Scene::new();
    let old = scene.renewal("a", Duration::ZERO);
    scene.give("a", 1, &old);
    scene.pass(11, &[]);
    assert_eq!(scene.give("a", 1, &old), Renewal::Outdated);
    assert_eq!(
        scene.cluster.state(scene.now, &id("a")),
        Some(NodeState::Offline),
        "an old word is no sign of life"
    );
    // A coordinator that has just begun hears a dead life's late renewal after the living one's.
    let late = scene.renewal("a", 5 * SECOND);
    let mut fresh = Scene {
        cluster: Cluster::new(scene.now, BTreeSet::new()),
        ..scene
    };
    fresh.renew("a", 2);
    assert_eq!(fresh.give("a", 1, &late), Renewal::Outdated);
    assert_eq!(fresh.cluster.life(&id("a")), Some(LifeId(2)));
}

#[test]
fn who_speaks_in_anothers_name_or_under_none_is_refused() {
    let mut scene = Scene::new();
    let forged = scene.renewal("a", Duration::ZERO);
    let refused = |renewal| matches!(renewal, Renewal::Denied(LeaseVerdict::Refused(_)));
    assert!(refused(scene.give("b", 1, &forged)));
    for name in ["", "a.b", "a>", "ä", &"x".repeat(65)] {
        assert!(refused(scene.renew(name, 1)), "{name}");
    }
    assert_eq!(scene.cluster.counts().refused, 6);
    assert!(scene.cluster.list(scene.at()).is_empty());
}

#[test]
fn the_table_is_bounded_in_names_and_lives() {
    let mut scene = Scene::new();
    for n in 0..NODES_MAX {
        scene.renew(&n.to_string(), 1);
    }
    assert!(matches!(scene.renew("more", 1), Renewal::Denied(_)));
    assert_eq!(scene.cluster.known.len(), NODES_MAX);
    for life in 2..40 {
        scene.now += SECOND;
        scene.renew("0", life);
    }
    let known = &scene.cluster.known[&id("0")];
    assert_eq!(known.former.len(), LIVES_MAX);
    assert_eq!(
        known.life,
        LifeId(LIVES_MAX as u64 + 1),
        "restarts too often"
    );
    scene.pass(FORMER_KEPT.as_secs(), &[]);
    assert!(matches!(
        scene.renew("0", 99),
        Renewal::Granted { replaced: Some(_) }
    ));
}

#[test]
fn a_message_expires_with_the_lease_on_the_nodes_own_clock() {
    let mut scene = Scene::new();
    scene.renew("a", 1);
    let expires = |scene: &Scene| {
        scene
            .cluster
            .expires_boot_us(scene.now, &id("a"), LifeId(1))
    };
    assert_eq!(expires(&scene), 110_000_000);
    scene.now += 3 * SECOND;
    assert_eq!(expires(&scene), 113_000_000);
    let late = scene.renewal("a", 2 * SECOND);
    scene.give("a", 1, &late);
    assert_eq!(
        expires(&scene),
        111_000_000,
        "the delay only makes it earlier"
    );
    let stranger = scene
        .cluster
        .expires_boot_us(scene.now, &id("a"), LifeId(2));
    assert_eq!(stranger, 0);
}

#[test]
fn what_an_earlier_coordinator_knew_has_its_lease_and_grace_from_the_start() {
    let mut scene = Scene::new();
    scene.pass(14, &[]);
    assert_eq!(scene.cluster.is_lost(scene.now, &id("a"), LIFE), None);
    assert!(!scene.cluster.released(scene.now, &id("a"), LIFE));
    scene.pass(1, &[]);
    assert!(scene.cluster.is_lost(scene.now, &id("a"), LIFE).is_some());
    assert!(scene.cluster.released(scene.now, &id("a"), LIFE));
}

#[test]
fn states_and_drains_are_shown_with_their_reasons() {
    let mut scene = Scene::new();
    assert!(!scene.cluster.drain(&id("a"), true), "not known");
    let mut renew = scene.renewal("b", Duration::ZERO);
    renew.status.condition = NodeCondition::Error("no ports".to_owned());
    scene.give("b", 1, &renew);
    let mut renew = scene.renewal("c", Duration::ZERO);
    renew.status.condition = NodeCondition::Draining;
    scene.give("c", 1, &renew);
    scene.renew("a", 1);
    assert!(scene.cluster.drain(&id("a"), true));
    assert_eq!(scene.cluster.online(scene.now).count(), 0);
    let list = scene.cluster.list(scene.at());
    let seen: Vec<_> = list
        .iter()
        .map(|node| (node.name.as_str(), node.status, node.reason.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "a",
                NodeState::Draining,
                "An operator drains it: it takes no new runs."
            ),
            ("b", NodeState::Error, "no ports"),
            (
                "c",
                NodeState::Draining,
                "It is being shut down: it ends its work and takes none."
            ),
        ]
    );
    let renew = scene.renewal("a", Duration::ZERO);
    let lease = scene
        .cluster
        .lease(5, 6, &id("a"), &renew, LeaseVerdict::Granted, Vec::new());
    assert!(lease.drain);
    assert_eq!(lease.renewal_boot_us, 100_000_000);
    assert!(scene.cluster.drain(&id("a"), false));
    assert_eq!(scene.cluster.online(scene.now).count(), 1);
    // A drain outlives the coordinator, known or not.
    let drained = BTreeSet::from([id("z")]);
    scene.cluster = Cluster::new(scene.now, drained);
    scene.renew("z", 1);
    assert_eq!(
        scene.cluster.state(scene.now, &id("z")),
        Some(NodeState::Draining)
    );
}
