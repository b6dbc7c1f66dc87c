#![allow(clippy::unwrap_used, clippy::panic)]

use crds::testing;
use crds::workspace::{OptionStatus, PodTemplateOptionsStatus, RedirectStep};
use serde_json::{Value, json};

use super::*;
use crate::reconcile::conditions::MESSAGE_MAX;
use crate::reconcile::workspace::outcome::ChildOutcome;
use crate::reconcile::workspace::restart::{Restart, RestartCause};
use crate::render::{RouteFault, UnsafeHeader};

mod children;
mod pods;
mod progress;
mod restarts;
mod routes;

const NOW: &str = "2026-01-01T00:00:10.5Z";
const PATIENCE: Duration = Duration::from_mins(5);
const NOW_IN_SECONDS: &str = "2026-01-01T00:00:10Z";
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

/// Everything is applied and stored as it was sent.
fn applied() -> ApplyOutcome {
    let option = |id: &str| OptionStatus { desired: Some(id.to_owned()), redirect_chain: Vec::new() };
    ApplyOutcome {
        service_account: Some("ws-lab".to_owned()),
        options: Some(PodTemplateOptionsStatus { image_config: option("small"), pod_config: option("tiny") }),
        route: Some(Route::Wanted(())),
        children: ChildKind::ALL.map(|kind| child(kind, Ok(StoredDifference::default()))).into(),
        ..ApplyOutcome::default()
    }
}

fn child(kind: ChildKind, result: Result<StoredDifference, ApplyError>) -> ChildOutcome {
    ChildOutcome::new(kind, "ws-lab-1", result, 0)
}

/// The same, but for one child.
fn with_child(kind: ChildKind, result: Result<StoredDifference, ApplyError>) -> ApplyOutcome {
    let mut outcome = applied();
    outcome.children[kind as usize] = child(kind, result);
    outcome
}

fn refused() -> ApplyError {
    ApplyError::Refused { kind: "Service", name: "ws-lab-1".to_owned(), message: "quota".to_owned() }
}

fn refused_route() -> ApplyError {
    ApplyError::Refused { kind: "VirtualService", name: "ws-lab-1".to_owned(), message: "no".to_owned() }
}

fn reason(message: &str) -> StatusReason {
    StatusReason { reason: "Test", message: message.to_owned() }
}

fn status(workspace: &StoredWorkspace, pod: Option<&Pod>, outcome: &ApplyOutcome) -> WorkspaceStatus {
    desired(facts(workspace, &names(workspace), pod, outcome)).0
}

fn facts<'a>(
    workspace: &'a StoredWorkspace,
    names: &'a ChildNames,
    pod: Option<&'a Pod>,
    outcome: &'a ApplyOutcome,
) -> StatusFacts<'a> {
    StatusFacts {
        workspace,
        // Lives as long as the test.
        held: Box::leak(Box::new(workspace.status.unpack())),
        names,
        pod,
        has_service: true,
        warnings: &[],
        replacement: &CURRENT,
        outcome,
        refusals: 0,
        patience: PATIENCE,
        now: now(),
    }
}

/// A pod that is what a new one would be.
const CURRENT: PodReplacement =
    PodReplacement { rollout: Rollout::Current, restart: Restart::None, change: None, deleted: None, error: None };

fn names(workspace: &StoredWorkspace) -> ChildNames {
    ChildNames::new(workspace.identity.key.name(), &workspace.identity.uid)
}

fn condition<'a>(status: &'a WorkspaceStatus, type_: &str) -> (ConditionStatus, &'a str, &'a str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
    (condition.status, &condition.reason, &condition.message)
}

/// As kstatus (sigs.k8s.io/cli-utils), and with it Flux and `helm --wait`, reads a status.
fn kstatus(workspace: &StoredWorkspace, status: &WorkspaceStatus) -> &'static str {
    let holds = |type_: &str| {
        status.conditions.iter().any(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True)
    };
    if status.observed_generation != Some(workspace.generation) {
        return "InProgress";
    }
    match (holds("Reconciling"), holds("Stalled"), holds("Ready")) {
        (true, true, _) => panic!("which of the two counts depends on their order"),
        (true, ..) => "InProgress",
        (_, true, _) => "Failed",
        (_, _, true) => "Current",
        _ => "InProgress",
    }
}

#[test]
fn the_status_of_a_running_workspace_is_exactly_this() {
    let status = status(&workspace(false, &json!({})), Some(&running()), &applied());
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": "True", "observedGeneration": 7, "lastTransitionTime": NOW_IN_SECONDS,
            "reason": reason, "message": message,
        })
    };
    let expected = json!({
        "observedGeneration": 7,
        "activity": {"lastActivity": 0, "lastUpdate": 0},
        "lastRunningTime": 1_767_225_610_500_i64,
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
            condition("Available", "Available", "the pod is ready and the VirtualService is in place"),
            condition("RouteReady", "Routed", "the VirtualService is in place"),
        ],
    });
    assert_eq!(serde_json::to_value(&status).unwrap(), expected);
}

