//! `carillon nodes`.

use std::time::{SystemTime, UNIX_EPOCH};

use shared::api::{Node, NodeState};

use super::api::{Api, encoded};
use super::args::{NodesArguments, NodesCommand, NodesListArguments};
use super::table::{self, cell, figure};
use crate::exit::Exit;
use crate::screen::Paint;
use crate::screen::draw::{Cell, Table};
use crate::screen::figure::{count, printable};

pub(super) fn run(api: &Api, arguments: &NodesArguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        None => list(api, &arguments.list)?,
        Some(NodesCommand::List(arguments)) => list(api, arguments)?,
        Some(NodesCommand::Drain { node }) => {
            act(api, node, "drain")?;
            say(node, "takes no new runs; those it has go on to their end")?;
        }
        Some(NodesCommand::Undrain { node }) => {
            act(api, node, "undrain")?;
            say(node, "takes runs again")?;
        }
    }
    Ok(Exit::Passed)
}

fn act(api: &Api, node: &str, what: &str) -> anyhow::Result<()> {
    Ok(api.act(&format!("nodes/{}/{what}", encoded(node)))?)
}

fn say(node: &str, what: &str) -> anyhow::Result<()> {
    table::lines(&[format!("{} {what}", printable(node))])
}

fn list(api: &Api, arguments: &NodesListArguments) -> anyhow::Result<()> {
    let nodes: Vec<Node> = api.list("nodes", NODES_MAX)?;
    if arguments.json {
        return table::lines(&[serde_json::to_string_pretty(&nodes)?]);
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_unix_ms = since_1970.unwrap_or_default().as_millis();
    table::print(&table_of(
        &nodes,
        u64::try_from(now_unix_ms).unwrap_or(u64::MAX),
    ))
}

fn table_of(nodes: &[Node], now_unix_ms: u64) -> Table {
    let header = [
        "node",
        "state",
        "region",
        "version",
        "endpoints",
        "CPU",
        "clock ms",
        "seen",
        "labels",
    ];
    let mut table = Table::new(0..4, &header);
    for node in nodes {
        let capacity = node
            .capacity_endpoints
            .map_or_else(|| "?".to_owned(), |most| count(u64::from(most)));
        let said = if node.reason.is_empty() {
            let labels = node.labels.iter();
            let labels: Vec<String> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            labels.join(",")
        } else {
            node.reason.clone()
        };
        table.row(vec![
            cell(&node.name),
            state(node.status),
            cell(&node.region),
            cell(&node.version),
            Cell::new(format!("{}/{capacity}", count(u64::from(node.endpoints)))),
            Cell::new(format!("{:.1}/{}", node.cpu_cores, node.cores)),
            figure(clock(node)),
            Cell::new(ago(now_unix_ms.saturating_sub(node.last_seen_unix_ms))),
            cell(&said),
        ]);
    }
    table
}

/// A state in its colour.
fn state(state: NodeState) -> Cell {
    match state {
        NodeState::Online => Cell::painted("ONLINE", Paint::Green),
        NodeState::Draining => Cell::painted("DRAINING", Paint::Yellow),
        NodeState::Offline => Cell::painted("OFFLINE", Paint::Red),
        NodeState::Error => Cell::painted("ERROR", Paint::Red),
    }
}

/// The clock's offset with its error bound, in milliseconds.
fn clock(node: &Node) -> Option<String> {
    let (offset, error) = node.clock_offset_ms.zip(node.clock_error_ms)?;
    Some(format!("{offset:+.1} ±{error:.1}"))
}

/// How long ago, in the largest unit that is full.
fn ago(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Listed at once.
const NODES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Ink;

    #[test]
    fn nodes_are_shown_with_load_capacity_clock_and_silence() {
        let node = |name: &str, status, capacity, clock: Option<(f64, f64)>, seen| Node {
            name: name.to_owned(),
            region: "eu".to_owned(),
            version: "0.1.0".to_owned(),
            status,
            last_seen_unix_ms: seen,
            cores: 4,
            free_descriptors: 1_000,
            free_ports: 1_000,
            endpoints: 1_200,
            labels: [("rack".to_owned(), "b7".to_owned())].into(),
            reason: String::new(),
            capacity_endpoints: capacity,
            cpu_cores: 1.25,
            resident_bytes: 1 << 20,
            clock_offset_ms: clock.map(|clock| clock.0),
            clock_error_ms: clock.map(|clock| clock.1),
            refused_commands: 0,
        };
        let nodes = [
            node(
                "a1",
                NodeState::Online,
                Some(5_000),
                Some((-1.5, 0.25)),
                1_000_000,
            ),
            node("b1", NodeState::Offline, None, None, 860_000),
        ];
        let lines = table_of(&nodes, 1_001_000).lines(Ink::plain(), 0, 200);
        for (line, parts) in [
            (
                1,
                [
                    "a1",
                    "ONLINE",
                    "1 200/5 000",
                    "1.2/4",
                    "-1.5 ±0.2",
                    "1 s ago",
                    "rack=b7",
                ],
            ),
            (
                2,
                [
                    "b1",
                    "OFFLINE",
                    "1 200/?",
                    "1.2/4",
                    "–",
                    "2 min ago",
                    "rack=b7",
                ],
            ),
        ] {
            for part in parts {
                assert!(
                    lines[line].contains(part),
                    "{part} is not in {}",
                    lines[line]
                );
            }
        }
    }
}
