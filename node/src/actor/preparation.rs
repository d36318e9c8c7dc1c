//! A run's way to being ready: files and limits on a thread of its own, then sockets and names on
//! every shard, then one answer with every problem.

use std::sync::Arc;
use std::time::Instant;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use shared::id::RunId;
use shared::wire::{Desired, Problem};

use super::live_run::LiveRun;
use super::node::NodeActor;
use super::plan::RunPlan;
use super::prepare::{Prepared, prepare};
use super::shard::Prepare;
use crate::core::desired::StopKind;
use crate::core::layout::lay_out;
use crate::core::meter::Meter;
use crate::core::node::RunEvent;
use crate::net::egress::Egress;

impl NodeActor {
    pub(super) fn prepare(&mut self, context: &mut Context<Self>, mut desired: Desired) {
        self.measuring.break_off();
        self.next_number = (self.next_number + 1) & 0x0fff;
        let number = self.next_number;
        let sources = self.shards.len() + self.engine.threads();
        let count = desired.test.endpoint_count();
        let meter = Meter::new(
            desired.run,
            self.config.node.clone(),
            desired.epoch,
            sources,
            count,
        );
        let live = LiveRun {
            number,
            meter,
            base: None,
            grid: Instant::now(),
            shards_open: vec![true; self.shards.len()],
            over_since: None,
            last_media_second: None,
            endpoints: desired.shares.iter().map(|share| share.count).sum(),
            over_told: false,
            stopped: false,
        };
        self.runs.insert(desired.run, live);
        let config = self.config.clone();
        let media = self.engine.shard(0);
        let shards = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let run = desired.run;
        let key = self.seal_key.clone();
        let work = tokio::task::spawn_blocking(move || {
            let opened = key.open(&mut desired);
            let address = Some(config.address);
            let free = |local| media.as_ref().map_or(0, |media| media.free_ports(local));
            let mut prepared = prepare(&desired, address, &config, shards, free);
            if let Err(error) = opened {
                let sentence = format!(
                    "Node `{}` cannot read the run's SIP passwords: {error}; start the test again.",
                    config.node
                );
                let problem = Problem::new("passwords_unreadable", sentence);
                prepared.problems.push(problem);
            }
            (desired, prepared)
        });
        let done = work
            .into_actor(self)
            .map(move |result, node, context| match result {
                Ok((desired, prepared)) => node.prepare_shards(context, desired, prepared, number),
                Err(error) => {
                    let sentence = format!("the preparation broke off: {error}");
                    let problem = Problem::new("internal", sentence);
                    node.answer_prepared(context, run, vec![problem]);
                }
            });
        context.spawn(done);
    }

    fn prepare_shards(
        &mut self,
        context: &mut Context<Self>,
        desired: Desired,
        prepared: Prepared,
        number: u16,
    ) {
        let run = desired.run;
        if self.runs.get(&run).is_none_or(|live| live.stopped) {
            // The stop overtook the preparation: the shards never knew of the run.
            self.not_begun(context, run);
            return;
        }
        if !prepared.problems.is_empty() {
            self.answer_prepared(context, run, prepared.problems);
            return;
        }
        let layout = lay_out(&desired.test, &desired.shares, self.shards.len());
        let plan = Arc::new(RunPlan {
            run,
            number,
            node: self.config.node.clone(),
            egress: Arc::new(Egress::new(&desired.test.allow_targets)),
            locals: prepared.locals,
            clips: prepared.clips,
            clock_domain: self.clock_domain.clone(),
            seed: run.0,
            shares: desired.shares,
            test: desired.test,
        });
        let shards = self.shards.clone();
        let former = self.former.clone();
        let answers = async move {
            // Former calls may still be ended from the ports that this run wants.
            former.over().await;
            let asked: Vec<_> = shards
                .iter()
                .zip(layout)
                .map(|(shard, parts)| {
                    shard.send(Prepare {
                        plan: Arc::clone(&plan),
                        parts,
                    })
                })
                .collect();
            let mut problems = Vec::new();
            for answer in asked {
                match answer.await {
                    Ok(found) => problems.extend(found),
                    Err(error) => problems.push(Problem {
                        code: "shard_gone".to_owned(),
                        sentence: format!("a signalling thread does not answer: {error}"),
                        limit: None,
                    }),
                }
            }
            problems
        };
        let done = answers
            .into_actor(self)
            .map(move |mut problems, node, context| {
                problems.sort_by(|a, b| (&a.code, &a.sentence).cmp(&(&b.code, &b.sentence)));
                problems.dedup();
                node.answer_prepared(context, run, problems);
            });
        context.spawn(done);
    }

    fn answer_prepared(&mut self, context: &mut Context<Self>, run: RunId, problems: Vec<Problem>) {
        // A stop that came before the shards knew of the run found nothing there.
        let stopped = self.runs.get(&run).is_some_and(|live| live.stopped);
        if stopped || !problems.is_empty() {
            self.stop_run(run, StopKind::Whole);
        }
        if !problems.is_empty()
            && let Some(live) = self.runs.get_mut(&run)
        {
            live.over_told = true;
        }
        self.of_run(context, run, RunEvent::Prepared(problems));
    }

    /// A run of which nothing was ever here is over.
    fn not_begun(&mut self, context: &mut Context<Self>, run: RunId) {
        if let Some(live) = self.runs.get_mut(&run) {
            live.over_told = true;
        }
        self.of_run(context, run, RunEvent::Over);
    }
}
