//! Whether requests are routed to it.

use super::*;

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
    let names = names(&lab);
    let without_service = StatusFacts { has_service: false, ..facts(&lab, &names, Some(&pod), &refused) };
    let status = desired(without_service).0;
    let message = "Workspace Service ws-lab-1 was refused: quota";
    assert_eq!(condition(&status, "Available"), (ConditionStatus::False, "ServiceNotReady", message));
}
