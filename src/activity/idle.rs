//! For how long a Workspace is known to have been idle, from its status. Pure.

use std::time::Duration;

use crds::workspace::{ActivityProbeResult, WorkspaceActivity};
use k8s_openapi::jiff::Timestamp;

use super::record::is_fresh;
use super::rules::last_used;

/// How a Workspace was found by its last probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Idle {
    /// For how long it had been idle then; zero where it was in use.
    pub time: Duration,
    /// Whether the probe ended so recently that it still says so. Otherwise its user may be back since.
    pub is_fresh: bool,
}

/// Why it is not known whether a Workspace is idle.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum IdleUnknown {
    /// No probe succeeded since its container started.
    #[error("not probed since the start")]
    NeverProbed,
    /// The last probe failed or timed out.
    #[error("the last probe failed")]
    ProbeFailed,
    /// The last successful probe is older than two intervals: nobody probes it any longer.
    #[error("the last probe is older than two probe intervals")]
    Outdated,
}

/// For how long it had been idle when it was last probed, and whether that still holds. `running_since` is
/// `status.lastRunningTime`, `interval` the time between two probes of its kind.
///
/// # Errors
/// That is not known.
pub fn idle(
    activity: Option<&WorkspaceActivity>,
    running_since: i64,
    interval: Duration,
    now: Timestamp,
) -> Result<Idle, IdleUnknown> {
    let (activity, probe) = activity
        .and_then(|activity| Some((activity, activity.last_probe.as_ref()?)))
        .ok_or(IdleUnknown::NeverProbed)?;
    if probe.result != Some(ActivityProbeResult::Success) {
        return Err(IdleUnknown::ProbeFailed);
    }
    if activity.last_update == 0 || running_since == 0 {
        return Err(IdleUnknown::NeverProbed);
    }
    let is_fresh = Timestamp::from_millisecond(activity.last_update).is_ok_and(|ended| is_fresh(ended, now));
    // One that is yet to come was recorded by a clock that is wrong, or was.
    let age = Duration::from_millis(now.as_millisecond().abs_diff(activity.last_update));
    if !is_fresh && age > interval.saturating_mul(2) {
        return Err(IdleUnknown::Outdated);
    }
    let idle = activity.last_update.saturating_sub(last_used(activity.last_activity, running_since));
    Ok(Idle { time: Duration::from_millis(u64::try_from(idle).unwrap_or_default()), is_fresh })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crds::workspace::ActivityProbeStatus;

    use super::*;

    const INTERVAL: Duration = Duration::from_mins(10);

    fn activity(last_activity: i64, last_update: i64, result: Option<ActivityProbeResult>) -> WorkspaceActivity {
        let last_probe = Some(ActivityProbeStatus { result, ..ActivityProbeStatus::default() });
        WorkspaceActivity {
            last_activity: last_activity * 1000,
            last_update: last_update * 1000,
            last_probe,
            rules: None,
        }
    }

    /// Running since 1,000 s, at that second: for how many seconds it was idle, and whether that is fresh.
    fn known(activity: &WorkspaceActivity, interval: Duration, now: i64) -> Result<(u64, bool), IdleUnknown> {
        let now = Timestamp::from_second(now).unwrap();
        idle(Some(activity), 1_000_000, interval, now).map(|idle| (idle.time.as_secs(), idle.is_fresh))
    }

    #[test]
    fn it_is_idle_from_its_last_use_to_its_last_probe() {
        let success = Some(ActivityProbeResult::Success);
        for (last_activity, last_update, now, expected) in [
            (3_000, 5_000, 5_000, Ok((2_000, true))),
            (3_000, 5_000, 5_030, Ok((2_000, true))),
            // Its user may be back since.
            (3_000, 5_000, 5_031, Ok((2_000, false))),
            (3_000, 5_000, 6_200, Ok((2_000, false))),
            (3_000, 5_000, 6_201, Err(IdleUnknown::Outdated)),
            // Active at the probe.
            (5_000, 5_000, 5_900, Ok((0, false))),
            (5_000, 5_000, 5_001, Ok((0, true))),
            // Never seen active: since it runs.
            (0, 5_000, 5_000, Ok((4_000, true))),
            // The clock of the controller is a little ahead, or an hour: how long ago that was is not known.
            (3_000, 5_000, 4_999, Ok((2_000, false))),
            (3_000, 5_000, 1_400, Err(IdleUnknown::Outdated)),
            (6_000, 5_000, 5_000, Ok((0, true))),
            (0, 0, 5_000, Err(IdleUnknown::NeverProbed)),
        ] {
            let activity = activity(last_activity, last_update, success);
            assert_eq!(known(&activity, INTERVAL, now), expected, "{last_activity} {last_update} {now}");
        }
    }

    #[test]
    fn a_fresh_probe_is_not_outdated_however_short_the_interval() {
        let activity = activity(3_000, 5_000, Some(ActivityProbeResult::Success));
        for (now, expected) in
            [(5_010, Ok((2_000, true))), (5_030, Ok((2_000, true))), (5_031, Err(IdleUnknown::Outdated))]
        {
            assert_eq!(known(&activity, Duration::from_secs(5), now), expected, "{now}");
        }
    }

    #[test]
    fn nothing_is_known_of_one_whose_probe_failed_or_never_came() {
        for result in [None, Some(ActivityProbeResult::Failure), Some(ActivityProbeResult::Timeout)] {
            let failed = activity(3_000, 5_000, result);
            assert_eq!(known(&failed, INTERVAL, 5_000), Err(IdleUnknown::ProbeFailed), "{result:?}");
        }
        assert_eq!(known(&WorkspaceActivity::default(), INTERVAL, 5_000), Err(IdleUnknown::NeverProbed));
        let now = Timestamp::from_second(5_000).unwrap();
        assert_eq!(idle(None, 1_000_000, INTERVAL, now), Err(IdleUnknown::NeverProbed));
        let probed = activity(0, 5_000, Some(ActivityProbeResult::Success));
        assert_eq!(idle(Some(&probed), 0, INTERVAL, now), Err(IdleUnknown::NeverProbed), "it never ran");
    }
}
