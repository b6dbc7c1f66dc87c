//! What a probe changes in `status.activity`, and whether the Workspace is to be paused for it.

use std::time::Duration;

use crds::workspace::{
    ActivityProbeResult, ActivityProbeStatus, ActivityRulesStatus, PauseWorkspaceStatus, WorkspaceActivity,
};
use k8s_openapi::jiff::Timestamp;

use super::report::{Found, ProbeFailure, ProbeReport};
use super::rules::{Decision, RuleField, last_used};
use super::run::Run;

/// How long after its end a probe says that a Workspace is not in use: its user may be back since.
const FRESH: Duration = Duration::from_secs(30);
/// How much later than a second interval a probe may come that only says that nobody is active at this moment.
const LATE: Duration = Duration::from_secs(30);
/// Which share of the time that a rule demands may have passed unseen, whatever the interval.
const UNSEEN_SHARE: u32 = 8;

/// What the record of a probe follows from.
#[derive(Clone, Copy, Debug)]
pub struct ProbeFacts<'a> {
    /// `status.activity` as it is.
    pub held: &'a WorkspaceActivity,
    /// The newest activity in the run that a probe is known to have found, in milliseconds since 1970: it may not have been
    /// recorded. 0 where there is none.
    pub found_before: i64,
    /// The run that the probe was sent to.
    pub probed: &'a Run,
    /// The run of the container now, if it is running.
    pub current: Option<&'a Run>,
    /// The time between two probes.
    pub interval: Duration,
    /// What the probe found.
    pub report: &'a ProbeReport,
    /// What the rules decide now.
    pub decision: Option<&'a Decision>,
    /// The time now.
    pub now: Timestamp,
}

/// What follows from a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The Workspace goes on.
    Keep,
    /// It is to be paused.
    Pause(Pause),
    /// The probe was sent to another run of the container, so it says nothing.
    OfAnotherRun,
}

/// Why a Workspace is to be paused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause {
    /// The rule.
    pub rule: RuleField,
    /// For how long it was not active.
    pub idle: Duration,
    /// For how long it was running.
    pub running: Duration,
    /// When the probe ended.
    pub probed: Timestamp,
}

/// `status.activity` after a probe, and what follows from it.
///
/// A success moves `lastActivity` forward only, and to no time that is yet to come; a failure says nothing about activity.
/// Where none has succeeded for long and one only says that nobody is active at this moment, the Workspace counts as active until
/// now: what its user did meanwhile is not known ([`is_after_gap`]).
/// The Workspace is paused only for a successful probe that ended just now, of the run that is running, which found no
/// activity, after the time that the rule says.
pub fn record(facts: &ProbeFacts<'_>) -> (WorkspaceActivity, Verdict) {
    let &ProbeFacts { held, found_before, probed, current, report, decision, now, .. } = facts;
    if current != Some(probed) {
        return (held.clone(), Verdict::OfAnotherRun);
    }
    let mut activity = WorkspaceActivity { last_probe: Some(last_probe(report)), ..held.clone() };
    if let Ok(found) = report.result {
        let is_unknown = found == Found::Inactive && is_after_gap(facts);
        let found = if is_unknown { report.ended.as_millisecond() } else { report.last_activity() };
        let newest = activity.last_activity.max(found_before).max(found);
        activity.last_activity = newest.min(now.as_millisecond());
        activity.last_update = report.ended.as_millisecond();
    }
    activity.rules = rules(&activity, probed.running_since(), decision);
    let verdict = pause(&activity, facts).map_or(Verdict::Keep, Verdict::Pause);
    (activity, verdict)
}

/// Whether more time has passed than may be missed since the last probe that succeeded, or else since the run began: two
/// intervals, or an eighth of what the rule demands, so that a few probes that fail do not keep a Workspace running for a day more.
pub fn is_after_gap(facts: &ProbeFacts<'_>) -> bool {
    let &ProbeFacts { held, probed, interval, report, decision, .. } = facts;
    let known = if held.last_update == 0 { probed.running_since() } else { held.last_update };
    let unknown = report.ended.as_millisecond().saturating_sub(known);
    let unknown = Duration::from_millis(u64::try_from(unknown).unwrap_or_default());
    let demanded = decision.map_or(0, |decision| decision.seconds_since_active);
    let demanded = Duration::from_secs(u64::try_from(demanded).unwrap_or_default());
    unknown > interval.saturating_mul(2).saturating_add(LATE).max(demanded / UNSEEN_SHARE)
}

