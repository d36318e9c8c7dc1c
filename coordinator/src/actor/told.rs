//! What subscribers are told of what was measured, once it is with the storage.

use shared::definition::Test;
use shared::id::RunId;
use shared::wire::Frame;

use crate::core::run::Record;
use crate::core::summary::AggregateSecond;
use crate::outward::Outward;

/// A copy of a record that subscribers see.
pub(super) enum Told {
    /// The whole run's second.
    Second(Box<AggregateSecond>),
    /// A group's second, by its position.
    Group(u16, Box<AggregateSecond>),
    /// Endpoints, where the test has them published.
    Frame(Box<Frame>),
}

impl Told {
    /// None for what nobody is told.
    pub(super) fn of(record: &Record, test: &Test) -> Option<Self> {
        match record {
            Record::Second(second) => Some(Self::Second(second.clone())),
            Record::GroupSecond(group, second) => Some(Self::Group(*group, second.clone())),
            Record::Frame(frame) if test.publish_endpoints => Some(Self::Frame(frame.clone())),
            Record::Frame(_) | Record::Report(_) | Record::Trace(_) | Record::Summary(_) => None,
        }
    }

    /// Publishes it.
    pub(super) fn tell(&self, outward: &Outward, run: RunId, test: &Test) {
        match self {
            Self::Second(second) => outward.second(run, test, second),
            Self::Group(group, second) => outward.group_second(run, test, *group, second),
            Self::Frame(frame) => outward.frame(test, frame),
        }
    }
}
