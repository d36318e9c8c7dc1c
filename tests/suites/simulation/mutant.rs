//! The simulation is tested too: one part of the harness is made wrong on purpose, and an invariant
//! must find it. None of this is in the product.

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing.
    #[default]
    None,
    /// Endpoints send without asking the lease's guard.
    SkipsLease,
    /// The coordinator is told that all is on disk as soon as it is written.
    AcknowledgesBeforeFlush,
    /// The coordinator's clock runs too fast: it believes nodes dead whose leases still run.
    HurriesClock,
    /// The coordinator's disk loses what was flushed.
    ForgetsFlushed,
    /// A node process lets an item go that nobody has stored.
    DropsItem,
    /// Two accounts of the pool are the same one.
    SharesAccount,
    /// Endpoints go on after an order to stop.
    IgnoresStop,
}

impl Mutant {
    /// Every wrong variant, with a part of the sentence by which it must be found.
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::SkipsLease, "without a lease"),
        (Self::AcknowledgesBeforeFlush, "not on the disk"),
        (Self::HurriesClock, "slot is free"),
        (Self::ForgetsFlushed, "not on the disk"),
        (Self::DropsItem, "stored"),
        (Self::SharesAccount, "account"),
        (Self::IgnoresStop, "after"),
    ];
}