/// The CRDs of the Go controller require these.
#[test]
fn nothing_that_a_crd_may_require_is_ever_absent() {
    let bare = status(&workspace(false, &json!({})), None, &ApplyOutcome::default());
    let expected = json!({
        "observedGeneration": 7,
        "activity": {"lastActivity": 0, "lastUpdate": 0},
        "lastRunningTime": 0,
        "pauseTime": 0,
        "pendingRestart": false,
        "podTemplateOptions": {"imageConfig": {}, "podConfig": {}},
        "podTemplatePod": {"name": "", "nodeName": ""},
        "state": "Unknown",
        "stateMessage": bare.state_message,
        "conditions": bare.conditions,
    });
    assert_eq!(serde_json::to_value(&bare).unwrap(), expected);

    let activity = json!({
        "lastActivity": 5, "lastUpdate": 6, "rules": {"pauseWorkspace": {"eligibleAfter": 9}},
        "lastProbe": {"startTime": 6, "endTime": 7, "result": "Success", "message": "m"},
    });
    let held = json!({"activity": activity, "lastRunningTime": now().as_millisecond()});
    let status = serde_json::to_value(status(&workspace(false, &held), Some(&running()), &applied())).unwrap();
    assert_eq!((&status["activity"], &status["lastRunningTime"]), (&activity, &held["lastRunningTime"]));
}

#[test]
fn a_status_is_its_own_next_status() {
    let first = status(&workspace(false, &json!({})), Some(&running()), &applied());
    let again = workspace(false, &serde_json::to_value(&first).unwrap());
    let names = names(&again);
    let (pod, outcome) = (running(), applied());
    let later =
        StatusFacts { now: "2027-01-01T00:00:00Z".parse().unwrap(), ..facts(&again, &names, Some(&pod), &outcome) };
    assert_eq!(desired(later).0, first);
}

#[test]
fn it_is_paused_exactly_when_paused_and_without_a_pod() {
    let held = json!({"pauseTime": 5});
    let broken =
        ApplyOutcome { spec_error: Some(reason("kind gone")), ..with_child(ChildKind::Service, Err(refused())) };
    for outcome in [&applied(), &broken] {
        let status = status(&workspace(true, &held), None, outcome);
        assert_eq!((status.state, status.state_message.as_str()), (WorkspaceState::Paused, "Workspace is paused"));
        assert_eq!(status.pause_time, 5);
    }
    let stopping = status(&workspace(true, &json!({})), Some(&running()), &applied());
    assert_eq!(stopping.state, WorkspaceState::Running);
    assert_eq!(stopping.pause_time, now().as_millisecond());
    assert_eq!(condition(&stopping, "Ready").0, ConditionStatus::False);
    let paused = status(&workspace(true, &json!({})), None, &applied());
    assert_eq!(condition(&paused, "Ready"), (ConditionStatus::True, "Paused", "Workspace is paused"));
    let started = status(&workspace(false, &held), None, &applied());
    assert_eq!(started.pause_time, 0);
}

#[test]
fn conditions_of_others_stay_and_times_change_with_the_status_only() {
    let held = |type_: &str, status: &str| json!({"type": type_, "status": status, "lastTransitionTime": EARLIER, "reason": "Old", "message": "old"});
    let workspace = workspace(
        false,
        &json!({"conditions": [
            held("Ready", "True"), held("Backup", "False"), held("Reconciling", "True"), held("RouteReady", "False"),
            held("Stalled", "False"),
        ]}),
    );
    let status = status(&workspace, Some(&running()), &applied());
    let times: Vec<(&str, &str)> = status
        .conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.last_transition_time.as_str()))
        .collect();
    assert_eq!(
        times,
        [("Backup", EARLIER), ("Ready", EARLIER), ("Available", NOW_IN_SECONDS), ("RouteReady", NOW_IN_SECONDS)]
    );
    assert_eq!(status.conditions[0].reason, "Old");
}

#[test]
fn messages_are_bounded() {
    let long = ApplyOutcome { spec_error: Some(reason(&"ü".repeat(MESSAGE_MAX))), ..applied() };
    let status = status(&workspace(false, &json!({})), None, &long);
    assert!(status.state_message.len() <= MESSAGE_MAX && status.state_message.ends_with("ü…"));
    assert!(condition(&status, "Ready").2.len() <= MESSAGE_MAX);
}
