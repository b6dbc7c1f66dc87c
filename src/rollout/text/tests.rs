#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::activity::idle::IdleUnknown;
use crate::rollout::plan::{Done, plan};
use crate::rollout::standing::IdleRule;
use crate::stores::slim::Incoming;
use crate::stores::uid::Uid;
use crate::stores::workspace::StoredWorkspace;

const HOUR: i64 = 3_600_000;

fn arguments() -> Rollout {
    Rollout {
        kind: "jupyterlab".to_owned(),
        kubeconfig: None,
        namespace: None,
        max: "5/min".parse().unwrap(),
        idle_for: Some(Duration::from_mins(90)),
        max_unavailable: 5,
        progress_deadline: Duration::from_mins(10),
        dry_run: true,
    }
}

fn now() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

/// Pending for that many hours, and last active that many hours before its last probe, which was just now.
fn workspace(name: &str, pending: i64, idle: i64) -> Incoming<StoredWorkspace> {
    incoming(&object("team-a", name, pending * HOUR, idle * HOUR))
}

fn incoming(object: &Value) -> Incoming<StoredWorkspace> {
    serde_json::from_str(&object.to_string()).unwrap()
}

fn object(namespace: &str, name: &str, pending: i64, idle: i64) -> Value {
    let workspace = crds::testing::workspace(namespace, name, "jupyterlab");
    let mut workspace = serde_json::to_value(&workspace).unwrap();
    let now_millis = now().as_millisecond();
    let since = Timestamp::from_millisecond(now_millis - pending).unwrap().to_string();
    let uid = format!("{namespace}/{name}");
    workspace["metadata"] = json!({"namespace": namespace, "name": name, "uid": uid, "generation": 1});
    workspace["status"] = json!({
        "observedGeneration": 1, "state": "Running", "pendingRestart": true, "lastRunningTime": 1,
        "activity": {
            "lastActivity": now_millis - idle, "lastUpdate": now_millis,
            "lastProbe": {"startTime": 1, "endTime": 2, "result": "Success", "message": ""},
        },
        "conditions": [{
            "type": "PendingRestart", "status": "True", "reason": "TemplateChanged", "message": "m",
            "lastTransitionTime": since,
        }],
    });
    workspace
}

fn planned(idle: Option<IdleRule>, done: &[&str]) -> Plan {
    let unreadable = json!({"metadata": {"namespace": "team-b", "name": "odd", "uid": "odd"}, "spec": {"kind": 3}});
    let workspaces = vec![
        workspace("b", 1, 3),
        workspace("d", 3, 2),
        workspace("c", 2, 9),
        workspace("a", 2, 2),
        workspace("busy", 9, 0),
        incoming(&unreadable),
    ];
    let uids = |names: &[&str]| names.iter().map(|name| Uid::from(&*format!("team-a/{name}"))).collect();
    let done = Done { restarted: uids(&done[..1.min(done.len())]), others: uids(&done[1.min(done.len())..]) };
    plan(workspaces, &done, idle, now())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.restarts.iter().map(|candidate| candidate.key.name()).collect()
}

const RULE: Option<IdleRule> = Some(IdleRule { at_least: Duration::from_mins(90), interval: Duration::from_mins(10) });

#[test]
fn what_is_pending_or_idle_for_longest_is_first() {
    assert_eq!(names(&planned(None, &[])), ["busy", "d", "a", "c", "b"]);
    assert_eq!(names(&planned(RULE, &[])), ["c", "b", "d", "a"]);
    let later = planned(RULE, &["c", "d"]);
    assert_eq!(names(&later), ["b", "a"]);
    assert_eq!(later.left[&Left::Again], [Key::new("team-a", "c")], "restarted, and due again");
}

#[test]
fn a_dry_run_says_what_would_be_restarted_and_how_long_that_takes() {
    let expected = "\
WorkspaceKind jupyterlab: 4 Workspaces would be restarted, one every 12s, each right after its next probe, so for about 10m or longer
   1. team-a/c: pending for 2h, idle for 9h when last probed
   2. team-a/b: pending for 1h, idle for 3h when last probed
   3. team-a/d: pending for 3h, idle for 2h when last probed
   4. team-a/a: pending for 2h, idle for 2h when last probed
1 left: in use, or used less than 1h30m before the last probe (team-a/busy)
1 left: cannot be read (team-b/odd)
dry run: nothing was changed
";
    assert_eq!(dry_run(&planned(RULE, &[]), &arguments(), RULE, now()), expected);
    let arguments = Rollout { namespace: Some("team-c".to_owned()), ..arguments() };
    let expected = "WorkspaceKind jupyterlab in namespace team-c: 0 Workspaces would be restarted\ndry run: nothing was \
                    changed\n";
    assert_eq!(dry_run(&Plan::default(), &arguments, RULE, now()), expected);
}

