//! Exit codes, PRODUCT §8.

use std::process::ExitCode;

use shared::result::Verdict;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0.
    Passed,
    /// 1: the run ended FAILED or CANNOT_RUN_FOR_NOW, or the program could not do its work.
    Failed,
    /// 2: bad arguments or a bad test file.
    BadInput,
    /// 98: the generator was saturated, so the result is not valid.
    Saturated,
    /// 99: a threshold was crossed.
    ThresholdCrossed,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::Saturated => 98,
            Self::ThresholdCrossed => 99,
            Self::Interrupted => 130,
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Failed => Self::Failed,
            Verdict::Invalid => Self::Saturated,
            Verdict::ThresholdCrossed => Self::ThresholdCrossed,
            Verdict::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
