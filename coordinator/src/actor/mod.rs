//! The CoordinatorActor: turns the world into inputs of the cores and performs their outputs.
//! It decides nothing.

mod coordinator;
mod requests;

pub(crate) use coordinator::{CoordinatorActor, Trouble};
pub(crate) use requests::{Finished, Stop, Submit};
