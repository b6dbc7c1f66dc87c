//! When a Workspace newly ran, and what is known of its activity since then. Pure.

use crds::workspace::{WorkspaceActivity, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use crate::stores::pod::{ContainerPhase, Pod};

/// `status.lastRunningTime` and `status.activity` of a Workspace whose pod is ready.
///
/// They stay as they are as long as the same container runs, whether it was ready all the time or not. Once another one
/// runs, activity of before would pause it too soon. Which one ran is not recorded: it is another one if it started after
/// that time. So that time must not be before the start, also where the clock of the node is ahead.
pub fn of_ready(held: &WorkspaceStatus, pod: &Pod, now: Timestamp) -> (i64, WorkspaceActivity) {
    let started = started(pod).map_or(0, Timestamp::as_millisecond);
    let is_known = held.last_running_time != 0 && held.last_running_time >= started;
    if is_known {
        return (held.last_running_time, held.activity.clone().unwrap_or_default());
    }
    (started.max(now.as_millisecond()), WorkspaceActivity::default())
}

/// The start of the container `main`, or what was just before it.
fn started(pod: &Pod) -> Option<Timestamp> {
    match pod.main.now {
        ContainerPhase::Running { since: Some(since) } => Timestamp::from_second(since).ok(),
        _ => pod.created.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const ACTIVITY: WorkspaceActivity =
        WorkspaceActivity { last_activity: 5, last_update: 6, last_probe: None, rules: None };

    fn at(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// As it is at 12:10 with a container that started then.
    fn of(held: i64, started: &str) -> (i64, WorkspaceActivity) {
        let status = json!([{"name": "main", "state": {"running": {"startedAt": started}}}]);
        let metadata = json!({"name": "p", "creationTimestamp": "2026-01-01T12:00:00Z"});
        let pod = json!({"metadata": metadata, "status": {"containerStatuses": status}});
        let held = WorkspaceStatus { last_running_time: held, activity: Some(ACTIVITY), ..WorkspaceStatus::default() };
        of_ready(&held, &serde_json::from_value(pod).unwrap(), "2026-01-01T12:10:00.5Z".parse().unwrap())
    }

    #[test]
    fn a_container_that_is_ready_again_has_not_newly_run() {
        let since = at("2026-01-01T12:05:03.2Z");
        assert_eq!(of(since, "2026-01-01T12:05:03Z"), (since, ACTIVITY));
    }

    #[test]
    fn a_new_container_starts_anew() {
        let anew = (at("2026-01-01T12:10:00.5Z"), WorkspaceActivity::default());
        assert_eq!(of(0, "2026-01-01T12:05:03Z"), anew);
        assert_eq!(of(at("2026-01-01T12:05:00Z"), "2026-01-01T12:09:58Z"), anew);
    }

    /// Or every reconcile would set another time.
    #[test]
    fn a_clock_that_is_ahead_sets_its_own_time() {
        let (since, _) = of(0, "2026-01-01T12:10:07Z");
        assert_eq!(since, at("2026-01-01T12:10:07Z"));
        assert_eq!(of(since, "2026-01-01T12:10:07Z"), (since, ACTIVITY));
    }

    #[test]
    fn a_pod_of_which_no_start_is_known_counts_from_its_creation() {
        let pod = serde_json::from_value(json!({"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}})).unwrap();
        let held = |time| WorkspaceStatus { last_running_time: at(time), ..WorkspaceStatus::default() };
        let now = "2026-01-01T12:10:00Z";
        let of = |time| of_ready(&held(time), &pod, now.parse().unwrap()).0;
        assert_eq!(of("2026-01-01T12:00:00Z"), at("2026-01-01T12:00:00Z"));
        assert_eq!(of("2026-01-01T11:59:59Z"), at(now));
    }
}
