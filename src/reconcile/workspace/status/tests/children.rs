//! What became of the children.

use super::*;

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
fn a_mount_that_is_left_out_is_reported() {
    let mount = SkippedMount { path: "/data".to_owned(), volume: "cache".to_owned(), kept: "data-volume-0".to_owned() };
    let outcome = ApplyOutcome { skipped_mounts: vec![mount], ..applied() };
    let status = status(&workspace(false, &json!({})), Some(&running()), &outcome);
    let message = "Workspace is running; cache is not mounted at /data, where data-volume-0 is";
    assert_eq!(condition(&status, "Ready"), (ConditionStatus::True, "Running", message));
}
