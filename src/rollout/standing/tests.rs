#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";
const RULE: IdleRule = IdleRule { at_least: Duration::from_mins(30), interval: Duration::from_hours(1) };

fn millis(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

/// One that has been running since 9:00:07, with a restart pending since 10:00.
fn workspace(change: impl FnOnce(&mut Value)) -> StoredWorkspace {
    let workspace = crds::testing::workspace("team-a", "lab", "jupyterlab");
    let mut workspace = serde_json::to_value(&workspace).unwrap();
    workspace["metadata"] = json!({"namespace": "team-a", "name": "lab", "uid": "u", "generation": 3});
    let condition = |type_: &str, reason: &str| {
        let since = "2026-01-01T10:00:00Z";
        json!({"type": type_, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": since})
    };
    workspace["status"] = json!({
        "observedGeneration": 3, "state": "Running", "stateMessage": "Workspace is running (a restart is pending)",
        "pendingRestart": true, "lastRunningTime": millis("2026-01-01T09:00:07Z"),
        "activity": {
            "lastActivity": millis("2026-01-01T11:00:00Z"), "lastUpdate": millis("2026-01-01T11:40:00Z"),
            "lastProbe": {"startTime": 1, "endTime": 2, "result": "Success", "message": ""},
        },
        "conditions": [condition("Available", "Available"), condition("PendingRestart", "TemplateChanged")],
    });
    change(&mut workspace);
    serde_json::from_value(workspace).unwrap()
}

fn of(idle: Option<IdleRule>, change: impl FnOnce(&mut Value)) -> Result<Due, Left> {
    standing(&workspace(change), idle, NOW.parse().unwrap())
}

fn annotated(at: &str) -> impl FnOnce(&mut Value) {
    move |workspace| workspace["metadata"]["annotations"] = json!({"notebooks.kubeflow.org/restart-at": at})
}

#[test]
fn a_pending_restart_is_due() {
    let before = Before { last_running_time: millis("2026-01-01T09:00:07Z"), is_available: true };
    let since = Some("2026-01-01T10:00:00Z".parse().unwrap());
    let due = Due { pending_since: since, idle: None, before };
    assert_eq!(of(None, |_| {}), Ok(due.clone()));
    let idle = Some(Idle { time: Duration::from_mins(40), is_fresh: false });
    assert_eq!(of(Some(RULE), |_| {}), Ok(Due { idle, ..due.clone() }));
    // A CRD of before conditions.
    let bare = of(None, |workspace| {
        let status = workspace["status"].as_object_mut().unwrap();
        status.remove("conditions");
        status.remove("observedGeneration");
    });
    assert_eq!(bare, Ok(Due { pending_since: None, ..due }));
}

#[test]
fn what_has_no_restart_pending_is_left() {
    assert_eq!(of(None, |workspace| workspace["status"]["pendingRestart"] = json!(false)), Err(Left::Current));
    let redirected = |workspace: &mut Value| {
        workspace["status"]["conditions"][1]["reason"] = json!("UpdateAvailable");
    };
    assert_eq!(of(None, redirected), Err(Left::UpdateAvailable));
    let redirected = |workspace: &mut Value| {
        workspace["status"]["conditions"] = json!([]);
        workspace["status"]["stateMessage"] = json!("Workspace is running (an update is available: imageConfig x)");
    };
    assert_eq!(of(None, redirected), Err(Left::UpdateAvailable));
    assert_eq!(of(None, |workspace| workspace["spec"]["paused"] = json!(true)), Err(Left::Paused));
    assert_eq!(of(None, |workspace| workspace["metadata"]["deletionTimestamp"] = json!(NOW)), Err(Left::Deleting));
    assert_eq!(of(None, |workspace| workspace["metadata"]["generation"] = json!(4)), Err(Left::NotReconciled));
}

#[test]
fn a_restart_that_somebody_asked_for_is_theirs() {
    for (at, expected) in [
        // Tonight.
        ("2026-01-01T20:00:00Z", Some(Left::Requested)),
        // A moment ago.
        ("2026-01-01T11:59:58Z", Some(Left::Requested)),
        // Nothing came of it, or a clock is wrong.
        ("2026-01-01T11:55:01Z", Some(Left::Requested)),
        ("2026-01-01T11:55:00Z", None),
        // The pod that runs is of that restart, or of a later one.
        ("2026-01-01T09:00:00Z", None),
        ("2020-01-01T00:00:00Z", None),
        ("soon", None),
    ] {
        assert_eq!(of(None, annotated(at)).err(), expected, "{at}");
    }
}

#[test]
fn only_what_is_known_to_be_idle_is_due_where_that_counts() {
    let probed =
        |change: &dyn Fn(&mut Value)| of(Some(RULE), |workspace| change(&mut workspace["status"]["activity"])).err();
    let active = |activity: &mut Value| activity["lastActivity"] = json!(millis("2026-01-01T11:10:01Z"));
    assert_eq!(probed(&active), Some(Left::InUse));
    let failed = |activity: &mut Value| activity["lastProbe"]["result"] = json!("Timeout");
    assert_eq!(probed(&failed), Some(Left::Unknown(IdleUnknown::ProbeFailed)));
    let never = |activity: &mut Value| *activity = json!({});
    assert_eq!(probed(&never), Some(Left::Unknown(IdleUnknown::NeverProbed)));
    let old = |activity: &mut Value| activity["lastUpdate"] = json!(millis("2026-01-01T09:59:59Z"));
    assert_eq!(probed(&old), Some(Left::Unknown(IdleUnknown::Outdated)));
}

#[test]
fn one_that_is_idle_waits_for_its_next_probe_unless_that_was_just_now() {
    let waits = |rule, probed: &str| {
        let due = of(rule, |workspace| workspace["status"]["activity"]["lastUpdate"] = json!(millis(probed)));
        due.map(|due| due.waits_for_probe())
    };
    for (probed, expected) in [
        ("2026-01-01T12:00:00Z", Ok(false)),
        ("2026-01-01T11:59:30Z", Ok(false)),
        ("2026-01-01T11:59:29.999Z", Ok(true)),
        ("2026-01-01T11:30:00Z", Ok(true)),
        ("2026-01-01T11:29:59Z", Err(Left::InUse)),
        // By the clock of the controller, which is ahead.
        ("2026-01-01T12:00:01Z", Ok(true)),
    ] {
        assert_eq!(waits(Some(RULE), probed), expected, "{probed}");
    }
    assert_eq!(waits(None, "2026-01-01T10:30:00Z"), Ok(false), "where that does not count");
}

#[test]
fn it_is_over_once_another_pod_can_be_opened() {
    let before = Before { last_running_time: millis("2026-01-01T09:00:07Z"), is_available: true };
    let running_anew = |workspace: &mut Value| {
        workspace["status"]["lastRunningTime"] = json!(millis("2026-01-01T12:00:09Z"));
        workspace["status"]["pendingRestart"] = json!(false);
        workspace["status"]["conditions"].as_array_mut().unwrap().pop();
    };
    let after = |before: Before, change: &dyn Fn(&mut Value)| aftermath(before, &workspace(change));
    let away = |why: &str| Aftermath::Away(why.to_owned());
    assert_eq!(after(before, &|_| {}), away(NOT_REPLACED));
    assert_eq!(after(before, &running_anew), Aftermath::Over);
    let starting = |workspace: &mut Value| {
        running_anew(workspace);
        workspace["status"]["state"] = json!("Error");
        workspace["status"]["stateMessage"] = json!("Workspace Container is not running (ImagePullBackOff)");
    };
    assert_eq!(after(before, &starting), away("Workspace Container is not running (ImagePullBackOff)"));
    let without_route = |workspace: &mut Value| {
        running_anew(workspace);
        workspace["status"]["conditions"][0]["status"] = json!("False");
        workspace["status"]["conditions"][0]["message"] = json!("Workspace VirtualService was refused");
    };
    assert_eq!(after(before, &without_route), away("Workspace VirtualService was refused"));
    // It had none before.
    assert_eq!(after(Before { is_available: false, ..before }, &without_route), Aftermath::Over);
    // The kind was changed once more.
    let outdated = |workspace: &mut Value| {
        workspace["status"]["lastRunningTime"] = json!(millis("2026-01-01T12:00:09Z"));
    };
    assert_eq!(after(before, &outdated), Aftermath::Over);
    assert_eq!(after(before, &|workspace| workspace["spec"]["paused"] = json!(true)), Aftermath::Over);
}
