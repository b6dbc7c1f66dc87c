#![allow(clippy::unwrap_used, clippy::panic)]

use crds::testing;
use crds::workspace::{OptionStatus, RedirectStep};
use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T00:00:10.5Z";
const EARLIER: &str = "2025-12-31T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn workspace(paused: bool, status: &Value) -> StoredWorkspace {
    let mut value = serde_json::to_value(testing::workspace("ns", "lab", "kind")).unwrap();
    value["metadata"]["generation"] = json!(7);
    value["spec"]["paused"] = json!(paused);
    value["status"] = status.clone();
    serde_json::from_value(value).unwrap()
}

fn running() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": "ws-lab-0", "creationTimestamp": EARLIER},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main"}, {"name": "istio-proxy"}], "initContainers": [{"name": "istio-init"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

fn made() -> Made {
    let option = |id: &str| OptionStatus { desired: Some(id.to_owned()), redirect_chain: Vec::new() };
    Made {
        service_account: Some("ws-lab".to_owned()),
        options: Some(PodTemplateOptionsStatus { image_config: option("small"), pod_config: option("tiny") }),
        route: RouteState::Ready,
        ..Made::default()
    }
}

fn fault(message: &str) -> Fault {
    Fault { reason: "Test", message: message.to_owned() }
}

fn status(workspace: &StoredWorkspace, pod: Option<&Pod>, made: &Made) -> WorkspaceStatus {
    desired(Facts { workspace, pod, made, now: now() }).0
}

fn condition<'a>(status: &'a WorkspaceStatus, type_: &str) -> (ConditionStatus, &'a str, &'a str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
    (condition.status, &condition.reason, &condition.message)
}

#[test]
fn the_status_of_a_running_workspace_is_exactly_this() {
    let status = status(&workspace(false, &json!({})), Some(&running()), &made());
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": "True", "observedGeneration": 7, "lastTransitionTime": "2026-01-01T00:00:10Z",
            "reason": reason, "message": message,
        })
    };
    let expected = json!({
        "observedGeneration": 7,
        "lastRunningTime": 0,
        "pauseTime": 0,
        "pendingRestart": false,
        "podTemplateOptions": {"imageConfig": {"desired": "small"}, "podConfig": {"desired": "tiny"}},
        "podTemplatePod": {
            "name": "ws-lab-0",
            "nodeName": "node-1",
            "serviceAccountName": "ws-lab",
            "containers": [{"name": "main"}, {"name": "istio-proxy"}],
            "initContainers": [{"name": "istio-init"}],
        },
        "state": "Running",
        "stateMessage": "Workspace is running",
        "conditions": [
            condition("Ready", "Running", "Workspace is running"),
            condition("RouteReady", "Routed", "the VirtualService is in place"),
        ],
    });
    assert_eq!(serde_json::to_value(&status).unwrap(), expected);
}

#[test]
fn a_status_is_its_own_next_status() {
    let first = status(&workspace(false, &json!({})), Some(&running()), &made());
    let again = workspace(false, &serde_json::to_value(&first).unwrap());
    let later =
        Facts { workspace: &again, pod: Some(&running()), made: &made(), now: "2027-01-01T00:00:00Z".parse().unwrap() };
    assert_eq!(desired(later).0, first);
}

#[test]
fn it_is_paused_exactly_when_paused_and_without_a_pod() {
    let held = json!({"pauseTime": 5});
    let broken = Made { spec_fault: Some(fault("kind gone")), child_fault: Some(fault("refused")), ..made() };
    for made in [&made(), &broken] {
        let status = status(&workspace(true, &held), None, made);
        assert_eq!((status.state, status.state_message.as_str()), (WorkspaceState::Paused, "Workspace is paused"));
        assert_eq!(status.pause_time, 5);
    }
    let stopping = status(&workspace(true, &json!({})), Some(&running()), &made());
    assert_eq!(stopping.state, WorkspaceState::Running);
    assert_eq!(stopping.pause_time, now().as_millisecond());
    assert_eq!(condition(&stopping, "Ready").0, ConditionStatus::False);
    let paused = status(&workspace(true, &json!({})), None, &made());
    assert_eq!(condition(&paused, "Ready"), (ConditionStatus::True, "Paused", "Workspace is paused"));
    let started = status(&workspace(false, &held), None, &made());
    assert_eq!(started.pause_time, 0);
}