#[test]
fn the_documentation_shows_what_is_printed() {
    const MINUTE: i64 = HOUR / 60;
    let (hours, mut failed, mut paused) =
        (2 * HOUR, object("team-c", "lab", HOUR, HOUR), object("team-c", "old", 0, 0));
    failed["status"]["activity"]["lastProbe"]["result"] = json!("Failure");
    paused["spec"]["paused"] = json!(true);
    let workspaces = [
        object("team-a", "course", 119 * MINUTE, 41 * MINUTE),
        object("team-b", "thesis", hours, 192 * MINUTE),
        object("team-a", "lab", hours, 9 * HOUR),
        object("team-b", "lab", hours, 0),
        object("team-a", "train", hours, MINUTE),
        failed,
        paused,
    ];
    let arguments = Rollout { idle_for: Some(Duration::from_mins(30)), ..arguments() };
    let rule = Some(IdleRule { at_least: Duration::from_mins(30), interval: Duration::from_mins(15) });
    let printed = dry_run(
        &plan(workspaces.iter().map(incoming).collect(), &Done::default(), rule, now()),
        &arguments,
        rule,
        now(),
    );
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rollout.md")).unwrap();
    let block = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let (_, shown) = block.split_once('\n').unwrap();
    assert_eq!(shown, printed);
}

#[test]
fn the_header_says_how_long_it_takes() {
    let arguments = Rollout { dry_run: false, ..arguments() };
    for (idle, restarts, expected) in [
        (None, 0, "0 Workspaces to restart\n"),
        (None, 1, "1 Workspace to restart\n"),
        (None, 800, "800 Workspaces to restart, one every 12s, so for at least 2h39m\n"),
        (RULE, 0, "0 Workspaces to restart\n"),
        (RULE, 1, "1 Workspace to restart, each right after its next probe, so for about 10m or longer\n"),
        (
            RULE,
            800,
            "800 Workspaces to restart, one every 12s, each right after its next probe, so for about 2h39m or longer\n",
        ),
    ] {
        assert_eq!(header(&arguments, idle, restarts), format!("WorkspaceKind jupyterlab: {expected}"));
    }
}

#[test]
fn the_summary_names_what_went_wrong_and_counts_the_rest() {
    let key = |name: &str| Key::new("team-a", name);
    let keys = |names: &[&str]| names.iter().map(|name| key(name)).collect::<Vec<_>>();
    let mut tally = Tally { restarted: 12, ..Tally::default() };
    assert_eq!(tally.summary(&arguments()), "12 Workspaces restarted\n");
    tally.away = vec![(key("lab"), "Workspace Container is not running (ImagePullBackOff)".to_owned())];
    tally.refused = vec![(key("odd"), "admission webhook \"x\" denied the request".to_owned())];
    tally.remaining = 700;
    tally.left = LeftBy::from([
        (Left::Current, keys(&["l1", "l2"])),
        (Left::InUse, keys(&["u"])),
        (Left::Unknown(IdleUnknown::ProbeFailed), keys(&["f1", "f2", "f3", "f4", "f5"])),
        (Left::Paused, keys(&["p1", "p2"])),
    ]);
    let expected = "\
12 Workspaces restarted, 1 not available again, 1 not restarted because of an error, 700 still to be restarted (run this again)
  not available: team-a/lab: Workspace Container is not running (ImagePullBackOff)
  not restarted: team-a/odd: admission webhook \"x\" denied the request
1 left: in use, or used less than 1h30m before the last probe (team-a/u)
5 left: not known to be idle, the last probe failed (team-a/f1, team-a/f2, team-a/f3, and 2 more)
2 left: paused, the next start takes the current template (team-a/p1, team-a/p2)
2 left: no restart is pending
";
    assert_eq!(tally.summary(&arguments()), expected);
}

#[test]
fn the_line_of_a_terminal_fits_on_it() {
    let seconds = Duration::from_secs;
    let line = status(12, 800, 3, Awaited::Turn, Duration::from_millis(7_900), seconds(9_463));
    assert_eq!(line, "12 of 800 done, 3 not available yet; next in 7s, 2h37m left");
    let line = status(12, 800, 5, Awaited::Available, seconds(1), seconds(63));
    assert_eq!(line, "12 of 800 done, 5 not available yet; waiting for them, 1m3s left");
    let line = status(12, 800, 0, Awaited::Probe, seconds(9), seconds(63));
    assert_eq!(line, "12 of 800 done, 0 not available yet; waiting for the next probe of 788");
    assert!(status(99_999, 99_999, 1000, Awaited::Turn, seconds(10), seconds(999_999)).len() < 80);
    assert!(status(1, 9_999, 1000, Awaited::Probe, seconds(10), seconds(999_999)).len() < 80);
}
