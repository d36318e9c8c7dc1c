//! Nodes on hosts of their own (network namespaces), and cables that are cut.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::api::{Node, NodeState, Page, SavedTest};
use shared::phase::{Outcome, RunStatus};
use shared::result::RunResult;
use tests::{
    Capture, Kamailio, NatsServer, Network, Reported, Service, Stage, Worker, assert_late_at_most,
    until,
};

use crate::bus_faults::unix;
use crate::fixture::{PATIENCE, coordinator, no_second_is_missing, takes};

/// NATS, coordinator and Kamailio on the machine's side of the bridge, three nodes behind it.
struct Hosts {
    nodes: Vec<Worker>,
    service: Service,
    kamailio: Kamailio,
    nats: NatsServer,
    // Goes last: the processes live in it.
    network: Network,
}

impl Hosts {
    fn start(name: &str) -> Option<Self> {
        let network = Network::new(3)?;
        let nats = NatsServer::start_at(&network.own())?;
        let kamailio = Kamailio::start_at(&network.own())?;
        let allowed = network.network();
        let service = coordinator(name, &nats.url())
            .arguments(&["--allow-target", &allowed])
            .start_without_nodes();
        let mut nodes = Vec::new();
        for (host, region) in [(0, "eu"), (1, "eu"), (2, "us")] {
            let mut node =
                Worker::new(&format!("host{host}"), region, &nats.url()).under(&network.on(host));
            node.set("CARILLON_NODE_ADDRESS", &network.address(host));
            node.start();
            nodes.push(node);
        }
        let hosts = Self {
            nodes,
            service,
            kamailio,
            nats,
            network,
        };
        hosts.wait_for(3, NodeState::Online);
        Some(hosts)
    }

    fn wait_for(&self, count: usize, state: NodeState) {
        until(&format!("{count} nodes {state:?}"), PATIENCE, || {
            let page: Page<Node> = self.service.api().read("nodes");
            let those = page.items.iter().filter(|node| node.status == state);
            (those.count() == count).then_some(())
        });
    }

    /// A project whose registrar is Kamailio.
    fn stage(&self, accounts: u32) -> Stage {
        let api = self.service.api();
        Stage::at_host(
            &api,
            "hosts",
            &self.network.own(),
            self.kamailio.port(),
            accounts,
        )
    }

    fn tell(&self) -> String {
        let mut told = self.service.tail();
        for node in &self.nodes {
            told.push_str(&format!("\n--- {}\n{}", node.name(), node.tail()));
        }
        told
    }
}

#[test]
fn a_run_over_three_hosts_adds_up_and_pairs_across_hosts_carry_media() {
    let Some(hosts) = Hosts::start("hosts") else {
        return;
    };
    let stage = hosts.stage(600);
    // Callers in one region, callees in the other: every call goes from host to host. 200 more
    // calls stay wherever they are put.
    let test = stage.test(json!({
        "name": "300 calls",
        "duration": "20s",
        "buildup": "4s",
        "allow_targets": [hosts.network.network()],
        "groups": {
            "callers": { "count": 100, "registrar": "pbx", "region": "eu", "calls": { "group": "callees" } },
            "callees": { "count": 100, "registrar": "pbx", "region": "us", "receives": true },
            "anyone": { "count": 200, "registrar": "pbx", "calls": { "group": "answers" } },
            "answers": { "count": 200, "registrar": "pbx", "receives": true },
        },
    }));
    let run = stage.start(&test);
    let ended = stage.wait_for_end(run.id, PATIENCE);
    assert_eq!(
        ended.status,
        RunStatus::Completed,
        "{ended:#?}\n{}",
        hosts.tell()
    );
    let result: RunResult = hosts.service.api().read(&format!("runs/{}/result", run.id));
    assert_eq!(
        result.all.counts.calls_established, 300,
        "{:#?}",
        result.failures
    );
    assert_eq!(result.endpoints.len(), 600);
    let mut shares = std::collections::BTreeMap::<(String, String), u32>::new();
    // A machine that holds the nodes up makes packets too late to be played.
    assert_late_at_most(&result);
    let heard = if result.generator.saturated { 1.0 } else { 4.0 };
    for endpoint in &result.endpoints {
        assert_eq!(
            endpoint.report().outcome,
            Outcome::Success,
            "{:?}",
            endpoint.report()
        );
        let node = endpoint.node.0.clone();
        *shares
            .entry((endpoint.group_name.clone(), node))
            .or_default() += 1;
        let call = endpoint.report().calls.first().expect("a call");
        let media = call.media.as_ref().expect("media");
        assert!(media.rx_packets > 300, "{:?}", endpoint.report());
        assert!(
            media.mos.is_some_and(|mos| mos > heard),
            "{:?}",
            endpoint.report()
        );
    }
    println!("{shares:#?}");
    let of = |group: &str| -> Vec<(&str, u32)> {
        let shares = shares.iter().filter(|((name, _), _)| name == group);
        shares
            .map(|((_, node), count)| (node.as_str(), *count))
            .collect()
    };
    let total = |group: &str| of(group).iter().map(|(_, count)| count).sum::<u32>();
    assert_eq!((total("callers"), total("callees")), (100, 100));
    assert_eq!((total("anyone"), total("answers")), (200, 200));
    assert_eq!(of("callees"), [("host2", 100)]);
    assert_eq!(
        of("callers")
            .iter()
            .map(|(node, _)| *node)
            .collect::<Vec<_>>(),
        ["host0", "host1"]
    );
    assert_eq!(of("anyone").len(), 3, "spread over all hosts");
    assert_eq!(
        of("anyone"),
        of("answers"),
        "both ends of a call on one host"
    );
    no_second_is_missing(&result);
    drop(hosts.nats);
}

