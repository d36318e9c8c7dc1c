//! Callers and callees on different nodes: what one must know of the other goes through here.

use shared::definition::Target;
use shared::id::{GroupIndex, NodeId};
use shared::wire::{Share, Tell};

use super::{Output, Run};

impl Run {
    /// Takes tells of the node at `index` and passes each on to who waits for it.
    pub(super) fn relay(&mut self, index: usize, tells: Vec<Tell>) {
        let before: Vec<usize> = self.members.iter().map(|m| m.tells.len()).collect();
        for tell in tells {
            if self.is_sound(index, &tell) {
                self.pass_on(index, &tell);
            } else {
                self.untaken.tells += 1;
            }
        }
        for (member, before) in before.into_iter().enumerate() {
            self.send_tells(member, before);
        }
    }

    /// True where the place exists and its teller carries it.
    fn is_sound(&self, index: usize, tell: &Tell) -> bool {
        let Some(member) = self.members.get(index) else {
            return false;
        };
        match tell {
            Tell::Callee { group, place, .. } => member.carries(group.0, *place),
            Tell::CallerOver { group, place } => self
                .callers_of(*group)
                .any(|callers| member.carries(callers, *place)),
        }
    }

    fn callers_of(&self, called: GroupIndex) -> impl Iterator<Item = u16> {
        let groups = self.frozen.test.groups.iter().enumerate();
        groups.filter_map(move |(index, group)| {
            (group.target == Target::Group(called.0)).then(|| u16::try_from(index).ok())?
        })
    }

    fn pass_on(&mut self, from: usize, tell: &Tell) {
        // Each place tells at most twice: as a callee, as a caller that is over.
        let bound = (self.endpoints() as usize).saturating_mul(2);
        let (places, place): (Vec<u16>, u32) = match tell {
            Tell::Callee { group, place, .. } => (self.callers_of(*group).collect(), *place),
            Tell::CallerOver { group, place } => (vec![group.0], *place),
        };
        for (index, member) in self.members.iter_mut().enumerate() {
            let waits = places.iter().any(|group| member.carries(*group, place));
            if index != from
                && waits
                && !member.is_over()
                && !member.tells.push(tell.clone(), bound)
            {
                self.untaken.tells += 1;
            }
        }
    }

    /// Sends what waits for a node from the `skip`-th on.
    pub(super) fn send_tells(&mut self, index: usize, skip: usize) {
        let Some(member) = self.members.get(index) else {
            return;
        };
        let (node, life) = (member.node.clone(), member.life);
        let messages = member
            .tells
            .messages(skip, self.frozen.id, self.frozen.epoch);
        for message in messages {
            self.outputs
                .push_back(Output::Send(node.clone(), life, message));
        }
    }

    /// The run goes on without a node: nobody waits for what it carried.
    pub(super) fn tell_of_lost(&mut self, node: &NodeId, shares: &[Share]) {
        let lost = self.members.iter().position(|m| m.node == *node && m.lost);
        let Some(lost) = lost else { return };
        let before: Vec<usize> = self.members.iter().map(|m| m.tells.len()).collect();
        for share in shares {
            let Some(group) = self.frozen.test.groups.get(share.group.index()) else {
                continue;
            };
            let target = group.target.clone();
            for place in share.first..share.first.saturating_add(share.count) {
                let tell = match target {
                    Target::Group(called) => Tell::CallerOver {
                        group: GroupIndex(called),
                        place,
                    },
                    Target::Receives => Tell::Callee {
                        group: share.group,
                        place,
                        readiness: Err(format!("its node `{node}` was lost")),
                    },
                    Target::Uri(_) | Target::Nobody => continue,
                };
                self.pass_on(lost, &tell);
            }
        }
        for (member, before) in before.into_iter().enumerate() {
            self.send_tells(member, before);
        }
    }
}
