//! How runs begin: from a saved test through the API, or from a test file of the command line.

use std::sync::Arc;

use actix::{AsyncContext, Handler, Message, MessageResult};
use sha2::{Digest, Sha256};
use shared::api::{Checked, Credits};
use shared::definition::{Media, Test};
use shared::id::RunId;
use tokio::sync::oneshot;

use super::coordinator::{CoordinatorActor, now};
use super::live_run::{LiveRun, Started, Waiting};
use crate::core::limits::{Limits, Wanted};
use crate::core::record::{LOCAL, RunRecord};
use crate::core::request::{Assembled, StartRequest};
use crate::core::roster::Roster;
use crate::core::run::{Backlog, Frozen, Input, Run};
use crate::core::validate::{Context, validate};
use crate::handle::RequestError;
use crate::live::Shown;

/// Start a run.
#[derive(Message)]
#[rtype(result = "Begun")]
pub(crate) struct StartRun {
    /// What.
    pub(crate) request: Box<StartRequest>,
    /// The frozen document as it is stored.
    pub(crate) document: Arc<str>,
    /// Makes the id differ from others of the same millisecond.
    pub(crate) random: u32,
}

/// A run that is being started.
pub(crate) struct Begun {
    /// Which.
    pub(crate) run: RunId,
    /// How that goes.
    pub(crate) answer: oneshot::Receiver<Started>,
}

/// Submit a test of the command line as a new run.
#[derive(Message)]
#[rtype(result = "(RunId, oneshot::Receiver<Started>)")]
pub(crate) struct Submit {
    /// The test; frozen from now on.
    pub(crate) test: Test,
    /// Makes the id differ from others of the same millisecond.
    pub(crate) random: u32,
}

/// What speaks against a run now.
#[derive(Message)]
#[rtype(result = "Checked")]
pub(crate) struct Check(pub(crate) Box<StartRequest>);

/// What a new run is made of.
struct New {
    record: RunRecord,
    limits: Limits,
    assembled: Assembled,
    document: Option<Arc<str>>,
    waiting: Waiting,
}

impl Handler<StartRun> for CoordinatorActor {
    type Result = MessageResult<StartRun>;

    fn handle(&mut self, start: StartRun, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        let request = *start.request;
        if let Some(known) = request.id.and_then(|id| self.runs.get_mut(&id)) {
            // The same request again, while the first one is on its way.
            known.waiting.push(Waiting {
                any_status: false,
                answer,
            });
            let stored = self.control.runs().find(known.record.id);
            if let Some(stored) = stored {
                known.answer(&stored);
            }
            let run = known.record.id;
            return MessageResult(Begun {
                run,
                answer: answered,
            });
        }
        if let Some(known) = request.id.and_then(|id| self.control.runs().find(id)) {
            let run = known.id;
            let _ = answer.send(Ok(known));
            return MessageResult(Begun {
                run,
                answer: answered,
            });
        }
        let id = request.id.unwrap_or_else(|| self.fresh(start.random));
        if self.closing.is_some() {
            let _ = answer.send(Err(RequestError::ShuttingDown));
            return MessageResult(Begun {
                run: id,
                answer: answered,
            });
        }
        let test = &request.assembled.test;
        let record = RunRecord {
            id,
            organization: request.organization,
            project: request.project,
            test: request.test_id,
            test_revision: request.test_revision,
            test_name: request.test_name,
            label: request.label,
            rerun_of: request.rerun_of,
            started_by: request.started_by,
            ..RunRecord::blank(id, test)
        };
        let limits = Limits::of(&request.plan);
        self.begin(
            New {
                record,
                limits,
                assembled: request.assembled,
                document: Some(start.document),
                waiting: Waiting {
                    any_status: false,
                    answer,
                },
            },
            context,
        );
        MessageResult(Begun {
            run: id,
            answer: answered,
        })
    }
}

impl Handler<Submit> for CoordinatorActor {
    type Result = MessageResult<Submit>;

