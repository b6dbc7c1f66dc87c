//! When the activity of a Workspace is probed next.
//!
//! What has to pass since the last probe is counted by the monotonic clock, as far as this process started it: a clock that is
//! set back delays no probe, and one that is set forward brings none earlier.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crds::workspace::{ActivityProbeResult, ActivityProbeStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Probes of many Workspaces that are due at once start no closer to each other than this, unless that is not often enough.
const SPACING_MAX: Duration = Duration::from_secs(1);
/// And no closer than this: what a kind asks for may be more than an API server bears, which has an exec and a write for each.
const SPACING_MIN: Duration = Duration::from_millis(20);
/// How many probes may start for each that is due on average: what is left to catch up with those that are late.
const CATCH_UP: f64 = 1.25;

/// What follows from the kind, the status and the last probe of a Workspace that is running.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleFacts<'a> {
    /// The time between two probes.
    pub interval: Duration,
    /// The minimum time between the starts of two probes, not more than `interval`.
    pub min_interval: Duration,
    /// The uid of the Workspace.
    pub uid: &'a str,
    /// How long it has been running; `None` if that is yet to begin, as a clock that was set back leaves it.
    pub running: Option<Duration>,
    /// The last probe, whichever run it was sent to.
    pub last: Option<LastProbe>,
    /// In how long the Workspace may be paused, negative if it may already; `None` where no rule pauses it.
    pub eligible_in: Option<SignedDuration>,
}

/// The last probe of a Workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastProbe {
    /// How long ago it started.
    pub started: Duration,
    /// How long ago it ended.
    pub ended: Duration,
    /// What came of it.
    pub outcome: LastOutcome,
}

/// What came of the last probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastOutcome {
    /// It was sent to another run of the container.
    OfAnotherRun,
    /// It succeeded.
    Succeeded,
    /// It failed or timed out, and so did those just before it.
    Failed {
        /// How many in a row, from 1.
        times: u32,
    },
}

impl LastProbe {
    /// The probe that the status records, which another process may have sent. One in the future counts as one just now: a
    /// clock has been set back.
    pub fn recorded(status: &ActivityProbeStatus, now: Timestamp) -> Self {
        let ago = |time: i64| {
            let milliseconds = now.as_millisecond().saturating_sub(time);
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
        };
        let outcome = match status.result {
            Some(ActivityProbeResult::Success) => LastOutcome::Succeeded,
            Some(ActivityProbeResult::Failure | ActivityProbeResult::Timeout) | None => {
                LastOutcome::Failed { times: 1 }
            }
        };
        Self { started: ago(status.start_time), ended: ago(status.end_time), outcome }
    }
}

/// In how long the next probe is due; zero if it is now.
///
/// - The first one of a run within the minimum interval, at a time that depends on the uid, so that a thousand that start at
///   once are not probed at once.
/// - After a success at the interval, but once earlier, when the Workspace may be paused: it is paused only by a fresh probe.
/// - After a failure at the minimum interval, and twice as long after each further one, up to the interval.
/// - Never within the minimum interval of the start of the last one.
pub fn due_in(facts: &ScheduleFacts<'_>) -> Duration {
    let ScheduleFacts { interval, min_interval, uid, running, last, eligible_in } = *facts;
    // What a probe records lets the reconcile correct a time that is yet to come.
    let first = running.map_or(Duration::ZERO, |running| spread(uid, min_interval).saturating_sub(running));
    let Some(LastProbe { started, ended, outcome }) = last else { return first };
    let wanted = match outcome {
        LastOutcome::OfAnotherRun => first,
        LastOutcome::Succeeded => {
            let regular = pause(Some(outcome), interval, min_interval).saturating_sub(started);
            // If it could have been paused by the last probe, and was not, then not by one that comes earlier.
            let ended = SignedDuration::try_from(ended).unwrap_or(SignedDuration::MAX);
            let eligible = eligible_in.filter(|eligible| eligible.saturating_add(ended).is_positive());
            let eligible = eligible.map(|eligible| eligible.max(SignedDuration::ZERO).unsigned_abs());
            eligible.map_or(regular, |eligible| eligible.min(regular))
        }
        LastOutcome::Failed { .. } => pause(Some(outcome), interval, min_interval).saturating_sub(started),
    };
    wanted.max(min_interval.saturating_sub(started))
}

