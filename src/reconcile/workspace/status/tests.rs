#![allow(clippy::unwrap_used, clippy::panic)]

use crds::testing;
use crds::workspace::{OptionStatus, PodTemplateOptionsStatus, RedirectStep};
use serde_json::{Value, json};

use super::*;
use crate::reconcile::conditions::MESSAGE_MAX;
use crate::reconcile::workspace::outcome::ChildOutcome;
use crate::reconcile::workspace::restart::{Restart, RestartCause};
use crate::render::{RouteFault, UnsafeHeader};

mod pods;

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
        names,
        pod,
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
    ChildNames::new(&workspace.identity.key.name, &workspace.identity.uid)
}

fn condition<'a>(status: &'a WorkspaceStatus, type_: &str) -> (ConditionStatus, &'a str, &'a str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
    (condition.status, &condition.reason, &condition.message)
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
fn faults_of_the_spec_are_the_state_and_faults_of_children_only_without_a_pod() {
    let spec = ApplyOutcome { spec_error: Some(reason("kind gone")), options: None, ..applied() };
    let held = json!({"podTemplateOptions": {"imageConfig": {"desired": "old"}}});
    let with_pod = status(&workspace(false, &held), Some(&running()), &spec);
    assert_eq!((with_pod.state, with_pod.state_message.as_str()), (WorkspaceState::Error, "kind gone"));
    assert_eq!(with_pod.pod_template_pod.unwrap().name, "ws-lab-0");
    assert_eq!(with_pod.pod_template_options.unwrap().image_config.desired.unwrap(), "old");
    let child = with_child(ChildKind::Service, Err(refused()));
    let message = "Workspace Service ws-lab-1 was refused: quota";
    let without = status(&workspace(false, &json!({})), None, &child);
    assert_eq!((without.state, without.state_message.as_str()), (WorkspaceState::Error, message));
    let with_pod = status(&workspace(false, &json!({})), Some(&running()), &child);
    assert_eq!(with_pod.state, WorkspaceState::Running);
    assert_eq!(condition(&with_pod, "Ready"), (ConditionStatus::False, "Refused", message));
}

/// Neither pod nor route depends on it.
#[test]
fn what_is_not_granted_leaves_the_state_and_the_route() {
    let message = "User \"c\" is attempting to grant RBAC permissions not currently held";
    let refused = ApplyError::Refused { kind: "RoleBinding", name: "ws-lab-1".to_owned(), message: message.to_owned() };
    let outcome = with_child(ChildKind::RoleBinding, Err(refused));
    let expected = format!("Workspace RoleBinding ws-lab-1 was refused: {message}");
    let with_pod = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    assert_eq!((with_pod.state, &*with_pod.state_message), (WorkspaceState::Running, "Workspace is running"));
    assert_eq!(condition(&with_pod, "Ready"), (ConditionStatus::False, "Refused", &*expected));
    assert_eq!(condition(&with_pod, "RouteReady").0, ConditionStatus::True);
    let without = status(&workspace(false, &json!({})), None, &outcome);
    assert_eq!(without.state, WorkspaceState::Unknown);
    assert_eq!(condition(&without, "Ready"), (ConditionStatus::False, "Refused", &*expected));
}

#[test]
fn a_route_that_is_not_ready_leaves_the_state() {
    let header = UnsafeHeader { field: "spec.x".to_owned(), detail: "bad".to_owned() };
    let refused = RouteFault::Headers(vec![header.clone()]);
    let unsafe_route = ApplyOutcome { route: Some(Route::Refused(refused)), ..applied() };
    let status_ = status(&workspace(false, &json!({})), Some(&running()), &unsafe_route);
    assert_eq!(status_.state, WorkspaceState::Running);
    assert_eq!(condition(&status_, "RouteReady"), (ConditionStatus::False, "UnsafeHeader", "spec.x: bad"));
    assert_eq!(condition(&status_, "Ready"), (ConditionStatus::False, "RouteNotReady", "spec.x: bad"));
    let stored = StoredDifference { unsafe_headers: vec![header], ..StoredDifference::default() };
    let changed = with_child(ChildKind::VirtualService, Ok(stored));
    let changed = status(&workspace(false, &json!({})), Some(&running()), &changed);
    assert_eq!(condition(&changed, "RouteReady").1, "UnsafeHeader");
    assert!(condition(&changed, "RouteReady").2.ends_with("is stored otherwise than it was applied: spec.x: bad"));
    let failed = with_child(ChildKind::VirtualService, Err(refused_route()));
    let failed = status(&workspace(false, &json!({})), Some(&running()), &failed);
    assert_eq!(condition(&failed, "RouteReady").1, "Refused");
    assert_eq!(condition(&failed, "Ready").1, "RouteNotReady");
    let not_installed = ApplyError::NotInstalled { kind: "VirtualService" };
    let not_installed = with_child(ChildKind::VirtualService, Err(not_installed));
    let off = ApplyOutcome { route: Some(Route::Off), ..applied() };
    for (outcome, reason) in [(not_installed, "IstioNotInstalled"), (off, "IstioDisabled")] {
        let status = status(&workspace(false, &json!({})), Some(&running()), &outcome);
        assert_eq!(condition(&status, "RouteReady").0, ConditionStatus::Unknown);
        assert_eq!(condition(&status, "RouteReady").1, reason);
        assert_eq!(condition(&status, "Ready").0, ConditionStatus::True);
    }
}

#[test]
fn a_route_that_was_not_applied_is_not_claimed_to_be_ready() {
    let mut outcome = applied();
    outcome.children.truncate(ChildKind::VirtualService as usize);
    let status = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    assert_eq!(condition(&status, "RouteReady").0, ConditionStatus::Unknown);
    assert_eq!(condition(&status, "RouteReady").1, "NotApplied");
}

#[test]
fn what_a_mutating_webhook_changed_is_reported() {
    let stored = StoredDifference { differences: "spec.replicas".to_owned(), ..StoredDifference::default() };
    let outcome = with_child(ChildKind::StatefulSet, Ok(stored));
    let status = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    let (holds, _, message) = condition(&status, "Ready");
    assert_eq!(holds, ConditionStatus::True);
    let expected = "Workspace is running; a mutating webhook changed StatefulSet ws-lab-1: spec.replicas";
    assert_eq!(message, expected);
}

#[test]
fn a_redirect_is_a_pending_restart() {
    let mut outcome = applied();
    outcome.options.as_mut().unwrap().image_config = OptionStatus {
        desired: Some("large".to_owned()),
        redirect_chain: vec![RedirectStep { source: "small".to_owned(), target: "large".to_owned() }],
    };
    let one = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    assert!(one.pending_restart);
    assert_eq!(one.state_message, "Workspace is running (an update is available: imageConfig large)");
    outcome.options.as_mut().unwrap().pod_config = OptionStatus {
        desired: Some("huge".to_owned()),
        redirect_chain: vec![RedirectStep { source: "tiny".to_owned(), target: "huge".to_owned() }],
    };
    let both = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    let message = "Workspace is running (an update is available: imageConfig large, podConfig huge)";
    assert_eq!((both.pending_restart, &*both.state_message), (true, message));
    let paused = status(&workspace(true, &json!({})), None, &outcome);
    assert_eq!((paused.pending_restart, &*paused.state_message), (true, "Workspace is paused"));
}

#[test]
fn a_mount_that_is_left_out_is_reported() {
    let mount = SkippedMount { path: "/data".to_owned(), volume: "cache".to_owned(), kept: "data-volume-0".to_owned() };
    let outcome = ApplyOutcome { skipped_mounts: vec![mount], ..applied() };
    let status = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    let message = "Workspace is running; cache is not mounted at /data, where data-volume-0 is";
    assert_eq!(condition(&status, "Ready"), (ConditionStatus::True, "Running", message));
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
fn what_may_work_the_next_time_changes_no_condition() {
    let first = status(&workspace(false, &json!({})), Some(&running()), &applied());
    let held = workspace(false, &serde_json::to_value(&first).unwrap());
    let contested = ApplyError::Contested { kind: "Service", name: "ws-lab-1".to_owned() };
    let undecided = with_child(ChildKind::Service, Err(contested));
    assert_eq!(status(&held, Some(&running()), &undecided), first);
    let stopped = status(&held, None, &undecided);
    assert_eq!(stopped.state, WorkspaceState::Unknown, "the state of the pod is reported");
    assert_eq!(stopped.conditions, first.conditions);
}

#[test]
fn messages_are_bounded() {
    let long = ApplyOutcome { spec_error: Some(reason(&"ü".repeat(MESSAGE_MAX))), ..applied() };
    let status = status(&workspace(false, &json!({})), None, &long);
    assert!(status.state_message.len() <= MESSAGE_MAX && status.state_message.ends_with("ü…"));
    assert!(condition(&status, "Ready").2.len() <= MESSAGE_MAX);
}

#[test]
fn a_pod_on_an_older_template_waits_for_a_restart() {
    let change = "the pod was made from revision 1, the current one is 2: spec.hostname: \"a\" is removed";
    let outdated = |restart, change: Option<&str>| PodReplacement {
        rollout: Rollout::Outdated,
        restart,
        change: change.map(Into::into),
        deleted: None,
        error: None,
    };
    let status = |workspace: &StoredWorkspace, replacement: &PodReplacement| {
        let names = names(workspace);
        let (pod, outcome) = (Some(&running()), &applied());
        desired(StatusFacts { replacement, ..facts(workspace, &names, pod, outcome) }).0
    };
    let pending = |status: &WorkspaceStatus| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == PENDING_RESTART);
        (status.pending_restart, condition.map(|condition| condition.message.clone()))
    };
    let stays = status(&workspace(false, &json!({})), &outdated(Restart::None, Some(change)));
    assert_eq!(pending(&stays), (true, Some(change.to_owned())));
    assert_eq!(stays.state_message, "Workspace is running (a restart is pending)");
    // What the template has become is not known yet.
    let known = workspace(false, &serde_json::to_value(&stays).unwrap());
    let unseen = PodReplacement { rollout: Rollout::Unseen, ..outdated(Restart::None, None) };
    assert_eq!(pending(&status(&known, &unseen)), pending(&stays));
    assert_eq!(pending(&status(&workspace(false, &json!({})), &unseen)), (false, None));
    assert_eq!(pending(&status(&known, &outdated(Restart::Due(RestartCause::Edited), None))), (false, None));
    assert_eq!(pending(&status(&known, &CURRENT)), (false, None));
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
fn kstatus_takes_each_for_what_it_is() {
    let (lab, paused) = (workspace(false, &json!({})), workspace(true, &json!({})));
    let spec = ApplyOutcome { spec_error: Some(reason("kind gone")), ..applied() };
    let foreign = ApplyError::Foreign { kind: "ServiceAccount", name: "ws-lab".to_owned() };
    let foreign = with_child(ChildKind::ServiceAccount, Err(foreign));
    let header = UnsafeHeader { field: "spec.x".to_owned(), detail: "bad".to_owned() };
    let refused_route =
        ApplyOutcome { route: Some(Route::Refused(RouteFault::Headers(vec![header.clone()]))), ..applied() };
    let stored = StoredDifference { unsafe_headers: vec![header], ..StoredDifference::default() };
    let stored = with_child(ChildKind::VirtualService, Ok(stored));
    let pod = running();
    for (workspace, pod, outcome, expected) in [
        (&lab, Some(&pod), &applied(), "Current"),
        (&paused, None, &applied(), "Current"),
        (&paused, Some(&pod), &applied(), "InProgress"),
        (&lab, None, &applied(), "InProgress"),
        (&lab, Some(&pod), &spec, "Failed"),
        (&paused, None, &spec, "Failed"),
        (&lab, None, &foreign, "Failed"),
        (&lab, Some(&pod), &refused_route, "Failed"),
        (&lab, Some(&pod), &stored, "Failed"),
        (&lab, Some(&pod), &with_child(ChildKind::Service, Err(refused())), "InProgress"),
    ] {
        let status = status(workspace, pod, outcome);
        assert_eq!(kstatus(workspace, &status), expected, "{:?}", status.conditions);
    }
}

#[test]
fn what_is_refused_three_times_is_stalled_and_stays_so_after_a_start() {
    let outcome = with_child(ChildKind::Service, Err(refused()));
    let after = |held: &WorkspaceStatus, refusals| {
        let workspace = workspace(false, &serde_json::to_value(held).unwrap());
        let names = names(&workspace);
        let facts = StatusFacts { refusals, ..facts(&workspace, &names, None, &outcome) };
        desired(facts).0
    };
    let shown = |status: &WorkspaceStatus| {
        let progress = status.conditions.last().unwrap();
        (progress.type_.clone(), progress.reason.clone(), progress.message.clone())
    };
    let message = "Workspace Service ws-lab-1 was refused: quota";
    let of = |type_: &str| (type_.to_owned(), "Refused".to_owned(), message.to_owned());
    let first = after(&WorkspaceStatus::default(), 1);
    assert_eq!(shown(&first), of("Reconciling"));
    assert_eq!(after(&first, 2), first, "nothing is written in between");
    let stalled = after(&first, 3);
    assert_eq!(shown(&stalled), of("Stalled"));
    assert_eq!(after(&stalled, 1), stalled, "a start of the controller writes nothing");
    let edited = WorkspaceStatus {
        conditions: stalled
            .conditions
            .iter()
            .cloned()
            .map(|held| Condition { observed_generation: Some(6), ..held })
            .collect(),
        ..stalled.clone()
    };
    assert_eq!(shown(&after(&edited, 1)), of("Reconciling"), "an edit is tried three times again");
}

/// Conditions of an earlier spec must not pass for those of this one.
#[test]
fn what_may_work_the_next_time_is_in_progress_after_an_edit() {
    let first = status(&workspace(false, &json!({})), Some(&running()), &applied());
    let mut edited = workspace(false, &serde_json::to_value(&first).unwrap());
    edited.generation = 8;
    let contested = ApplyError::Contested { kind: "Service", name: "ws-lab-1".to_owned() };
    let status = status(&edited, Some(&running()), &with_child(ChildKind::Service, Err(contested)));
    assert_eq!(kstatus(&edited, &status), "InProgress");
    let message = "Workspace Service ws-lab-1 is being modified by another client";
    assert_eq!(condition(&status, "Reconciling"), (ConditionStatus::True, "Contested", message));
    assert_eq!(status.conditions[..3], first.conditions);
}

#[test]
fn it_can_be_opened_exactly_while_its_pod_is_ready_and_routed() {
    let lab = workspace(false, &json!({}));
    let available = |pod: Option<&Pod>, outcome: &ApplyOutcome| {
        let status = status(&lab, pod, outcome);
        let (holds, reason, _) = condition(&status, "Available");
        (holds, reason.to_owned())
    };
    let of = |holds, reason: &str| (holds, reason.to_owned());
    let pod = running();
    let off = ApplyOutcome { route: Some(Route::Off), ..applied() };
    assert_eq!(available(Some(&pod), &off), of(ConditionStatus::True, "Available"));
    let unrendered = ApplyOutcome { route: None, spec_error: Some(reason("kind gone")), ..applied() };
    assert_eq!(available(Some(&pod), &unrendered), of(ConditionStatus::Unknown, "RouteNotReady"));
    assert_eq!(available(None, &unrendered), of(ConditionStatus::False, "Test"));
    let failed = with_child(ChildKind::VirtualService, Err(refused_route()));
    assert_eq!(available(Some(&pod), &failed), of(ConditionStatus::False, "RouteNotReady"));
    // A refusal by itself closes nothing.
    let refused = with_child(ChildKind::Service, Err(refused()));
    assert_eq!(available(Some(&pod), &refused), of(ConditionStatus::True, "Available"));
}

/// What runs is not what the user asked for.
#[test]
fn a_pod_that_is_about_to_be_replaced_is_not_said_to_run() {
    let state = |paused, rollout, restart| {
        let replacement = PodReplacement { rollout, restart, change: None, deleted: None, error: None };
        let lab = workspace(paused, &json!({}));
        let (names, pod, outcome) = (names(&lab), running(), applied());
        let facts = StatusFacts { replacement: &replacement, ..facts(&lab, &names, Some(&pod), &outcome) };
        let status = desired(facts).0;
        assert_eq!(condition(&status, "Available").0, ConditionStatus::True, "it can be opened until then");
        let kstatus = kstatus(&lab, &status);
        (status.state, status.state_message, kstatus, status.last_running_time != 0)
    };
    let pending = |why: &str| (WorkspaceState::Pending, format!("Workspace is {why}"), "InProgress", false);
    let edited = "restarting: its user changed the Workspace";
    assert_eq!(state(false, Rollout::Unseen, Restart::Awaited), pending(edited));
    assert_eq!(state(false, Rollout::Outdated, Restart::Due(RestartCause::Edited)), pending(edited));
    let requested = "restarting: its user asked for a restart";
    assert_eq!(state(false, Rollout::Current, Restart::Due(RestartCause::Requested)), pending(requested));
    let unseen = "pending: the StatefulSet controller has not observed the latest StatefulSet yet";
    assert_eq!(state(false, Rollout::Unseen, Restart::None), pending(unseen));
    let stopping = (WorkspaceState::Running, "Workspace is running".to_owned(), "InProgress", true);
    assert_eq!(state(true, Rollout::Unseen, Restart::None), stopping);
}

/// The last Event about it may be older than those that count.
#[test]
fn an_error_of_its_stateful_set_holds_until_there_is_a_pod_also_after_a_restart_of_the_controller() {
    let message = "Workspace StatefulSet has warning event: exceeded quota";
    let held = |generation: i64, state: &str, message: &str| {
        workspace(false, &json!({"observedGeneration": generation, "state": state, "stateMessage": message}))
    };
    let shown = |lab: &StoredWorkspace, pod: Option<&Pod>| {
        let status = status(lab, pod, &applied());
        (status.state, status.state_message)
    };
    let unknown = (WorkspaceState::Unknown, "Workspace is in an unknown state".to_owned());
    let known = held(7, "Error", message);
    assert_eq!(shown(&known, None), (WorkspaceState::Error, message.to_owned()));
    let first = status(&known, None, &applied());
    let again = StoredWorkspace { status: first.clone(), ..known.clone() };
    assert_eq!(status(&again, None, &applied()), first, "nothing is written");
    assert_eq!(shown(&held(6, "Error", message), None), unknown, "the spec is another one");
    assert_eq!(shown(&held(7, "Error", "Workspace Pod has failed"), None), unknown);
    assert_eq!(shown(&held(7, "Pending", message), None), unknown);
    assert_eq!(shown(&known, Some(&running())).0, WorkspaceState::Running);
}