    fn handle(&mut self, submit: Submit, context: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        let id = self.fresh(submit.random);
        if self.closing.is_some() {
            let _ = answer.send(Err(RequestError::ShuttingDown));
            return MessageResult((id, answered));
        }
        let record = RunRecord::blank(id, &submit.test);
        self.begin(
            New {
                record,
                limits: Limits::local(&self.plan),
                assembled: Assembled {
                    test: submit.test,
                    document: serde_json::Value::Null,
                    pools: Vec::new(),
                    problems: Vec::new(),
                },
                document: None,
                waiting: Waiting {
                    any_status: true,
                    answer,
                },
            },
            context,
        );
        MessageResult((id, answered))
    }
}

impl Handler<Check> for CoordinatorActor {
    type Result = MessageResult<Check>;

    fn handle(&mut self, check: Check, _: &mut Self::Context) -> Self::Result {
        let request = *check.0;
        let mut test = request.assembled.test.clone();
        let wanted = Wanted::of(&test);
        let owner = (request.organization, request.project);
        let allowed = Limits::of(&request.plan);
        let assembled = &request.assembled;
        let (picked, weighed) = self.weigh_for(owner, &allowed, &test, &assembled.pools);
        let mut limits = assembled.problems.clone();
        limits.extend(weighed);
        let groups: Vec<u16> = picked.groups.iter().map(|(group, _)| *group).collect();
        for (group, accounts) in picked.groups {
            if let Some(group) = test.groups.get_mut(usize::from(group)) {
                group.accounts = accounts;
            }
        }
        let context = Context {
            limits,
            picked: &groups,
            nodes: &self.nodes,
            missing_media: &missing_media(&test),
        };
        let problems = validate(now().instant, &test, context);
        MessageResult(Checked {
            can_run: problems.is_empty(),
            problems,
            estimate: Credits::new(wanted.estimate()),
        })
    }
}

impl CoordinatorActor {
    fn fresh(&self, random: u32) -> RunId {
        let mut id = RunId::new(now().unix_ms, random);
        while self.runs.contains_key(&id) || self.control.runs().find(id).is_some() {
            id = RunId(id.0.wrapping_add(1));
        }
        id
    }

    /// PENDING; and where a node is known, all that follows up to the first commit.
    fn begin(&mut self, new: New, context: &mut actix::Context<Self>) {
        self.forget_the_ended();
        let (id, at) = (new.record.id, now());
        let is_local = new.record.organization == LOCAL;
        let missing_media = missing_media(&new.assembled.test);
        let mut record = new.record;
        record.created_unix_ms = at.unix_ms;
        let core = Run::new(
            at,
            Frozen {
                id,
                epoch: self.epoch,
                test: new.assembled.test,
                missing_media,
            },
        );
        let live = LiveRun {
            core: Some(core),
            record,
            shown: None,
            test: None,
            limits: new.limits,
            pools: new.assembled.pools,
            found: new.assembled.problems,
            document: new.document,
            backlog: Backlog::default(),
            is_stored: false,
            has_ended: false,
            waiting: vec![new.waiting],
            parked: Vec::new(),
        };
        self.runs.insert(id, live);
        let address = context.address().downgrade();
        self.admit(id);
        let Some(live) = self.runs.get_mut(&id) else {
            return;
        };
        // Who is refused at once leaves nothing to watch: ten thousand may be, at one instant.
        if is_local || !live.status().is_terminal() {
            let test = live.core.as_ref().map(Run::test);
            if let Some(test) = test {
                let shown = Arc::new(Shown::new(Roster::new(test)));
                self.board.put(id, Arc::clone(&shown));
                live.shown = Some(shown);
            }
        } else {
            live.take_outputs();
            live.core = None;
            live.pools = Vec::new();
            live.document = None;
        }
        self.drive(id, Input::Wake, &address);
        self.perform(id, &address);
    }
}

/// The name under which a frozen document is stored.
pub(super) fn digest(document: &str) -> [u8; 32] {
    Sha256::digest(document.as_bytes()).into()
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
