#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::stores::child::WatchedChild;

const NOW: &str = "2026-01-01T00:10:00Z";

fn workspace(image: &str) -> StoredWorkspace {
    let mut value = serde_json::to_value(crds::testing::workspace("ns", "lab", "k")).unwrap();
    value["spec"]["podTemplate"]["options"]["imageConfig"] = json!(image);
    serde_json::from_value(value).unwrap()
}

fn asked_at(at: &str) -> StoredWorkspace {
    StoredWorkspace { restart_at: Some(at.into()), ..workspace("a") }
}

/// A set of generation 2 with that record, whose controller has seen the generation `observed` and its `revision`.
fn set(record: Option<&str>, observed: i64, revision: &str) -> Child {
    let mut value = json!({
        "metadata": {"name": "ws-lab-1", "generation": 2, "annotations": {}},
        "status": {"observedGeneration": observed, "updateRevision": revision},
    });
    if let Some(record) = record {
        value["metadata"]["annotations"]["notebooks.kubeflow.org/restart"] = json!(record);
    }
    serde_json::from_str::<WatchedChild>(&value.to_string()).unwrap().into()
}

fn pod(revision: &str, change: impl FnOnce(&mut Value)) -> Pod {
    let mut value = json!({
        "metadata": {
            "name": "ws-lab-1-0", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"controller-revision-hash": revision},
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn running(revision: &str) -> Pod {
    pod(revision, |_| {})
}

fn never_ready(revision: &str) -> Pod {
    pod(revision, |pod| {
        let conditions = json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:01Z"}]);
        pod["status"] = json!({"phase": "Pending", "startTime": "2026-01-01T00:00:01Z", "conditions": conditions});
    })
}

fn deleting(revision: &str) -> Pod {
    pod(revision, |pod| pod["metadata"]["deletionTimestamp"] = json!(NOW))
}

fn record(workspace: &StoredWorkspace, set: Option<&Child>, pod: Option<&Pod>) -> String {
    RestartRecord::next(&workspace.spec.pod_template, set, pod).to_string()
}

fn restart(workspace: &StoredWorkspace, set: &Child, pod: &Pod) -> Restart {
    Restart::of(workspace, Some(set), Some(pod), None, NOW.parse().unwrap())
}

/// Were it to change, an upgrade of the controller would look like an edit of every user.
#[test]
fn the_hash_of_what_a_user_wrote_is_that_of_earlier_versions() {
    let mut template = workspace("a").spec.pod_template;
    template.volumes = serde_json::from_value(json!({
        "home": "home",
        "data": [{"pvcName": "data", "mountPath": "/data"}, {"pvcName": "b", "mountPath": "/b", "readOnly": true}],
        "secrets": [{"secretName": "token", "mountPath": "/token", "defaultMode": 256}],
    }))
    .unwrap();
    let metadata = json!({"labels": {"a": "b"}, "annotations": {"c": "d"}});
    template.pod_metadata = Some(serde_json::from_value(metadata).unwrap());
    assert_eq!(RestartRecord::next(&template, None, None).to_string(), "inputs=617478ceff85cab638a3b39540ff5e49");
}

#[test]
fn an_edit_of_the_user_is_recorded_with_the_revision_that_it_replaces() {
    let (before, after) = (workspace("a"), workspace("b"));
    let made = record(&before, None, None);
    assert_eq!(made.matches("replaces").count(), 0);
    let known = set(Some(&made), 2, "r1");
    assert_eq!(record(&before, Some(&known), Some(&running("r1"))), made, "nothing was edited");
    let edited = record(&after, Some(&known), Some(&running("r1")));
    assert!(edited.ends_with(",replaces=r1") && !edited.starts_with(&made), "{edited}");
    // The pod is still there, and another edit follows.
    let again = record(&workspace("c"), Some(&set(Some(&edited), 1, "r1")), Some(&running("r1")));
    assert!(again.ends_with(",replaces=r1") && again != edited, "{again}");
    // Or it is on its way out, and the next one may still be made from the template before.
    let gone = record(&after, Some(&known), Some(&deleting("r0")));
    assert!(gone.ends_with(",replaces=r1"), "{gone}");
    assert_eq!(record(&after, Some(&known), None), gone);
}

#[test]
fn what_is_not_known_to_be_an_edit_replaces_nothing() {
    let pod = running("r1");
    for unreadable in [None, Some(""), Some("replaces=r1"), Some("abc,replaces=r1")] {
        let adopted = set(unreadable, 2, "r1");
        assert!(!record(&workspace("a"), Some(&adopted), Some(&pod)).contains("replaces"), "{unreadable:?}");
        assert_eq!(restart(&workspace("a"), &set(unreadable, 2, "r2"), &pod), Restart::None, "{unreadable:?}");
    }
}

#[test]
fn a_restart_that_has_happened_is_forgotten() {
    let lab = workspace("a");
    let made = record(&lab, None, None);
    let edited = format!("{made},replaces=r1");
    let next =
        |observed, revision: &str, pod: Option<&Pod>| record(&lab, Some(&set(Some(&edited), observed, revision)), pod);
    assert_eq!(next(2, "r2", Some(&running("r2"))), made);
    assert_eq!(next(2, "r2", None), made);
    assert_eq!(next(2, "r1", Some(&running("r1"))), made, "the edit changed nothing of the template");
    assert_eq!(next(2, "r2", Some(&running("r1"))), edited, "the old pod is still there");
    assert_eq!(next(1, "r2", Some(&running("r2"))), edited, "the template has changed again");
}

#[test]
fn a_pod_is_compared_with_the_template_that_its_controller_has_seen() {
    let rollout = |observed, revision: &str, pod: &Pod| Rollout::of(Some(&set(None, observed, revision)), Some(pod));
    assert_eq!(rollout(2, "r1", &running("r1")), Rollout::Current);
    assert_eq!(rollout(2, "r2", &running("r1")), Rollout::Outdated);
    assert_eq!(rollout(1, "r1", &running("r1")), Rollout::Unseen);
    assert_eq!(rollout(2, "r2", &deleting("r1")), Rollout::NoPod);
    assert_eq!(Rollout::of(None, Some(&running("r1"))), Rollout::Unseen);
    assert_eq!(Rollout::of(Some(&set(None, 2, "r1")), None), Rollout::NoPod);
}

#[test]
fn only_a_restart_that_the_user_wants_replaces_a_running_pod() {
    let lab = workspace("a");
    let edited = Some("inputs=i,replaces=r1");
    let cases = [
        ("the kind was edited", lab.clone(), set(Some("inputs=i"), 2, "r2"), running("r1"), Restart::None),
        ("nothing was", lab.clone(), set(edited, 2, "r1"), running("r1"), Restart::None),
        ("the user edited", lab.clone(), set(edited, 2, "r2"), running("r1"), Restart::Due(RestartCause::Edited)),
        ("it is not seen yet", lab.clone(), set(edited, 1, "r1"), running("r1"), Restart::Awaited),
        ("an edit of an earlier pod", lab.clone(), set(edited, 2, "r3"), running("r2"), Restart::None),
        ("the pod is on its way out", lab.clone(), set(edited, 2, "r2"), deleting("r1"), Restart::None),
        ("never ready", lab.clone(), set(None, 2, "r2"), never_ready("r1"), Restart::Due(RestartCause::NeverReady)),
        ("never ready, but current", lab.clone(), set(None, 2, "r1"), never_ready("r1"), Restart::None),
        ("never ready, not seen", lab.clone(), set(None, 1, "r1"), never_ready("r1"), Restart::None),
    ];
    for (what, workspace, set, pod, expected) in cases {
        assert_eq!(restart(&workspace, &set, &pod), expected, "{what}");
    }
    let mut paused = lab;
    paused.spec.paused = true;
    assert_eq!(restart(&paused, &set(edited, 2, "r2"), &running("r1")), Restart::None);
}

#[test]
fn a_restart_is_asked_for_by_a_time_after_the_creation_of_the_pod() {
    let (set, pod) = (set(None, 2, "r1"), running("r1"));
    let due = Restart::Due(RestartCause::Requested);
    let cases = [
        ("2025-12-31T23:59:59Z", Restart::None),
        ("2026-01-01T00:00:00Z", Restart::None),
        ("2026-01-01T00:00:00.900Z", Restart::None),
        ("2026-01-01T00:00:01Z", due),
        ("2026-01-01T01:10:00+01:00", due),
        ("2026-01-01T00:11:30Z", Restart::After(Duration::from_secs(90))),
        ("now", Restart::None),
    ];
    for (at, expected) in cases {
        assert_eq!(restart(&asked_at(at), &set, &pod), expected, "{at}");
    }
}

#[test]
fn a_restart_is_asked_for_once_whatever_the_clocks_say() {
    let (lab, set, pod) = (asked_at("2026-01-01T00:05:00Z"), set(None, 2, "r1"), running("r1"));
    let of = |handled| Restart::of(&lab, Some(&set), Some(&pod), handled, NOW.parse().unwrap());
    assert_eq!(of(Some("2026-01-01T00:04:00Z")), Restart::Due(RestartCause::Requested));
    assert_eq!(of(Some("2026-01-01T00:05:00Z")), Restart::None);
    let without_set = Restart::of(&lab, None, Some(&pod), None, NOW.parse().unwrap());
    assert_eq!(without_set, Restart::None, "it may be the pod of somebody else");
}
