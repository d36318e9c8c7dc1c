//! `region = "eu"` and `nodes = ["a", "b"]`: where a group's endpoints may run.

use super::super::mistake::Mistakes;
use super::section::Section;
use crate::id::NodeId;

/// Any node where it is not given.
pub(super) fn region(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Option<String> {
    let given = section.text("region", mistakes)?;
    if given.value.is_empty() || given.value.len() > NAME_MAX {
        mistakes.add(
            &given.spot,
            format!("must have 1 to {NAME_MAX} octets; leave it out for any region"),
        );
        return None;
    }
    Some(given.value)
}

/// Any node where it is not given.
pub(super) fn nodes(section: &mut Section<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<NodeId> {
    let Some(field) = section.take("nodes") else {
        return Vec::new();
    };
    let names = field.texts("[\"node-1\"]", mistakes);
    if names
        .as_ref()
        .is_some_and(|names| names.is_empty() || names.len() > NODES_MAX)
    {
        mistakes.add(
            &field.spot,
            format!("must name 1 to {NODES_MAX} nodes; leave it out for any node"),
        );
    }
    let mut nodes: Vec<NodeId> = Vec::new();
    for name in names.iter().flatten() {
        if name.value.is_empty() || name.value.len() > NAME_MAX {
            mistakes.add(&name.spot, format!("must have 1 to {NAME_MAX} octets"));
        } else if nodes.iter().any(|known| known.0 == name.value) {
            mistakes.add(&name.spot, format!("`{}` is listed twice", name.value));
        } else {
            nodes.push(NodeId(name.value.to_owned()));
        }
    }
    nodes
}

/// Octets of a node's or region's name.
const NAME_MAX: usize = 128;
/// Nodes that a group may name.
const NODES_MAX: usize = 1_000;
