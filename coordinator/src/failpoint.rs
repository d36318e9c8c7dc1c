//! Places at which a test can have this process killed, as a power cut would.
//!
//! Only in debug builds. `CARILLON_FAILPOINT=name` kills at the first pass of that place,
//! `CARILLON_FAILPOINT=name:n` at the n-th. In release builds nothing of this exists.

/// A run's acceptance is decided, nothing of it is handed to the storage yet.
pub(crate) const BEFORE_RESERVE: &str = "before_reserve";
/// The storage thread is about to apply a commit of which a run is part.
pub(crate) const BEFORE_COMMIT_APPLY: &str = "before_commit_apply";
/// It was applied in memory, and not flushed.
pub(crate) const AFTER_COMMIT_APPLY: &str = "after_commit_apply";
/// A group is applied; its flush begins.
pub(crate) const BEFORE_FLUSH: &str = "before_flush";
/// A group is on disk; nobody knows it yet.
pub(crate) const AFTER_FLUSH: &str = "after_flush";
/// The acceptance is on disk; its answer is not sent.
pub(crate) const BEFORE_ACCEPT_ANSWER: &str = "before_accept_answer";
/// The acceptance was answered; no node was told to prepare.
pub(crate) const AFTER_ACCEPT_ANSWER: &str = "after_accept_answer";
/// RUNNING is decided; it is not stored.
pub(crate) const BEFORE_START: &str = "before_start";
/// RUNNING is on disk; the nodes were not told.
pub(crate) const AFTER_START: &str = "after_start";
/// A node's report (a second, an endpoint's end) came; nothing of it is stored.
pub(crate) const BEFORE_REPORT_STORE: &str = "before_report_store";
/// A report is written in memory, and not flushed.
pub(crate) const AFTER_REPORT_STORE: &str = "after_report_store";
/// A run's records are flushed; how far it is, is not written.
pub(crate) const BEFORE_CHECKPOINT: &str = "before_checkpoint";
/// How far a run is, is on disk; its nodes were not told.
pub(crate) const AFTER_CHECKPOINT: &str = "after_checkpoint";
/// The runs of an earlier coordinator are taken over; no node was asked yet.
pub(crate) const AFTER_ADOPT: &str = "after_adopt";
/// A node lost a run, which was stored; its slots are not freed.
pub(crate) const BEFORE_RELEASE: &str = "before_release";
/// The last report of a run came; its end is not decided.
pub(crate) const AFTER_LAST_REPORT: &str = "after_last_report";
/// End and settlement are decided; nothing of them is handed to the storage.
pub(crate) const BEFORE_SETTLE: &str = "before_settle";
/// End and settlement are on disk; nobody knows it yet.
pub(crate) const AFTER_SETTLE: &str = "after_settle";
/// A run's record is deleted on disk; its directory is still there.
pub(crate) const AFTER_DELETE_RECORD: &str = "after_delete_record";

/// All of them, for tests and for the message about a name that is none of them.
#[cfg(any(debug_assertions, test))]
pub(crate) const ALL: &[&str] = &[
    BEFORE_RESERVE,
    BEFORE_COMMIT_APPLY,
    AFTER_COMMIT_APPLY,
    BEFORE_FLUSH,
    AFTER_FLUSH,
    BEFORE_ACCEPT_ANSWER,
    AFTER_ACCEPT_ANSWER,
    BEFORE_START,
    AFTER_START,
    BEFORE_REPORT_STORE,
    AFTER_REPORT_STORE,
    BEFORE_CHECKPOINT,
    AFTER_CHECKPOINT,
    AFTER_ADOPT,
    BEFORE_RELEASE,
    AFTER_LAST_REPORT,
    BEFORE_SETTLE,
    AFTER_SETTLE,
    AFTER_DELETE_RECORD,
];

/// Kills this process with SIGKILL where the environment asks for it at this place.
#[cfg(debug_assertions)]
pub(crate) fn failpoint(name: &str) {
    #[cfg(test)]
    hook::pass(name);
    if asked::passes_last(name) {
        // Nothing is closed, flushed or told: that is the point.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal ends the whole process; this thread must not get further meanwhile.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: release builds have no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn failpoint(_name: &str) {}

/// Unit tests watch the places instead of dying at them.
#[cfg(all(test, debug_assertions))]
pub(crate) mod hook {
    use std::cell::RefCell;

    /// What a thread does at each place.
    pub(crate) type Hook = Box<dyn FnMut(&str)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Sets what this thread does at each place.
    pub(crate) fn set(hook: Hook) {
        HOOK.set(Some(hook));
    }

    pub(super) fn pass(name: &str) {
        HOOK.with_borrow_mut(|hook| {
            if let Some(hook) = hook {
                hook(name);
            }
        });
    }
}

#[cfg(debug_assertions)]
mod asked {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Where to kill, and at which pass of it, from 1.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Asked {
        pub(super) name: String,
        pub(super) pass: u64,
    }

    /// True at the pass that was asked for.
    pub(super) fn passes_last(name: &str) -> bool {
        static ASKED: OnceLock<Option<Asked>> = OnceLock::new();
        static PASSES: AtomicU64 = AtomicU64::new(0);
        let asked = ASKED.get_or_init(|| {
            let text = std::env::var("CARILLON_FAILPOINT").ok()?;
            let asked = parse(&text);
            if asked.is_none() {
                tracing::warn!(%text, known = ?super::ALL, "CARILLON_FAILPOINT names no failpoint");
            }
            asked
        });
        match asked {
            Some(asked) if asked.name == name => {
                PASSES.fetch_add(1, Ordering::Relaxed) + 1 == asked.pass
            }
            _ => false,
        }
    }

    /// `name` or `name:n`.
    pub(super) fn parse(text: &str) -> Option<Asked> {
        let (name, pass) = match text.split_once(':') {
            Some((name, pass)) => (name, pass.parse().ok().filter(|pass| *pass > 0)?),
            None => (text, 1),
        };
        super::ALL.contains(&name).then(|| Asked {
            name: name.to_owned(),
            pass,
        })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::asked::{Asked, parse};
    use super::*;

    #[test]
    fn only_known_places_are_taken() {
        let asked = |pass| Asked {
            name: BEFORE_FLUSH.to_owned(),
            pass,
        };
        assert_eq!(parse("before_flush"), Some(asked(1)));
        assert_eq!(parse("before_flush:12"), Some(asked(12)));
        for text in ["", "flush", "before_flush:0", "before_flush:x", ":1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let mut names = ALL.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(names.len() >= 12);
        // Nothing is asked for in unit tests: passing each of them kills nobody.
        for name in ALL {
            failpoint(name);
        }
    }
}
