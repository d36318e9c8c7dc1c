//! Which endpoint of this node's share lives on which shard (one signalling arbiter, one media
//! thread). Both ends of a pair share a shard, because a packet that crosses cores costs up to
//! twice as much (DESIGN 1). Groups with a fixed SIP address have one socket, so they and whoever
//! pairs with them stay together.

use shared::definition::{Target, Test};
use shared::id::GroupIndex;
use shared::wire::Share;

/// Endpoints of one group on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The group.
    pub group: GroupIndex,
    /// Places within the group, ascending.
    pub places: Vec<u32>,
}

/// Shares out `shares` over `shards` shards: one list of parts for each shard, groups in the test's order.
///
/// Bounds: O(endpoints). A `shards` of 0 is taken as 1.
#[must_use]
pub fn lay_out(test: &Test, shares: &[Share], shards: usize) -> Vec<Vec<Part>> {
    let shards = shards.max(1);
    let components = components(test);
    let mut layout: Vec<Vec<Part>> = vec![Vec::new(); shards];
    for share in shares {
        let component = components.get(share.group.index()).copied().unwrap_or(0);
        let together = test
            .groups
            .iter()
            .enumerate()
            .any(|(index, group)| components[index] == component && group.sip_bind.is_some());
        for (shard, parts) in layout.iter_mut().enumerate() {
            let mut places: Vec<u32> = (share.first..share.first.saturating_add(share.count))
                .filter(|place| {
                    let wanted = if together { component } else { *place as usize };
                    wanted % shards == shard
                })
                .collect();
            // A group is one part of a shard, however many shares it came in.
            if let Some(part) = parts.iter_mut().find(|part| part.group == share.group) {
                part.places.append(&mut places);
                part.places.sort_unstable();
            } else if !places.is_empty() {
                parts.push(Part {
                    group: share.group,
                    places,
                });
            }
        }
    }
    layout
}

/// Groups that call each other, directly or through a third, have the same number.
fn components(test: &Test) -> Vec<usize> {
    let mut number: Vec<usize> = (0..test.groups.len()).collect();
    // Each pass joins along one more call edge, so as many passes as groups suffice.
    for _ in 0..test.groups.len() {
        for (index, group) in test.groups.iter().enumerate() {
            if let Target::Group(callee) = group.target
                && let Some(other) = number.get(usize::from(callee)).copied()
            {
                let least = number[index].min(other);
                number[index] = least;
                number[usize::from(callee)] = least;
            }
        }
    }
    number
}

/// The group whose endpoints call this one, place by place; none where nobody of ours does.
#[must_use]
pub fn caller_group_of(test: &Test, callee: GroupIndex) -> Option<GroupIndex> {
    let position = test
        .groups
        .iter()
        .position(|group| group.target == Target::Group(callee.0))?;
    u16::try_from(position).ok().map(GroupIndex)
}
