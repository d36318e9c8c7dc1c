//! The limits of a plan, and every one that a run would exceed.
//!
//! Source: PRODUCT §4 and §7: the limit, its value, what is in use, what was asked, and when it may
//! free up.

use shared::api;
use shared::definition::Test;
use shared::result::LimitDetail;
use shared::units::Millis;
use shared::wire::Problem;

use super::plan::Plan;

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Runs at once in one project; none: as many as in the organization.
    pub(crate) runs_per_project: Option<u32>,
    /// Runs at once in the organization.
    pub(crate) runs: u32,
    /// Endpoints over all running runs.
    pub(crate) endpoints: u32,
    /// Endpoints of one run.
    pub(crate) endpoints_per_run: u32,
    /// Longest duration.
    pub(crate) duration_max: Millis,
    /// False for the command line's own runs: nothing is paid.
    pub(crate) credits: bool,
}

impl Limits {
    /// Those of a stored plan. One whose duration cannot be read allows no duration at all.
    pub(crate) fn of(plan: &api::Plan) -> Self {
        Self {
            runs_per_project: Some(plan.concurrent_runs_per_project),
            runs: plan.concurrent_runs_per_organization,
            endpoints: plan.concurrent_endpoints,
            endpoints_per_run: plan.endpoints_per_run,
            duration_max: Millis::parse(&plan.duration_max).unwrap_or(Millis(0)),
            credits: true,
        }
    }

    /// Those of the command line's own runs.
    pub(crate) fn local(plan: &Plan) -> Self {
        Self {
            runs_per_project: None,
            runs: plan.concurrent_runs,
            endpoints: plan.concurrent_endpoints,
            endpoints_per_run: plan.endpoints_per_run,
            duration_max: plan.duration_max,
            credits: false,
        }
    }
}

/// What a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Endpoints.
    pub(crate) endpoints: u32,
    /// How long.
    pub(crate) duration: Millis,
}

impl Wanted {
    /// What a test asks for.
    pub(crate) fn of(test: &Test) -> Self {
        Self {
            endpoints: test.endpoint_count(),
            duration: test.duration,
        }
    }

    /// What it reserves, in endpoint-milliseconds.
    pub(crate) fn estimate(self) -> u64 {
        u64::from(self.endpoints).saturating_mul(self.duration.0)
    }
}

/// What is in use, and what ends when.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse {
    /// Live runs of the project.
    pub(crate) project_runs: u32,
    /// Live runs of the organization.
    pub(crate) runs: u32,
    /// Their endpoints.
    pub(crate) endpoints: u32,
    /// Endpoint-milliseconds that are free.
    pub(crate) available: u64,
    /// Endpoint-milliseconds that live runs hold.
    pub(crate) reserved: u64,
    /// Planned ends of the live runs: milliseconds since 1970, endpoints, whether in the project.
    pub(crate) ends: Vec<(u64, u32, bool)>,
}

impl InUse {
    /// When `enough` of what ends has ended, by plan. `weigh` says how much a run gives back.
    fn free_at(&self, enough: u64, weigh: impl Fn(&(u64, u32, bool)) -> u64) -> Option<u64> {
        let mut ends: Vec<&(u64, u32, bool)> = self.ends.iter().collect();
        ends.sort();
        let mut given = 0;
        ends.into_iter().find_map(|end| {
            given += weigh(end);
            (given >= enough).then_some(end.0)
        })
    }
}

/// Every limit that `wanted` would exceed.
pub(crate) fn exceeded(limits: &Limits, used: &InUse, wanted: Wanted) -> Vec<Problem> {
    let mut problems = Vec::new();
    of_one_run(limits, wanted, &mut problems);
    slots(limits, used, &mut problems);
    let asked = u64::from(wanted.endpoints);
    let (limit, in_use) = (u64::from(limits.endpoints), u64::from(used.endpoints));
    if in_use.saturating_add(asked) > limit {
        let over = (in_use + asked).saturating_sub(limit);
        problems.push(limited(
            "plan_concurrent_endpoints",
            "concurrent_endpoints",
            (limit, in_use, asked),
            used.free_at(over, |end| u64::from(end.1)).filter(|_| asked <= limit),
            format!(
                "The plan allows {limit} endpoints over all running runs; {in_use} are in use and {asked} were asked for; wait for a run to end."
            ),
        ));
    }
    let estimate = wanted.estimate();
    if limits.credits && estimate > used.available {
        let credits = |endpoint_ms: u64| api::Credits::new(endpoint_ms).credits;
        let possible = used.available.saturating_add(used.reserved) >= estimate;
        problems.push(limited(
            "credits",
            "credits",
            (
                used.available.saturating_add(used.reserved),
                used.reserved,
                estimate,
            ),
            used.free_at(1, |_| 1).filter(|_| possible),
            format!(
                "The run would reserve {:.3} credits (endpoints × minutes); {:.3} are available and {:.3} are held by runs that have not ended. Ask the operator for credits, or use fewer endpoints or a shorter duration.",
                credits(estimate),
                credits(used.available),
                credits(used.reserved)
            ),
        ));
    }
    problems
}

