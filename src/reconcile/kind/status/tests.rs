#![allow(clippy::unwrap_used)]
use crds::WorkspaceKindSpec;
use serde_json::{Value, json};
use webhook::Policy;

use super::super::acceptance::Pair;
use super::*;

const GENERATION: i64 = 3;

fn spec() -> WorkspaceKindSpec {
    crds::testing::workspace_kind("lab").spec
}

fn pair(image: &str) -> Pair {
    (image.to_owned(), "tiny".to_owned())
}

fn acceptance(verdicts: &[(&str, Verdict)], is_pending: bool) -> Acceptance {
    let verdicts = verdicts.iter().map(|(image, verdict)| (pair(image), verdict.clone())).collect();
    Acceptance { verdicts, is_pending }
}

fn status_of(held: &WorkspaceKindStatus, acceptance: &Acceptance, spec: &WorkspaceKindSpec) -> WorkspaceKindStatus {
    desired(StatusFacts {
        generation: GENERATION,
        held,
        workspaces: 2,
        options: OptionCounts::default(),
        icon: AssetStatus::default(),
        logo: AssetStatus::default(),
        acceptance,
        references: &References::of(spec, &Policy::default()),
        now: Timestamp::from_second(1_700_000_000).unwrap(),
    })
}

/// Type, status, reason and message of each condition.
fn conditions(status: &WorkspaceKindStatus) -> Vec<[String; 4]> {
    let of = |condition: &Condition| {
        let Condition { type_, status, reason, message, .. } = condition.clone();
        [type_, format!("{status:?}"), reason, message]
    };
    status.conditions.iter().map(of).collect()
}

fn expected(rows: &[[&str; 4]]) -> Vec<[String; 4]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

const RESOLVED: [&str; 4] =
    ["ResolvedRefs", "True", "Resolved", "the ports, options and redirects that the kind refers to exist"];
const READY_TRUE: [&str; 4] = ["Ready", "True", "Ready", "Workspaces of this kind can be created"];

#[test]
fn a_kind_that_is_not_used_is_ready() {
    let status = status_of(&WorkspaceKindStatus::default(), &Acceptance::default(), &spec());
    let unused = "no Workspace uses the kind yet, so nothing has been tried";
    assert_eq!(conditions(&status), expected(&[["Accepted", "True", "NotInUse", unused], RESOLVED, READY_TRUE]));
    assert_eq!((status.observed_generation, status.workspaces), (Some(GENERATION), 2));
    let value = serde_json::to_value(&status).unwrap();
    assert_eq!((&value["spawnerIcon"], &value["spawnerLogo"]), (&json!({}), &json!({})));
    assert_eq!(value["conditions"][0]["lastTransitionTime"], "2023-11-14T22:13:20Z");
}

#[test]
fn the_first_refusal_is_quoted_and_the_others_are_counted() {
    let refused = |text: &str| Verdict::Refused("Refused", text.to_owned());
    let verdicts = [("a", Verdict::Accepted), ("b", refused("at b: no")), ("c", refused("at c: no"))];
    // Whatever else has not been tried yet.
    for is_pending in [false, true] {
        let status = status_of(&WorkspaceKindStatus::default(), &acceptance(&verdicts, is_pending), &spec());
        let message = "at b: no; and 1 more";
        let rows = [["Accepted", "False", "Refused", message], RESOLVED, ["Ready", "False", "Refused", message]];
        assert_eq!(conditions(&status), expected(&rows));
    }
}

#[test]
fn a_dry_run_that_a_webhook_does_not_support_says_nothing_against_a_kind() {
    let verdicts = [("a", Verdict::Accepted), ("b", Verdict::Unsupported("at b: no dry run".to_owned()))];
    let status = status_of(&WorkspaceKindStatus::default(), &acceptance(&verdicts, false), &spec());
    let unknown = ["Accepted", "Unknown", "DryRunNotSupported", "at b: no dry run"];
    assert_eq!(conditions(&status), expected(&[unknown, RESOLVED, READY_TRUE]));
}

#[test]
fn until_all_pairs_are_tried_the_conditions_are_those_of_the_generation_before() {
    let accepted = acceptance(&[("a", Verdict::Accepted)], false);
    let mut held = status_of(&WorkspaceKindStatus::default(), &accepted, &spec());
    held.observed_generation = Some(GENERATION - 1);
    let pending = status_of(&held, &acceptance(&[("a", Verdict::Accepted)], true), &spec());
    assert_eq!((pending.observed_generation, &pending.conditions), (Some(GENERATION - 1), &held.conditions));
    let tried = status_of(&held, &accepted, &spec());
    assert_eq!(tried.observed_generation, Some(GENERATION));
}

#[test]
fn what_does_not_resolve_makes_a_kind_unready_and_conditions_of_others_stay() {
    let mut template: Value = serde_json::to_value(spec()).unwrap();
    template["podTemplate"]["options"]["podConfig"]["spawner"]["default"] = json!("gone");
    let spec: WorkspaceKindSpec = serde_json::from_value(template).unwrap();
    let other = json!({
        "type": "example.com/Scanned", "status": "True", "reason": "Clean", "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    });
    let held = WorkspaceKindStatus {
        conditions: vec![serde_json::from_value(other).unwrap()],
        ..WorkspaceKindStatus::default()
    };
    let status = status_of(&held, &acceptance(&[("a", Verdict::Accepted)], false), &spec);
    let message = "spec.podTemplate.options.podConfig.spawner.default: Invalid value: \"gone\": default podConfig \"gone\" not \
        found";
    let accepted = "the API server accepts the StatefulSet of every pair of options in use";
    let rows = [
        ["example.com/Scanned", "True", "Clean", ""],
        ["Accepted", "True", "Accepted", accepted],
        ["ResolvedRefs", "False", "DefaultNotFound", message],
        ["Ready", "False", "DefaultNotFound", message],
    ];
    assert_eq!(conditions(&status), expected(&rows));
}

/// After a restart the pairs are not tried again where their conditions and counts are those of now.
#[test]
fn conditions_are_trusted_only_for_what_they_were_about() {
    let accepted = acceptance(&[("a", Verdict::Accepted)], false);
    let held = status_of(&WorkspaceKindStatus::default(), &accepted, &spec());
    let options = OptionCounts::default();
    assert!(says_accepted(&held, GENERATION, 2, &options));
    assert!(!says_accepted(&held, GENERATION + 1, 2, &options));
    assert!(!says_accepted(&held, GENERATION, 3, &options));
    assert!(!says_accepted(&WorkspaceKindStatus::default(), GENERATION, 0, &options));
    let refused = acceptance(&[("a", Verdict::Refused("Refused", String::new()))], false);
    let held = status_of(&WorkspaceKindStatus::default(), &refused, &spec());
    assert!(!says_accepted(&held, GENERATION, 2, &options));
}
