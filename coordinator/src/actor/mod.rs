//! The CoordinatorActor: turns the world into inputs of the cores and performs their outputs.
//! It decides nothing.

mod adopt;
mod audit;
mod bus;
mod commit;
mod coordinator;
mod drain;
mod equip;
mod live_run;
mod perform;
mod published;
mod recover;
mod requests;
mod start;
mod told;
mod update;

pub(crate) use audit::Audit;
pub(crate) use bus::BusCounts;
pub(crate) use coordinator::{CoordinatorActor, Parts, Trouble};
pub(crate) use drain::Drain;
pub(crate) use live_run::Started;
pub(crate) use published::Published;
pub(crate) use recover::recover;
pub(crate) use requests::{Finished, GrantCredits, ListNodes, Shutdown, Stop};
pub(crate) use start::{Check, StartRun, Submit};
pub(crate) use update::Update;
