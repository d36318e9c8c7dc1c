//! What the node's core puts out, done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Context;
use shared::id::RunId;
use shared::wire::{Message, Tell, Upward, encode, report_subject};

use super::node::NodeActor;
use super::shard::{Go, Stop, Tells};
use super::start::NodeEnd;
use crate::core::desired::StopKind;
use crate::core::lease::Permit;
use crate::core::node::{Exit, Input, Notice, Output};

/// What comes with every message of a coordinator is logged this often.
const SAME_NOTICE_EVERY: Duration = Duration::from_secs(60);

impl NodeActor {
    pub(super) fn perform(&mut self, context: &mut Context<Self>, output: Output) {
        match output {
            Output::Send(message) => self.publish(&message),
            Output::Fence(fence) => self.state.keep_fence(fence),
            Output::Prepare(desired) => self.prepare(context, *desired),
            Output::Start { run, generation } => self.start_run(run, generation),
            Output::Stop { run, kind } => self.stop_run(run, kind),
            Output::Tell { run, tells } => self.tell(run, tells),
            Output::Forget(run) => self.forget(run),
            Output::Disk(asked) => self.disk(asked),
            Output::Notice(notice) => self.notice(notice),
            Output::Exit(exit) => {
                let end = match exit {
                    Exit::Drained => NodeEnd::Drained,
                    Exit::Displaced => NodeEnd::Displaced,
                };
                self.end.send_replace(Some(end));
            }
        }
    }

    /// A bus that refuses is cut off: what must be stored waits until it is there again, which its
    /// count of connections tells.
    fn publish(&mut self, message: &Message<Upward>) {
        let node = &self.config.node;
        let payload = match encode(message) {
            Ok(payload) => payload,
            Err(error) => {
                // The outbox measured every item, so this is a renewal beyond all bounds.
                tracing::error!(%node, %error, "a message could not be encoded");
                return;
            }
        };
        let published = self.bus.publish(&report_subject(node), payload);
        if published.refused > 0 {
            if !self.cut_off {
                tracing::warn!(%node, "the bus takes nothing: what must be stored waits here");
            }
            self.cut_off = true;
            if let Upward::Item(item) = &message.body {
                self.later.push_back(Input::ItemRefused {
                    run: item.run,
                    sequence: item.sequence,
                });
            }
        } else if std::mem::take(&mut self.cut_off) {
            tracing::info!(%node, "the bus is there again");
        }
    }

    fn start_run(&mut self, run: RunId, generation: u64) {
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        // The run begins now, and its seconds are the engine's, so that none is cut in two: its
        // first one is the rest of the engine's present one.
        let epoch = self.engine.epoch();
        let base = epoch.elapsed().as_secs();
        live.base = Some(base);
        live.grid = epoch + Duration::from_secs(base);
        let (begin, grid) = (Instant::now(), live.grid);
        let permit = Permit::of(Arc::clone(&self.guard), generation);
        for shard in &self.shards {
            shard.do_send(Go {
                run,
                begin,
                grid,
                permit: permit.clone(),
            });
        }
    }

    pub(super) fn stop_run(&mut self, run: RunId, kind: StopKind) {
        if let Some(live) = self.runs.get_mut(&run) {
            live.stopped = true;
        }
        for shard in &self.shards {
            shard.do_send(Stop { run, kind });
        }
    }

    /// Which of its shards has a place each of them knows best.
    fn tell(&self, run: RunId, tells: Vec<Tell>) {
        let tells: Arc<[Tell]> = tells.into();
        for shard in &self.shards {
            let tells = Arc::clone(&tells);
            shard.do_send(Tells { run, tells });
        }
    }

    fn forget(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    /// Logs it, unless the same was logged a short time ago.
    fn notice(&mut self, notice: Notice) {
        let known = self
            .noticed
            .as_ref()
            .is_some_and(|(last, at)| *last == notice && at.elapsed() < SAME_NOTICE_EVERY);
        if !known {
            self.log(&notice);
            self.noticed = Some((notice, Instant::now()));
        }
    }

    fn log(&self, notice: &Notice) {
        let node = &self.config.node;
        match notice {
            Notice::Joined(fence) => {
                tracing::info!(%node, cluster = fence.cluster.0, epoch = fence.epoch, "joined");
            }
            Notice::LeaseLost => tracing::error!(
                %node,
                "the coordinator was not heard for too long: every call is being ended"
            ),
            Notice::Refused(why) => {
                tracing::error!(%node, why, "the coordinator refuses this node; it asks again");
            }
            Notice::Displaced => tracing::error!(
                %node,
                "another process has joined under this name: every call is being ended"
            ),
            Notice::Outdated { epoch, fence } => tracing::error!(
                %node,
                epoch,
                obeyed = fence.epoch,
                way_out = %self.state.fence_hint(),
                "a coordinator of an earlier start is not obeyed: perhaps an old backup runs"
            ),
            Notice::Foreign(fence) => tracing::error!(
                %node,
                obeyed = fence.cluster.0,
                "a coordinator of another cluster is not obeyed while this one's runs are held; \
                 a node that is started anew follows it"
            ),
            Notice::Drain(true) => tracing::info!(%node, "an operator drains this node"),
            Notice::Drain(false) => tracing::info!(%node, "an operator takes this node back"),
            Notice::Abandoned(run) => {
                tracing::warn!(%node, %run, "the coordinator does not want this run: it ends");
            }
            Notice::NoRoom(run, reason) => tracing::error!(%node, %run, reason, "a run must end"),
            Notice::NotKept(run, error) => {
                tracing::error!(%node, %run, error, "a report could not be kept");
            }
        }
    }
}