/// `status.activity.rules`: when the Workspace may be paused, as of the probe. Absent where no rule pauses it.
fn rules(activity: &WorkspaceActivity, running_since: i64, decision: Option<&Decision>) -> Option<ActivityRulesStatus> {
    let eligible_after = decision?.eligible_after(activity.last_activity, running_since)?;
    Some(ActivityRulesStatus { pause_workspace: Some(PauseWorkspaceStatus { eligible_after }) })
}

/// Why the Workspace is to be paused, if it is.
fn pause(activity: &WorkspaceActivity, facts: &ProbeFacts<'_>) -> Option<Pause> {
    let &ProbeFacts { probed, report, decision, now, .. } = facts;
    let since = probed.running_since();
    let decision = decision?;
    let eligible_after = decision.eligible_after(activity.last_activity, since)?;
    let found_nothing = matches!(report.result, Ok(Found::LastActive(_) | Found::Inactive));
    let is_fresh = is_fresh(report.ended, now);
    let now = now.as_millisecond();
    let ago = |time: i64| Duration::from_millis(u64::try_from(now.saturating_sub(time)).unwrap_or_default());
    (found_nothing && is_fresh && now >= eligible_after).then(|| Pause {
        rule: decision.rule,
        idle: ago(last_used(activity.last_activity, since)),
        running: ago(since),
        probed: report.ended,
    })
}

/// Whether a probe that ended then still says that nobody uses the Workspace. Where the clock has been set back since, how long
/// that was ago is not known.
pub fn is_fresh(ended: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(ended)).is_ok_and(|age| age <= FRESH)
}

