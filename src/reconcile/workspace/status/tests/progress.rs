//! Whether something is about to become of it.

use super::*;

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
    let again = StoredWorkspace { status: (&first).into(), ..known.clone() };
    assert_eq!(status(&again, None, &applied()), first, "nothing is written");
    assert_eq!(shown(&held(6, "Error", message), None), unknown, "the spec is another one");
    assert_eq!(shown(&held(7, "Error", "Workspace Pod has failed"), None), unknown);
    assert_eq!(shown(&held(7, "Pending", message), None), unknown);
    assert_eq!(shown(&known, Some(&running())).0, WorkspaceState::Running);
}
