//! What happened over all stories: a simulation in which nothing ever went wrong proves nothing.

/// Counts; added up over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Events, the healing at the end included.
    pub(crate) events: u64,
    /// Messages.
    pub(crate) sent: u64,
    /// Of these, lost.
    pub(crate) lost: u64,
    /// Of these, delivered twice.
    pub(crate) twice: u64,
    /// Messages that were repeated long after.
    pub(crate) replayed: u64,
    /// Runs that were asked for.
    pub(crate) runs: u64,
    /// Runs that ended COMPLETED.
    pub(crate) completed: u64,
    /// Of these, after a stop.
    pub(crate) stopped: u64,
    /// Of these, without a lost node's share.
    pub(crate) went_on: u64,
    /// Runs that ended FAILED because a node was lost.
    pub(crate) node_lost: u64,
    /// Runs that ended FAILED because a node told that it lost its lease.
    pub(crate) lease_lost: u64,
    /// Runs that ended FAILED because a node was drained.
    pub(crate) drained: u64,
    /// Runs that were refused.
    pub(crate) refused: u64,
    /// Runs that ended for the coordinator's restart.
    pub(crate) restarted: u64,
    /// Other ends.
    pub(crate) other_ends: u64,
    /// Runs that a later coordinator adopted.
    pub(crate) adopted: u64,
    /// Adopted runs that ended COMPLETED.
    pub(crate) adopted_completed: u64,
    /// Terminal runs that held their slots for a silent node.
    pub(crate) held_after_end: u64,
    /// Crashes of the coordinator.
    pub(crate) master_crashes: u64,
    /// Of these, with something that was not on the disk.
    pub(crate) torn: u64,
    /// Crashes of node processes.
    pub(crate) node_crashes: u64,
    /// Processes stopped and let go on.
    pub(crate) frozen: u64,
    /// Processes that woke after their lease.
    pub(crate) woke_late: u64,
    /// Processes that a newer one of their name displaced.
    pub(crate) displaced: u64,
    /// Nodes that left, drained.
    pub(crate) left: u64,
    /// Leases that ran out.
    pub(crate) leases_lost: u64,
    /// Messages that nodes refused: past their expiry.
    pub(crate) expired: u64,
    /// Of an older epoch or sequence.
    pub(crate) outdated: u64,
    /// For another life.
    pub(crate) other_life: u64,
    /// Obeyed before.
    pub(crate) repeated: u64,
    /// Not readable.
    pub(crate) unreadable: u64,
    /// Items stored.
    pub(crate) items: u64,
    /// Items sent again.
    pub(crate) resent: u64,
    /// Items that went to a node's disk.
    pub(crate) spilled: u64,
    /// Items that the coordinator had taken before.
    pub(crate) items_repeated: u64,
    /// Items before which one was missing.
    pub(crate) items_early: u64,
    /// Messages of strangers.
    pub(crate) items_foreign: u64,
    /// Tells that reached the other node.
    pub(crate) tells: u64,
}

impl Tally {
    /// Adds another story's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.sent += other.sent;
        self.lost += other.lost;
        self.twice += other.twice;
        self.replayed += other.replayed;
        self.runs += other.runs;
        self.completed += other.completed;
        self.stopped += other.stopped;
        self.went_on += other.went_on;
        self.node_lost += other.node_lost;
        self.lease_lost += other.lease_lost;
        self.drained += other.drained;
        self.refused += other.refused;
        self.restarted += other.restarted;
        self.other_ends += other.other_ends;
        self.adopted += other.adopted;
        self.adopted_completed += other.adopted_completed;
        self.held_after_end += other.held_after_end;
        self.master_crashes += other.master_crashes;
        self.torn += other.torn;
        self.node_crashes += other.node_crashes;
        self.frozen += other.frozen;
        self.woke_late += other.woke_late;
        self.displaced += other.displaced;
        self.left += other.left;
        self.leases_lost += other.leases_lost;
        self.expired += other.expired;
        self.outdated += other.outdated;
        self.other_life += other.other_life;
        self.repeated += other.repeated;
        self.unreadable += other.unreadable;
        self.items += other.items;
        self.resent += other.resent;
        self.spilled += other.spilled;
        self.items_repeated += other.items_repeated;
        self.items_early += other.items_early;
        self.items_foreign += other.items_foreign;
        self.tells += other.tells;
    }

    /// Every count with its name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("events", self.events),
            ("messages sent", self.sent),
            ("messages lost", self.lost),
            ("messages doubled", self.twice),
            ("messages replayed", self.replayed),
            ("runs", self.runs),
            ("runs completed", self.completed),
            ("runs stopped", self.stopped),
            ("runs that went on without a node", self.went_on),
            ("runs failed: node lost", self.node_lost),
            ("runs failed: lease lost", self.lease_lost),
            ("runs failed: node drained", self.drained),
            ("runs refused", self.refused),
            ("runs ended by a restart", self.restarted),
            ("runs adopted", self.adopted),
            ("runs adopted and completed", self.adopted_completed),
            ("runs that held slots after their end", self.held_after_end),
            ("coordinator crashes", self.master_crashes),
            ("crashes with a torn disk", self.torn),
            ("node crashes", self.node_crashes),
            ("processes stopped", self.frozen),
            ("processes that woke after their lease", self.woke_late),
            ("processes displaced", self.displaced),
            ("nodes that left drained", self.left),
            ("leases that ran out", self.leases_lost),
            ("commands refused: expired", self.expired),
            ("commands refused: outdated", self.outdated),
            ("commands refused: other life", self.other_life),
            ("commands repeated", self.repeated),
            ("commands unreadable", self.unreadable),
            ("items stored", self.items),
            ("items sent again", self.resent),
            ("items on a node's disk", self.spilled),
            ("items repeated at the coordinator", self.items_repeated),
            ("items early at the coordinator", self.items_early),
            ("items of strangers", self.items_foreign),
            ("tells relayed", self.tells),
        ]
    }
}