fn of_one_run(limits: &Limits, wanted: Wanted, problems: &mut Vec<Problem>) {
    let (allowed, asked) = (limits.endpoints_per_run, wanted.endpoints);
    if asked > allowed {
        problems.push(limited(
            "plan_endpoints_per_run",
            "endpoints_per_run",
            (u64::from(allowed), 0, u64::from(asked)),
            None,
            format!("The plan allows {allowed} endpoints in a run; {asked} were asked for."),
        ));
    }
    let (allowed, asked) = (limits.duration_max, wanted.duration);
    if asked > allowed {
        problems.push(limited(
            "plan_duration",
            "duration_ms",
            (allowed.0, 0, asked.0),
            None,
            format!("The plan allows runs of {allowed}; {asked} were asked for."),
        ));
    }
}

fn slots(limits: &Limits, used: &InUse, problems: &mut Vec<Problem>) {
    if let Some(limit) = limits.runs_per_project
        && used.project_runs >= limit
    {
        let in_use = used.project_runs;
        problems.push(limited(
            "plan_concurrent_runs_per_project",
            "concurrent_runs_per_project",
            (u64::from(limit), u64::from(in_use), 1),
            used.free_at(u64::from(in_use - limit) + 1, |end| u64::from(end.2))
                .filter(|_| limit > 0),
            format!(
                "The plan allows {limit} runs at once in a project and {in_use} are live; wait for one to end or stop it."
            ),
        ));
    }
    let (limit, in_use) = (limits.runs, used.runs);
    if in_use >= limit {
        problems.push(limited(
            "plan_concurrent_runs_per_organization",
            "concurrent_runs_per_organization",
            (u64::from(limit), u64::from(in_use), 1),
            used.free_at(u64::from(in_use - limit) + 1, |_| 1)
                .filter(|_| limit > 0),
            format!(
                "The plan allows {limit} runs at once and {in_use} are live; wait for one to end or stop it."
            ),
        ));
    }
}

/// A problem about a limit: `(limit, in use, asked)`.
pub(crate) fn limited(
    code: &str,
    name: &str,
    (limit, in_use, asked): (u64, u64, u64),
    may_free_at_unix_ms: Option<u64>,
    sentence: String,
) -> Problem {
    Problem {
        code: code.to_owned(),
        sentence,
        limit: Some(LimitDetail {
            name: name.to_owned(),
            limit,
            in_use,
            asked,
            may_free_at_unix_ms,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            runs_per_project: Some(1),
            runs: 2,
            endpoints: 100,
            endpoints_per_run: 50,
            duration_max: Millis(60_000),
            credits: true,
        }
    }

    #[test]
    fn every_limit_is_named_at_once_with_its_figures() {
        let used = InUse {
            project_runs: 1,
            runs: 2,
            endpoints: 80,
            available: 1_000,
            reserved: 10_000_000,
            ends: vec![(9_000, 60, false), (5_000, 20, true)],
        };
        let wanted = Wanted {
            endpoints: 60,
            duration: Millis(61_000),
        };
        let found: Vec<(String, LimitDetail)> = exceeded(&limits(), &used, wanted)
            .into_iter()
            .map(|problem| (problem.code, problem.limit.unwrap()))
            .collect();
        let figures: Vec<_> = found
            .iter()
            .map(|(code, l)| {
                (
                    code.as_str(),
                    l.limit,
                    l.in_use,
                    l.asked,
                    l.may_free_at_unix_ms,
                )
            })
            .collect();
        assert_eq!(
            figures,
            [
                ("plan_endpoints_per_run", 50, 0, 60, None),
                ("plan_duration", 60_000, 0, 61_000, None),
                ("plan_concurrent_runs_per_project", 1, 1, 1, Some(5_000)),
                (
                    "plan_concurrent_runs_per_organization",
                    2,
                    2,
                    1,
                    Some(5_000)
                ),
                ("plan_concurrent_endpoints", 100, 80, 60, Some(9_000)),
                ("credits", 10_001_000, 10_000_000, 3_660_000, Some(5_000)),
            ]
        );
    }

    #[test]
    fn what_just_fits_is_allowed_and_what_never_fits_frees_up_never() {
        let used = InUse {
            available: 3_000_000,
            endpoints: 50,
            runs: 1,
            ends: vec![(7, 50, false)],
            ..InUse::default()
        };
        let wanted = |endpoints| Wanted {
            endpoints,
            duration: Millis(60_000),
        };
        assert_eq!(exceeded(&limits(), &used, wanted(50)), []);
        let mut wide = limits();
        wide.endpoints_per_run = 1_000;
        let problems = exceeded(&wide, &used, wanted(101));
        assert!(
            problems
                .iter()
                .all(|p| p.limit.as_ref().unwrap().may_free_at_unix_ms.is_none())
        );
        assert_eq!(problems.len(), 2, "endpoints and credits");
        wide.credits = false;
        assert_eq!(exceeded(&wide, &used, wanted(101)).len(), 1);
    }

    #[test]
    fn the_command_line_keeps_its_own_plan_and_pays_nothing() {
        let limits = Limits::local(&Plan::default());
        assert_eq!((limits.runs_per_project, limits.credits), (None, false));
        assert_eq!((limits.runs, limits.endpoints), (16, 200_000));
    }
}
