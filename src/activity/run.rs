//! When a Workspace newly ran, and what is known of its activity since then. Pure.

use crds::workspace::{WorkspaceActivity, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use crate::stores::pod::{ContainerPhase, Pod};
use crate::stores::uid::Uid;

/// One run of the container `main`, as the status of its Workspace records it. What a probe finds holds for the run that it
/// was sent to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The uid of the pod.
    pub pod: Uid,
    /// When the container started, by the clock of its node, in milliseconds since 1970.
    pub started: i64,
    /// `status.lastRunningTime`: since when it counts as running, in milliseconds since 1970.
    pub since: i64,
    /// When the pod was created, by the clock of the API server, in milliseconds since 1970; 0 where that is not known.
    pub created: i64,
}

impl Run {
    /// The run of the container that is running now. None where there is none, and where the status still is about another
    /// one: the next reconcile records it.
    pub fn of(held: &WorkspaceStatus, pod: &Pod) -> Option<Self> {
        let (started, since) = (started(pod), held.last_running_time);
        let is_running = matches!(pod.main.now, ContainerPhase::Running { .. });
        let created = created(pod).unwrap_or_default();
        (is_running && is_from(since, started)).then(|| Self { pod: pod.identity.uid.clone(), started, since, created })
    }

    /// Since when it has been running for sure, in milliseconds since 1970. The clock of its node may be behind: nothing ran
    /// before the pod was created.
    pub fn running_since(&self) -> i64 {
        self.since.max(self.created)
    }
}

/// `status.lastRunningTime` and `status.activity` of a Workspace whose pod is ready.
///
/// They stay as they are as long as the same container runs, whether it was ready all the time or not. Once another one
/// runs, activity of before would pause it too soon. It runs from when the kubelet says that it became ready: like its start
/// that is by the clock of the node, so what is compared with the next start does not depend on the clock of the controller.
pub fn of_ready(held: &WorkspaceStatus, pod: &Pod, now: Timestamp) -> (i64, WorkspaceActivity) {
    let started = started(pod);
    let ready = pod.ready_changed.and_then(|changed| Timestamp::from_second(changed).ok()).unwrap_or(now);
    let ready = ready.as_millisecond().max(started);
    let since = held.last_running_time;
    // A time that is yet to come was set by a clock that has been set back, and may be that of an earlier container.
    if is_from(since, started) && since <= ready.max(now.as_millisecond()) {
        return (since, held.activity.clone().unwrap_or_default());
    }
    (ready, WorkspaceActivity::default())
}

/// Whether a container that started then counts as running since `since`.
///
/// Which one ran is not recorded: it is another one if it started after that time. So that time must not be before the start,
/// also where the clock of the node is ahead.
fn is_from(since: i64, started: i64) -> bool {
    since != 0 && since >= started
}

/// The start of the container `main`, or what was just before it, in milliseconds since 1970; 0 where neither is known.
fn started(pod: &Pod) -> i64 {
    match pod.main.now {
        ContainerPhase::Running { since: Some(since) } => {
            Timestamp::from_second(since).map_or(0, Timestamp::as_millisecond)
        }
        _ => created(pod).unwrap_or_default(),
    }
}

/// When the pod was created, in milliseconds since 1970.
fn created(pod: &Pod) -> Option<i64> {
    pod.created.parse().ok().map(Timestamp::as_millisecond)
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
    fn it_runs_from_when_the_kubelet_says_that_it_became_ready() {
        let status = json!({
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:05:09Z"}],
            "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": "2026-01-01T12:05:03Z"}}}],
        });
        let pod = json!({"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}, "status": status});
        let pod = serde_json::from_value(pod).unwrap();
        let since = |now: &str| of_ready(&WorkspaceStatus::default(), &pod, now.parse().unwrap()).0;
        for now in ["2026-01-01T12:10:00Z", "2027-01-01T00:00:00Z", "2025-01-01T00:00:00Z"] {
            assert_eq!(since(now), at("2026-01-01T12:05:09Z"), "{now}");
        }
    }

    /// It may be that of the container before: the clock was set back by an hour, and the container restarted within it.
    #[test]
    fn a_time_that_is_yet_to_come_is_not_trusted() {
        let anew = (at("2026-01-01T12:10:00.5Z"), WorkspaceActivity::default());
        assert_eq!(of(at("2026-01-01T13:00:00Z"), "2026-01-01T12:05:03Z"), anew);
    }

    #[test]
    fn a_probe_is_sent_to_a_run_that_is_recorded() {
        let pod = |state: serde_json::Value| -> Pod {
            let metadata = json!({"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"});
            let statuses = json!([{"name": "main", "state": state}]);
            serde_json::from_value(json!({"metadata": metadata, "status": {"containerStatuses": statuses}})).unwrap()
        };
        let run = |held: i64, state| {
            let held = WorkspaceStatus { last_running_time: held, ..WorkspaceStatus::default() };
            Run::of(&held, &pod(state))
        };
        let running = || json!({"running": {"startedAt": "2026-01-01T12:05:00Z"}});
        let (started, since) = (at("2026-01-01T12:05:00Z"), at("2026-01-01T12:05:07Z"));
        let created = at("2026-01-01T12:00:00Z");
        assert_eq!(run(since, running()), Some(Run { pod: "u".into(), started, since, created }));
        assert_eq!(run(0, running()), None, "no reconcile has seen it ready");
        assert_eq!(run(started - 1, running()), None, "the time is that of the container before");
        let ended = json!({"terminated": {"exitCode": 0, "startedAt": "2026-01-01T12:05:00Z"}});
        assert_eq!(run(since, ended), None);
    }

    #[test]
    fn a_clock_of_a_node_that_is_behind_makes_no_run_longer() {
        let run = |since| Run { pod: "u".into(), started: 5, since, created: 1_000 };
        assert_eq!(run(7).running_since(), 1_000);
        assert_eq!(run(1_007).running_since(), 1_007);
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