fn last_probe(report: &ProbeReport) -> ActivityProbeStatus {
    let (result, message) = match &report.result {
        Ok(_) => (ActivityProbeResult::Success, String::new()),
        Err(failure @ ProbeFailure::Timeout) => (ActivityProbeResult::Timeout, failure.to_string()),
        Err(failure @ ProbeFailure::Failed(_)) => (ActivityProbeResult::Failure, failure.to_string()),
    };
    ActivityProbeStatus {
        start_time: report.started.as_millisecond(),
        end_time: report.ended.as_millisecond(),
        result: Some(result),
        message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const START: i64 = 1_800_000_000;

    /// A time, in seconds since the container started.
    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(START + second).unwrap()
    }

    fn millis(second: i64) -> i64 {
        (START + second) * 1000
    }

    fn run(pod: &str) -> Run {
        Run { pod: pod.into(), started: millis(0), since: millis(10), created: millis(-5) }
    }

    /// A probe of two seconds, which ended at that second.
    fn report(ended: i64, result: Result<Found, ProbeFailure>) -> ProbeReport {
        ProbeReport { started: at(ended - 2), ended: at(ended), result }
    }

    fn decision(pauses: bool) -> Decision {
        let rule = RuleField::ActivityRules(2);
        Decision { rule, pauses, seconds_since_active: 600, min_running_seconds: 300 }
    }

    fn held(last_activity: i64) -> WorkspaceActivity {
        let last_probe = Some(last_probe(&report(20, Ok(Found::Inactive))));
        WorkspaceActivity { last_activity, last_update: millis(20), last_probe, rules: None }
    }

    fn recorded(
        held: &WorkspaceActivity,
        report: &ProbeReport,
        decision: Option<&Decision>,
        now: Timestamp,
    ) -> (WorkspaceActivity, Verdict) {
        let run = run("a");
        let interval = Duration::from_hours(2);
        record(&ProbeFacts {
            held,
            found_before: 0,
            probed: &run,
            current: Some(&run),
            interval,
            report,
            decision,
            now,
        })
    }

    fn eligible_after(activity: &WorkspaceActivity) -> Option<i64> {
        Some(activity.rules.as_ref()?.pause_workspace.as_ref()?.eligible_after)
    }

    #[test]
    fn a_success_moves_the_last_activity_forward_and_never_past_now() {
        for (before, found, expected) in [
            (0, Found::Inactive, 0),
            (millis(50), Found::Inactive, millis(50)),
            (0, Found::ActiveNow, millis(100)),
            (millis(50), Found::ActiveNow, millis(100)),
            (0, Found::LastActive(at(70)), millis(70)),
            (millis(50), Found::LastActive(at(40)), millis(50)),
            (millis(50), Found::LastActive(at(5_000)), millis(101)),
            // The clock was ahead when it was stored.
            (millis(9_000), Found::Inactive, millis(101)),
            (millis(9_000), Found::LastActive(at(70)), millis(101)),
        ] {
            let report = report(100, Ok(found));
            let (activity, verdict) = recorded(&held(before), &report, None, at(101));
            assert_eq!(activity.last_activity, expected, "{before} {found:?}");
            assert_eq!(activity.last_update, millis(100));
            let probe = activity.last_probe.unwrap();
            assert_eq!((probe.start_time, probe.end_time), (millis(98), millis(100)));
            assert_eq!((probe.result, &*probe.message), (Some(ActivityProbeResult::Success), ""));
            assert_eq!((verdict, activity.rules), (Verdict::Keep, None));
        }
    }

    #[test]
    fn a_failure_says_nothing_about_activity() {
        let failed = ProbeFailure::Failed("HTTP status 403".to_owned());
        for (failure, result, message) in [
            (failed, ActivityProbeResult::Failure, "HTTP status 403"),
            (ProbeFailure::Timeout, ActivityProbeResult::Timeout, "the probe did not finish in time"),
        ] {
            let before = held(millis(50));
            let (activity, verdict) = recorded(&before, &report(9_000, Err(failure)), Some(&decision(true)), at(9_000));
            assert_eq!((activity.last_activity, activity.last_update), (before.last_activity, before.last_update));
            let probe = activity.last_probe.clone().unwrap();
            assert_eq!((probe.result, &*probe.message), (Some(result), message));
            assert_eq!(verdict, Verdict::Keep, "although it could have been paused since");
            assert_eq!(eligible_after(&activity), Some(millis(650)));
        }
    }

    #[test]
    fn it_is_paused_by_a_fresh_probe_that_finds_nothing_once_the_rule_allows() {
        let pause = |idle, running, ended| {
            let (idle, running) = (Duration::from_secs(idle), Duration::from_secs(running));
            Verdict::Pause(Pause { rule: RuleField::ActivityRules(2), idle, running, probed: at(ended) })
        };
        let pauses = decision(true);
        for (last_activity, found, ended, now, expected) in [
            (millis(50), Found::Inactive, 650, 650, pause(600, 640, 650)),
            (millis(50), Found::Inactive, 649, 649, Verdict::Keep),
            (millis(50), Found::Inactive, 649, 651, pause(601, 641, 649)),
            (millis(50), Found::LastActive(at(40)), 650, 650, pause(600, 640, 650)),
            (millis(50), Found::LastActive(at(60)), 650, 650, Verdict::Keep),
            (millis(50), Found::LastActive(at(60)), 660, 660, pause(600, 650, 660)),
            // Never seen active: from when it runs.
            (0, Found::Inactive, 610, 610, pause(600, 600, 610)),
            (0, Found::Inactive, 609, 609, Verdict::Keep),
            // Active before it ran, as of a file: from when it has been running long enough.
            (0, Found::LastActive(at(-5000)), 310, 310, pause(5310, 300, 310)),
            (0, Found::LastActive(at(-5000)), 309, 309, Verdict::Keep),
            // Busy, although that was recorded late.
            (millis(50), Found::ActiveNow, 9_000, 9_020, Verdict::Keep),
            // What was found is old, or its age is not known.
            (millis(50), Found::Inactive, 9_000, 9_030, pause(8980, 9020, 9_000)),
            (millis(50), Found::Inactive, 9_000, 9_031, Verdict::Keep),
            (millis(50), Found::Inactive, 9_000, 8_999, Verdict::Keep),
        ] {
            let (_, verdict) = recorded(&held(last_activity), &report(ended, Ok(found)), Some(&pauses), at(now));
            assert_eq!(verdict, expected, "{last_activity} {found:?} {ended} {now}");
        }
        for decision in [None, Some(&decision(false))] {
            let (activity, verdict) = recorded(&held(0), &report(9_000, Ok(Found::Inactive)), decision, at(9_000));
            assert_eq!((eligible_after(&activity), verdict), (None, Verdict::Keep));
        }
    }

    #[test]
    fn a_time_in_which_probes_were_missed_does_not_count_as_idle() {
        let run = run("a");
        let found = |last_update: i64, found, ended| {
            let held = WorkspaceActivity { last_update, ..held(millis(50)) };
            let (interval, report) = (Duration::from_mins(10), report(ended, Ok(found)));
            let (decision, now) = (Some(&decision(true)), at(ended));
            let (activity, verdict) = record(&ProbeFacts {
                held: &held,
                found_before: 0,
                probed: &run,
                current: Some(&run),
                interval,
                report: &report,
                decision,
                now,
            });
            (activity.last_activity, verdict == Verdict::Keep)
        };
        // Two intervals are 1,200 s; it has been running since second 10.
        for (last_update, ended, expected) in [
            (millis(1_000), 2_230, (millis(50), false)),
            (millis(1_000), 2_231, (millis(2_231), true)),
            (0, 1_240, (millis(50), false)),
            (0, 1_241, (millis(1_241), true)),
            // The clock has been set back since.
            (millis(9_000), 2_231, (millis(50), false)),
        ] {
            assert_eq!(found(last_update, Found::Inactive, ended), expected, "{last_update} {ended}");
        }
        // One that says when it was active knows of all that time.
        assert_eq!(found(millis(1_000), Found::LastActive(at(60)), 9_000), (millis(60), false));
    }

    #[test]
    fn a_few_probes_that_fail_do_not_hold_up_a_long_rule() {
        let run = run("a");
        let day = Decision { seconds_since_active: 86_400, ..decision(true) };
        let gap = |interval, ended| {
            is_after_gap(&ProbeFacts {
                held: &held(0),
                found_before: 0,
                probed: &run,
                current: None,
                interval,
                report: &report(ended, Ok(Found::Inactive)),
                decision: Some(&day),
                now: at(ended),
            })
        };
        // The last success was at second 20.
        assert!(!gap(Duration::from_mins(1), 20 + 10_800));
        assert!(gap(Duration::from_mins(1), 20 + 10_801));
        assert!(!gap(Duration::from_hours(2), 20 + 14_430));
    }

    #[test]
    fn what_was_found_before_counts_although_it_was_not_recorded() {
        let run = run("a");
        let last_activity = |found_before, found| {
            let (activity, _) = record(&ProbeFacts {
                held: &held(millis(50)),
                found_before,
                probed: &run,
                current: Some(&run),
                interval: Duration::from_hours(2),
                report: &report(100, Ok(found)),
                decision: None,
                now: at(100),
            });
            activity.last_activity
        };
        assert_eq!(last_activity(millis(70), Found::Inactive), millis(70));
        assert_eq!(last_activity(millis(40), Found::Inactive), millis(50));
        assert_eq!(last_activity(millis(70), Found::LastActive(at(80))), millis(80));
        assert_eq!(last_activity(millis(700), Found::Inactive), millis(100), "the clock was ahead");
    }

    #[test]
    fn a_node_whose_clock_is_behind_pauses_nothing_too_soon() {
        let run = Run { since: millis(-7_200), created: millis(5), ..run("a") };
        for (ended, pauses) in [(604, false), (605, true)] {
            let (activity, verdict) = record(&ProbeFacts {
                held: &WorkspaceActivity::default(),
                found_before: 0,
                probed: &run,
                current: Some(&run),
                interval: Duration::from_mins(10),
                report: &report(ended, Ok(Found::Inactive)),
                decision: Some(&decision(true)),
                now: at(ended),
            });
            assert_eq!((eligible_after(&activity), verdict != Verdict::Keep), (Some(millis(605)), pauses), "{ended}");
        }
    }

    #[test]
    fn a_probe_of_another_run_changes_nothing() {
        let report = report(9_000, Ok(Found::Inactive));
        let before = held(millis(50));
        let later = Run { started: millis(8_999), since: millis(9_000), ..run("a") };
        for current in [None, Some(run("b")), Some(later)] {
            let facts = ProbeFacts {
                held: &before,
                found_before: 0,
                probed: &run("a"),
                current: current.as_ref(),
                interval: Duration::from_mins(5),
                report: &report,
                decision: Some(&decision(true)),
                now: at(9_000),
            };
            assert_eq!(record(&facts), (before.clone(), Verdict::OfAnotherRun));
        }
    }
}