#[test]
fn faults_of_the_spec_are_the_state_and_faults_of_children_only_without_a_pod() {
    let spec = Made { spec_fault: Some(fault("kind gone")), options: None, ..made() };
    let held = json!({"podTemplateOptions": {"imageConfig": {"desired": "old"}}});
    let with_pod = status(&workspace(false, &held), Some(&running()), &spec);
    assert_eq!((with_pod.state, with_pod.state_message.as_str()), (WorkspaceState::Error, "kind gone"));
    assert_eq!(with_pod.pod_template_pod.unwrap().name, "ws-lab-0");
    assert_eq!(with_pod.pod_template_options.unwrap().image_config.desired.unwrap(), "old");
    let child = Made { child_fault: Some(fault("refused")), ..made() };
    let without = status(&workspace(false, &json!({})), None, &child);
    assert_eq!((without.state, without.state_message.as_str()), (WorkspaceState::Error, "refused"));
    let with_pod = status(&workspace(false, &json!({})), Some(&running()), &child);
    assert_eq!(with_pod.state, WorkspaceState::Running);
    assert_eq!(condition(&with_pod, "Ready"), (ConditionStatus::False, "Test", "refused"));
}

#[test]
fn a_route_that_is_not_ready_leaves_the_state() {
    let unsafe_route = Made { route: RouteState::Fault(fault("spec.x: bad")), ..made() };
    let status_ = status(&workspace(false, &json!({})), Some(&running()), &unsafe_route);
    assert_eq!(status_.state, WorkspaceState::Running);
    assert_eq!(condition(&status_, "RouteReady"), (ConditionStatus::False, "Test", "spec.x: bad"));
    assert_eq!(condition(&status_, "Ready"), (ConditionStatus::False, "RouteNotReady", "spec.x: bad"));
    for (route, reason) in [(RouteState::NotInstalled, "IstioNotInstalled"), (RouteState::Off, "IstioDisabled")] {
        let status = status(&workspace(false, &json!({})), Some(&running()), &Made { route, ..made() });
        assert_eq!(condition(&status, "RouteReady").0, ConditionStatus::Unknown);
        assert_eq!(condition(&status, "RouteReady").1, reason);
        assert_eq!(condition(&status, "Ready").0, ConditionStatus::True);
    }
}

#[test]
fn a_redirect_is_a_pending_restart() {
    let mut made = made();
    made.options.as_mut().unwrap().image_config = OptionStatus {
        desired: Some("large".to_owned()),
        redirect_chain: vec![RedirectStep { source: "small".to_owned(), target: "large".to_owned() }],
    };
    let status = status(&workspace(false, &json!({})), Some(&running()), &made);
    assert!(status.pending_restart);
    assert_eq!(status.state_message, "Workspace is running (a restart is pending)");
}

#[test]
fn a_mount_that_is_left_out_is_told() {
    let mount = LeftOutMount { path: "/data".to_owned(), volume: "cache".to_owned(), kept: "data-volume-0".to_owned() };
    let status = status(&workspace(false, &json!({})), Some(&running()), &Made { left_out: vec![mount], ..made() });
    let message = "Workspace is running; cache is not mounted at /data, where data-volume-0 is";
    assert_eq!(condition(&status, "Ready"), (ConditionStatus::True, "Running", message));
}

#[test]
fn conditions_of_others_stay_and_times_change_with_the_status_only() {
    let held = |type_: &str, status: &str| json!({"type": type_, "status": status, "lastTransitionTime": EARLIER, "reason": "Old", "message": "old"});
    let workspace = workspace(
        false,
        &json!({"conditions": [held("Ready", "True"), held("Backup", "False"), held("RouteReady", "False")]}),
    );
    let status = status(&workspace, Some(&running()), &made());
    let times: Vec<(&str, &str)> = status
        .conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.last_transition_time.as_str()))
        .collect();
    assert_eq!(times, [("Backup", EARLIER), ("Ready", EARLIER), ("RouteReady", "2026-01-01T00:00:10Z")]);
    assert_eq!(status.conditions[0].reason, "Old");
}

#[test]
fn what_may_work_the_next_time_changes_no_condition() {
    let first = status(&workspace(false, &json!({})), Some(&running()), &made());
    let held = workspace(false, &serde_json::to_value(&first).unwrap());
    let undecided = Made { undecided: true, route: RouteState::Unknown, ..made() };
    assert_eq!(status(&held, Some(&running()), &undecided), first);
    let stopped = status(&held, None, &undecided);
    assert_eq!(stopped.state, WorkspaceState::Unknown, "the state of the pod is told");
    assert_eq!(stopped.conditions, first.conditions);
}

#[test]
fn messages_are_bounded() {
    let long = Made { spec_fault: Some(fault(&"ü".repeat(MESSAGE_MAX))), ..made() };
    let status = status(&workspace(false, &json!({})), None, &long);
    assert!(status.state_message.len() <= MESSAGE_MAX && status.state_message.ends_with("ü…"));
    assert!(condition(&status, "Ready").2.len() <= MESSAGE_MAX);
}

#[test]
fn a_merge_patch_holds_what_differs() {
    let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": null, "same": {"x": 1}});
    let to = json!({"a": 2, "b": {"c": 1}, "e": [2], "f": null, "new": {}, "same": {"x": 1}});
    assert_eq!(merge_patch(&from, &to), Some(json!({"a": 2, "b": {"d": null}, "e": [2], "new": {}})));
    assert_eq!(merge_patch(&to, &to), None);
}
