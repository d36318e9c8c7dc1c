//! Why a coordinator did not do what was asked, as a person reads it.

use std::fmt;

use shared::api::ProblemDocument;

use crate::exit::Exit;
use crate::screen::figure::printable;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The coordinator said no, and why.
    Problem(Box<ProblemDocument>),
    /// It does not answer.
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        why: String,
    },
    /// Something else answers there.
    Strange {
        /// Where.
        address: String,
        /// What came.
        what: String,
    },
}

impl ApiError {
    /// Whether what was handed over is wrong, rather than the way there or the state.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) if matches!(problem.status, 400 | 413 | 415 | 422) => {
                Exit::BadInput
            }
            _ => Exit::Failed,
        }
    }

    /// The problem's status; none where there is no problem document.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => {
                write!(f, "{}", printable(&problem.detail))?;
                for error in &problem.errors {
                    let (field, detail) = (printable(&error.field), printable(&error.detail));
                    write!(f, "\n  {field}: {detail}")?;
                }
                if problem.status == 401 {
                    write!(f, "\n  log in with a valid key: carillon login")?;
                }
                Ok(())
            }
            Self::Unreachable { address, why } => {
                write!(
                    f,
                    "{address} does not answer: {why}; does `carillon coordinator` run there?"
                )
            }
            Self::Strange { address, what } => {
                write!(
                    f,
                    "{address} does not answer as a coordinator does: {}",
                    printable(what)
                )
            }
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use shared::api::FieldProblem;

    use super::*;

    #[test]
    fn a_problem_shows_all_its_parts_without_control_characters() {
        let problem = ProblemDocument {
            status: 422,
            detail: "2 fields are not valid".to_owned(),
            errors: vec![FieldProblem {
                field: "groups.callers.codecs[1]".to_owned(),
                code: "unknown".to_owned(),
                detail: "`G7\u{1b}[31m` is no codec".to_owned(),
            }],
            ..ProblemDocument::default()
        };
        let error = ApiError::Problem(Box::new(problem));
        let text = error.to_string();
        for expected in [
            "2 fields are not valid",
            "\n  groups.callers.codecs[1]: `G7[31m` is no codec",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
        assert_eq!(error.exit(), Exit::BadInput);
    }
}
