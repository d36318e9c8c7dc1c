//! What a `Handle` asks of the actor.

use std::sync::Arc;

use actix::{AsyncContext, Handler, Message, MessageResult};
use shared::definition::{Media, Test};
use shared::id::RunId;
use tokio::sync::oneshot;

use super::coordinator::{CoordinatorActor, LiveRun, now};
use crate::core::roster::Roster;
use crate::core::run::{Frozen, Input, Run};
use crate::live::Shown;
use crate::store::Command;

/// Submit a test as a new run.
#[derive(Message)]
#[rtype(result = "(RunId, oneshot::Receiver<()>)")]
pub(crate) struct Submit {
    /// The test; frozen from now on.
    pub(crate) test: Test,
    /// Makes the id differ from others of the same millisecond.
    pub(crate) random: u32,
}

/// Ask a run to stop.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct Stop {
    /// Which.
    pub(crate) run: RunId,
    /// A person at the terminal asked.
    pub(crate) interrupted: bool,
}

/// Wait until everything decided so far is stored.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(crate) struct Finished;

impl Handler<Submit> for CoordinatorActor {
    type Result = MessageResult<Submit>;

    fn handle(&mut self, submit: Submit, context: &mut Self::Context) -> Self::Result {
        self.forget_the_ended();
        let now = now();
        let mut id = RunId::new(now.unix_ms, submit.random);
        while self.runs.contains_key(&id) {
            id = RunId(id.0.wrapping_add(1));
        }
        let missing_media = missing_media(&submit.test);
        self.push(Command::Create(id, Box::new(submit.test.clone())));
        let shown = Arc::new(Shown::new(Roster::new(&submit.test)));
        self.board.put(id, Arc::clone(&shown));
        let core = Run::new(
            now,
            Frozen {
                id,
                epoch: self.epoch,
                test: submit.test,
                plan: self.plan,
                missing_media,
            },
        );
        self.runs.insert(id, LiveRun { core, shown });
        let address = context.address().downgrade();
        self.perform(id, &address);
        // PENDING is stored before the answer; what follows may come after it.
        let stored = self.after_all_before();
        self.drive(id, Input::Wake, &address);
        MessageResult((id, stored))
    }
}

impl Handler<Stop> for CoordinatorActor {
    type Result = bool;

    fn handle(&mut self, stop: Stop, context: &mut Self::Context) -> Self::Result {
        let known = self.runs.contains_key(&stop.run);
        let input = Input::Stop {
            interrupted: stop.interrupted,
        };
        self.drive(stop.run, input, &context.address().downgrade());
        known
    }
}

impl Handler<Finished> for CoordinatorActor {
    type Result = MessageResult<Finished>;

    fn handle(&mut self, _: Finished, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.after_all_before())
    }
}

impl CoordinatorActor {
    fn push(&self, command: Command) {
        if self.writer.push(command).is_err() {
            tracing::error!("the storage thread has ended");
        }
    }

    /// Resolves once the writer has done everything pushed so far; closed where it never will.
    fn after_all_before(&self) -> oneshot::Receiver<()> {
        let (done, waiting) = oneshot::channel();
        self.push(Command::Then(Box::new(move || {
            // Whoever waited may have given up.
            let _ = done.send(());
        })));
        waiting
    }
}

/// WAV files of the test that cannot be opened.
fn missing_media(test: &Test) -> Vec<String> {
    let mut missing: Vec<String> = test
        .groups
        .iter()
        .filter_map(|group| match &group.media {
            Media::Wav { path } => Some(path),
            Media::None | Media::Tone { .. } | Media::Speech => None,
        })
        .filter(|path| !std::path::Path::new(path).is_file())
        .cloned()
        .collect();
    missing.sort();
    missing.dedup();
    missing
}