/// The time between the start of a probe with that outcome and the next one, unless something makes that due earlier; with none
/// yet, the longest time until the first.
pub fn pause(last: Option<LastOutcome>, interval: Duration, min_interval: Duration) -> Duration {
    match last {
        None | Some(LastOutcome::OfAnotherRun) => min_interval,
        Some(LastOutcome::Succeeded) => interval,
        Some(LastOutcome::Failed { times }) => {
            min_interval.saturating_mul(2u32.saturating_pow(times.saturating_sub(1))).min(interval)
        }
    }
}

/// A time from zero to `window` that depends on the uid only.
fn spread(uid: &str, window: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    // 32 bits of a hash are a fraction of them all.
    let fraction = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    window.mul_f64(fraction)
}

/// The minimum time between the starts of the probes of any two Workspaces, given how long each of them waits from one probe
/// to its next.
///
/// Workspaces that become due at the same time (after a start of the controller, a drain, an evening) are probed one after
/// the other, at most 1.25 times as often as is due on average: each within its interval. From then on they stay apart. Where more
/// than 50 are due in a second, they come later than their kinds say.
pub fn spacing(waits: impl IntoIterator<Item = Duration>) -> Duration {
    let rate: f64 = waits.into_iter().filter(|wait| !wait.is_zero()).map(|wait| 1.0 / wait.as_secs_f64()).sum();
    if rate * CATCH_UP * SPACING_MAX.as_secs_f64() <= 1.0 {
        return SPACING_MAX;
    }
    Duration::from_secs_f64(1.0 / (rate * CATCH_UP)).max(SPACING_MIN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    const HOUR: u64 = 3600;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn facts(last: impl Into<Option<LastProbe>>) -> ScheduleFacts<'static> {
        let last = last.into();
        let (interval, min_interval) = (secs(HOUR), secs(300));
        ScheduleFacts { interval, min_interval, uid: "u", running: Some(secs(2 * HOUR)), last, eligible_in: None }
    }

    /// A probe that took a second.
    fn last(started: u64, outcome: LastOutcome) -> LastProbe {
        LastProbe { started: secs(started), ended: secs(started.saturating_sub(1)), outcome }
    }

    fn failed(times: u32) -> LastOutcome {
        LastOutcome::Failed { times }
    }

    #[test]
    fn the_first_probe_of_a_run_is_spread_over_the_minimum_interval() {
        assert_eq!(due_in(&facts(None)), Duration::ZERO, "it has been running for longer");
        assert_eq!(due_in(&ScheduleFacts { running: None, ..facts(None) }), Duration::ZERO);
        let at_start = |uid: &str| due_in(&ScheduleFacts { uid, running: Some(Duration::ZERO), ..facts(None) });
        assert_eq!(at_start("u"), at_start("u"));
        let later = ScheduleFacts { running: Some(secs(1)), ..facts(None) };
        assert_eq!(due_in(&later) + secs(1), at_start("u"));
        // Each tenth of the minimum interval has its share.
        let mut tenths: BTreeMap<u64, u32> = BTreeMap::new();
        for number in 0..1000 {
            *tenths.entry(at_start(&format!("uid-{number}")).as_secs() / 30).or_default() += 1;
        }
        assert!(
            tenths.keys().copied().eq(0..10) && tenths.values().all(|share| (60..140).contains(share)),
            "{tenths:?}"
        );
    }

    #[test]
    fn a_new_run_waits_for_the_minimum_interval_since_the_last_probe_of_another() {
        let at_start = |last| due_in(&ScheduleFacts { running: Some(Duration::ZERO), ..facts(last) });
        assert_eq!(at_start(Some(last(10, LastOutcome::OfAnotherRun))), secs(290));
        assert_eq!(at_start(Some(last(1000, LastOutcome::OfAnotherRun))), at_start(None));
        assert_eq!(due_in(&facts(last(400, LastOutcome::OfAnotherRun))), Duration::ZERO);
    }

    #[test]
    fn after_a_success_at_the_interval_or_when_it_may_be_paused() {
        let eligible = |started, eligible_in: Option<i64>| {
            let eligible_in = eligible_in.map(SignedDuration::from_secs);
            due_in(&ScheduleFacts { eligible_in, ..facts(last(started, LastOutcome::Succeeded)) })
        };
        for (started, eligible_in, expected) in [
            (0, None, HOUR),
            (HOUR, None, 0),
            (2 * HOUR, None, 0),
            (10, Some(1000), 1000),
            // It keeps its time while time passes.
            (510, Some(500), 500),
            (1010, Some(0), 0),
            (1020, Some(-10), 0),
            (10, Some(5000), HOUR - 10),
            // Not within the minimum interval.
            (10, Some(20), 290),
            // The last probe could have paused it: that it did not has another reason.
            (10, Some(-9), HOUR - 10),
            (1010, Some(-5000), HOUR - 1010),
        ] {
            assert_eq!(eligible(started, eligible_in), secs(expected), "{started} {eligible_in:?}");
        }
    }

    #[test]
    fn after_failures_at_the_minimum_interval_and_ever_less_often() {
        for (times, started, expected) in [
            (1, 0, 300),
            (1, 300, 0),
            (1, 100, 200),
            (2, 0, 600),
            (3, 0, 1200),
            (4, 0, 2400),
            (5, 0, HOUR),
            (u32::MAX, 0, HOUR),
            (5, 3000, 600),
        ] {
            assert_eq!(due_in(&facts(last(started, failed(times)))), secs(expected), "{times} {started}");
        }
        // Whether it may be paused changes nothing.
        let eligible = ScheduleFacts { eligible_in: Some(SignedDuration::from_secs(30)), ..facts(last(0, failed(2))) };
        assert_eq!(due_in(&eligible), secs(600));
    }

    #[test]
    fn what_the_status_records_survives_the_process() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |ago: i64| now.as_millisecond() - ago * 1000;
        let recorded = |started, result| {
            let status = ActivityProbeStatus {
                start_time: at(started),
                end_time: at(started - 2),
                result,
                ..Default::default()
            };
            LastProbe::recorded(&status, now)
        };
        let expected = LastProbe { started: secs(100), ended: secs(98), outcome: LastOutcome::Succeeded };
        assert_eq!(recorded(100, Some(ActivityProbeResult::Success)), expected);
        for result in [Some(ActivityProbeResult::Failure), Some(ActivityProbeResult::Timeout), None] {
            assert_eq!(recorded(100, result), LastProbe { outcome: failed(1), ..expected });
        }
        let just_now = LastProbe { started: secs(0), ended: secs(0), outcome: LastOutcome::Succeeded };
        assert_eq!(recorded(-31_536_000, Some(ActivityProbeResult::Success)), just_now);
    }

    /// How many probes start in the busiest ten seconds.
    fn busiest(starts: &[Duration]) -> usize {
        let within = |from: &Duration| starts.iter().filter(|start| (*from..*from + secs(10)).contains(*start)).count();
        starts.iter().map(within).max().unwrap()
    }

    /// One after the other, in the order in which they are due, for as long as an hour.
    fn simulated(mut due: Vec<Duration>, interval: Duration) -> Vec<Vec<Duration>> {
        let mut next = Duration::ZERO;
        let space = spacing(due.iter().map(|_| interval));
        let mut starts = vec![Vec::new(); due.len()];
        loop {
            let (index, at) = due.iter().enumerate().min_by_key(|(_, at)| **at).unwrap();
            let at = (*at).max(next);
            if at > secs(HOUR) {
                return starts;
            }
            next = at + space;
            starts[index].push(at);
            due[index] = at + interval;
        }
    }

    #[test]
    fn a_thousand_workspaces_are_never_probed_at_once() {
        let interval = secs(300);
        let spread_out: Vec<_> = (0..1000).map(|number| spread(&format!("uid-{number}"), interval)).collect();
        for (what, due) in [("all at once", vec![Duration::ZERO; 1000]), ("by their uids", spread_out)] {
            let starts = simulated(due, interval);
            let all: Vec<_> = starts.iter().flatten().copied().collect();
            // On average 33 in ten seconds.
            assert!(busiest(&all) <= 50, "{what}: {}", busiest(&all));
            for starts in starts {
                let apart = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
                assert!(starts[0] <= interval, "{what}: the first at {:?}", starts[0]);
                assert!(apart.clone().all(|apart| apart <= interval + secs(30)), "{what}: {:?}", apart.max());
            }
        }
    }

    #[test]
    fn a_few_workspaces_do_not_wait_for_each_other() {
        assert_eq!(spacing([]), secs(1));
        assert_eq!(spacing([secs(HOUR), Duration::ZERO]), secs(1));
        assert_eq!(spacing(vec![secs(HOUR); 2000]), secs(1));
        assert_eq!(spacing(vec![secs(300); 1000]), Duration::from_millis(240));
    }
}
