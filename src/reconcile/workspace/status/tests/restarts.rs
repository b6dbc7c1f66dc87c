//! A pod that is not on the current template.

use super::*;

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
    let requested = "restarting: the annotation restart-at asks for it";
    assert_eq!(state(false, Rollout::Current, Restart::Due(RestartCause::Requested)), pending(requested));
    let unseen = "pending: the StatefulSet controller has not observed the latest StatefulSet yet";
    assert_eq!(state(false, Rollout::Unseen, Restart::None), pending(unseen));
    let stopping = (WorkspaceState::Running, "Workspace is running".to_owned(), "InProgress", true);
    assert_eq!(state(true, Rollout::Unseen, Restart::None), stopping);
}
