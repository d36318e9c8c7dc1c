//! The fence: which coordinator is obeyed. The newest (cluster, epoch) that was, and nothing older.

use shared::wire::{ClusterId, Head};

/// The newest coordinator that this node has obeyed, in this life or a former one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Its database; 0 before any.
    pub cluster: ClusterId,
    /// Its start count; 0 before any.
    pub epoch: u64,
}

/// Where a message stands against the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The coordinator that is obeyed.
    Same,
    /// The same database, started anew.
    Newer,
    /// The same database at an earlier start: a late message, or a backup that was started.
    Older,
    /// Another database.
    Foreign,
}

impl Fence {
    /// Compares a message's head.
    #[must_use]
    pub fn judge(&self, head: &Head) -> Stands {
        if head.cluster != self.cluster {
            return Stands::Foreign;
        }
        match head.epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Stands::Older,
            std::cmp::Ordering::Equal => Stands::Same,
            std::cmp::Ordering::Greater => Stands::Newer,
        }
    }

    /// Follows the sender of this head from now on.
    pub fn follow(&mut self, head: &Head) {
        self.cluster = head.cluster;
        self.epoch = head.epoch;
    }

    /// As it stands in a file: both numbers, and a sum over them that tells a torn one.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (cluster, epoch) = (self.cluster.0, self.epoch);
        format!(
            "cluster {cluster:016x} epoch {epoch} sum {:08x}\n",
            self.sum()
        )
    }

    /// Reads [`Self::to_text`]; none where it is torn or no fence.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut after = |name| (words.next() == Some(name)).then(|| words.next()).flatten();
        let cluster = u64::from_str_radix(after("cluster")?, 16).ok()?;
        let epoch = after("epoch")?.parse().ok()?;
        let sum = u32::from_str_radix(after("sum")?, 16).ok()?;
        let fence = Self {
            cluster: ClusterId(cluster),
            epoch,
        };
        (fence.sum() == sum).then_some(fence)
    }

    /// FNV-1a over both numbers: against torn writes, not against people.
    fn sum(&self) -> u32 {
        let octets = [self.cluster.0.to_le_bytes(), self.epoch.to_le_bytes()];
        octets
            .iter()
            .flatten()
            .fold(0x811c_9dc5, |sum: u32, octet| {
                (sum ^ u32::from(*octet)).wrapping_mul(0x0100_0193)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(cluster: u64, epoch: u64) -> Head {
        Head {
            cluster: ClusterId(cluster),
            epoch,
            ..Head::default()
        }
    }

    #[test]
    fn an_older_epoch_of_the_same_cluster_is_older_and_another_cluster_foreign() {
        let mut fence = Fence::default();
        assert_eq!(fence.judge(&head(7, 1)), Stands::Foreign);
        fence.follow(&head(7, 4));
        assert_eq!(fence.judge(&head(7, 3)), Stands::Older);
        assert_eq!(fence.judge(&head(7, 4)), Stands::Same);
        assert_eq!(fence.judge(&head(7, 5)), Stands::Newer);
        assert_eq!(fence.judge(&head(8, 9)), Stands::Foreign);
    }

    #[test]
    fn its_text_is_read_back_and_a_torn_one_is_not() {
        let mut fence = Fence::default();
        fence.follow(&head(0xdead_beef, 12));
        let text = fence.to_text();
        assert_eq!(Fence::from_text(&text), Some(fence));
        for cut in 0..text.len() - 1 {
            assert_eq!(Fence::from_text(&text[..cut]), None, "{cut}");
        }
        assert_eq!(
            Fence::from_text(&text.replace("epoch 12", "epoch 11")),
            None
        );
        assert_eq!(Fence::from_text("\u{0}\u{ff}nonsense"), None);
    }
}