/// Which directions of a cable are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Both,
    /// The node is not heard, but hears.
    Out,
    /// The node is heard, but does not hear.
    In,
}

/// 60 calls that last.
fn sixty(stage: &Stage, hosts: &Hosts, cut: Cut) -> SavedTest {
    stage.test(json!({
        "name": format!("cut {cut:?}"),
        "duration": "10m",
        "buildup": "1s",
        "allow_targets": [hosts.network.network()],
        "groups": {
            "callers": { "count": 60, "registrar": "pbx", "calls": { "group": "callees" } },
            "callees": { "count": 60, "registrar": "pbx", "receives": true },
        },
    }))
}

#[test]
fn a_cut_cable_ends_the_run_on_both_sides_and_a_mended_one_revives_nothing() {
    let Some(hosts) = Hosts::start("cut") else {
        return;
    };
    let stage = hosts.stage(120);
    let port = hosts.nats.port().to_string();
    for cut in [Cut::Both, Cut::Out, Cut::In] {
        let test = sixty(&stage, &hosts, cut);
        let run = stage.start(&test);
        let path = format!("runs/{}", run.id);
        stage.wait(run.id, PATIENCE, |run| {
            run.counts
                .as_ref()
                .is_some_and(|counts| counts.calls_established == 60)
        });
        let Some(capture) = Capture::start(hosts.network.bridge()) else {
            return;
        };
        let (began, began_unix) = (Instant::now(), unix());
        let rule = |action: &str| {
            if matches!(cut, Cut::Both | Cut::Out) {
                hosts.network.iptables(
                    1,
                    &[
                        action, "OUTPUT", "-p", "tcp", "--dport", &port, "-j", "DROP",
                    ],
                );
            }
            if matches!(cut, Cut::Both | Cut::In) {
                hosts.network.iptables(
                    1,
                    &[action, "INPUT", "-p", "tcp", "--sport", &port, "-j", "DROP"],
                );
            }
        };
        rule("-A");
        let failed = takes("FAILED", began, || {
            let run: shared::api::Run = hosts.service.api().read(&path);
            run.status.is_terminal()
        });
        let ended = stage.wait_for_end(run.id, PATIENCE);
        assert_eq!(
            ended.status,
            RunStatus::Failed,
            "{ended:#?}\n{}",
            hosts.tell()
        );
        assert!(ended.sentence.contains("`host1`"), "{}", ended.sentence);
        println!(
            "{cut:?}: {} after {failed:?}: {}",
            ended.reason, ended.sentence
        );
        // Renewals that were on their way when the cable was cut count: two seconds more at most.
        assert!(
            failed <= Duration::from_secs(17),
            "{cut:?}: FAILED after {failed:?}"
        );
        let rest = Duration::from_secs(20).saturating_sub(began.elapsed());
        std::thread::sleep(rest);
        rule("-D");
        hosts.wait_for(3, NodeState::Online);
        // Nothing is revived: the node holds nothing, the run stays what it is.
        until("nobody holding endpoints", PATIENCE, || {
            let page: Page<Node> = hosts.service.api().read("nodes");
            page.items
                .iter()
                .all(|node| node.endpoints == 0)
                .then_some(())
        });
        let still: shared::api::Run = hosts.service.api().read(&path);
        assert_eq!(still.status, RunStatus::Failed);
        let from = format!("{}:", hosts.network.address(1));
        let late: Vec<_> = capture
            .finish()
            .into_iter()
            .filter(|seen| seen.at > began_unix + 15.0 && seen.from.starts_with(&from))
            .filter(|seen| !matches!(seen.sip.as_str(), "200" | "481"))
            .collect();
        assert!(
            late.is_empty(),
            "{cut:?}: {} packets, the first {:?}",
            late.len(),
            late.first()
        );
        stage.wait(run.id, PATIENCE, |run| run.used.is_some());
    }
}
