//! `explain-rules`: the examples of `docs/activity.md`, and what is wrong is named.

use serde_json::{Value, json};

use super::{printed, root};

fn page() -> String {
    std::fs::read_to_string(root().join("docs/activity.md")).unwrap()
}

/// The fenced blocks of the page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The example kind with the fields of the page.
fn kind() -> Value {
    let example = std::fs::read_to_string(root().join("docs/examples/jupyterlab-kind.yaml")).unwrap();
    let mut kind: Value = serde_saphyr::from_str(&example).unwrap();
    let fields: Value = serde_saphyr::from_str(blocks(&page(), "yaml")[0]).unwrap();
    kind["spec"]["podTemplate"]["activityProbe"] = fields["podTemplate"]["activityProbe"].clone();
    kind["spec"]["activityRules"] = fields["activityRules"].clone();
    kind
}

/// What is printed about a kind in the standard input.
fn explained(kind: &Value, arguments: &[&str]) -> (String, i32) {
    printed(&[&["explain-rules", "-f", "-"], arguments].concat(), &kind.to_string())
}

#[test]
fn the_examples_of_the_documentation_are_what_is_printed() {
    let (page, kind) = (page(), kind());
    let examples = blocks(&page, "console");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (command, expected) = example.split_once('\n').unwrap();
        let arguments = command.strip_prefix("$ workspaces-controller explain-rules ").unwrap();
        let (output, code) = explained(&kind, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!((output.as_str(), code), (expected, 0), "{command}");
    }
}

/// The last lines of the explanation: when it would be paused.
#[track_caller]
fn assert_consequence(kind: &Value, arguments: &[&str], expected: &str) {
    let (output, code) = explained(kind, arguments);
    let consequence = output.rsplit_once("\n\n").unwrap().1;
    assert!(consequence.starts_with(expected), "{arguments:?}: {consequence}");
    assert_eq!(code, 0);
}

#[test]
fn says_when_it_would_be_paused() {
    let kind = kind();
    let after_8h = "spec.activityRules[2] pauses the Workspace once it has not been active for 8h.\n";
    for (arguments, expected) in [
        (&[][..], "It is paused by"),
        (&["--idle", "2h"], "Idle for 2h, it may be paused in 6h.\n"),
        (&["--idle", "7h59m30s"], "Idle for 7h59m30s, it may be paused in 30s.\n"),
        (&["--idle", "8h"], "Idle for 8h, it may be paused now.\n"),
        (&["--running", "3h"], "Running for 3h and never seen active, it may be paused in 5h.\n"),
        (&["--idle=0", "--running=9h"], "Idle for 0s and running for 9h, it may be paused in 8h.\n"),
    ] {
        assert_consequence(&kind, arguments, &format!("{after_8h}{expected}"));
    }
    let gpu = ["--pod-config=gpu", "--idle=2h", "--running=10m"];
    let expected = "spec.activityRules[1] pauses the Workspace once it has not been active for 1h and has been running for \
                    30m.\nIdle for 2h and running for 10m, it may be paused in 20m.\n";
    assert_consequence(&kind, &gpu, expected);
}

#[test]
fn says_why_nothing_is_paused() {
    let mut kind = kind();
    kind["spec"]["activityRules"].as_array_mut().unwrap().truncate(2);
    assert_consequence(&kind, &[], "No rule matches: the Workspace is not paused.\n");
    kind["spec"]["podTemplate"].as_object_mut().unwrap().remove("activityProbe");
    let expected = "No Workspace of this kind is paused: neither spec.podTemplate.activityProbe nor \
                    spec.podTemplate.culling is set, so nothing is known about activity.\n";
    assert_consequence(&kind, &[], expected);
    let mut culling = json!({"enabled": false, "activityProbe": {"exec": {"command": ["is-active"]}}});
    kind["spec"]["podTemplate"]["culling"] = culling.clone();
    let expected = "No Workspace of this kind is paused: spec.podTemplate.culling.enabled is false, so nothing is known about \
                    activity.\n";
    assert_consequence(&kind, &[], expected);
    culling["enabled"] = json!(true);
    kind["spec"]["podTemplate"]["culling"] = culling;
    let expected = "spec.podTemplate.culling pauses the Workspace once it has not been active for 24h.\n\
                    It is paused by a successful probe that finds no activity. It is probed with a command every 1m, and when \
                    it may be paused, but not more often than every 1m.\n";
    assert_consequence(&kind, &[], expected);
}

#[test]
fn a_malformed_rule_is_a_finding() {
    let mut kind = kind();
    kind["spec"]["activityRules"][1]["match"]["matchPodConfig"]["selector"]["matchExpressions"][0]["operator"] =
        json!("Is");
    let (output, code) = explained(&kind, &["--pod-config", "gpu"]);
    let expected = "\nspec.activityRules[1]: effect.pauseWorkspace true, config.secondsSinceActive 3600, \
                    config.minRunningSeconds 1800\n  malformed: \
                    spec.activityRules[1].match.matchPodConfig.selector.matchExpressions[0].operator: not a valid selector \
                    operator: In, NotIn, Exists or DoesNotExist\n\nNo Workspace that the rules before it do not decide about is \
                    paused: the rule may be one that exempts it. Correct the selector.\n";
    assert!(output.ends_with(expected), "{output}");
    assert_eq!(code, 1);
}

#[test]
fn what_is_wrong_is_named_with_what_to_write_instead() {
    let kind = kind();
    for (arguments, expected) in [
        (&["jupiterlab"][..], "error: KIND=\"jupiterlab\": no such WorkspaceKind, did you mean \"jupyterlab\"?\n"),
        (&["rstudio"], "error: KIND=\"rstudio\": no such WorkspaceKind (there are: jupyterlab)\n"),
        (
            &["--pod-config", "samll"],
            "error: --pod-config=\"samll\": no such podConfig in WorkspaceKind jupyterlab, did you mean \"small\"? (its \
             ids: small, large, gpu)\n",
        ),
        (
            &["--idle", "2", "--running=-1h"],
            "error: --idle=\"2\": must be a duration such as 90s, 2h or 1h30m\n\
             error: --running=\"-1h\": must be a duration such as 90s, 2h or 1h30m\n",
        ),
        (
            &["--namespace-labels", "team=ml,gold"],
            "error: --namespace-labels=\"team=ml,gold\": \"gold\" must be written as key=value\n",
        ),
        (
            &["--namespace-labels", "team=a/b"],
            "error: --namespace-labels=\"team=a/b\": value \"a/b\": must be empty or consist of alphanumeric characters, \
             '-', '_' or '.', and start and end with an alphanumeric character (e.g. 'my_value')\n",
        ),
    ] {
        let (output, code) = explained(&kind, arguments);
        assert_eq!((output.as_str(), code), (expected, 2), "{arguments:?}");
    }
    let expected = "error: explain-rules: needs the name of a WorkspaceKind on the cluster, or --filename\n";
    assert_eq!(printed(&["explain-rules"], ""), (expected.to_owned(), 2));
}

#[test]
fn the_kind_may_be_left_out_where_there_is_one() {
    let mut other = kind();
    other["metadata"]["name"] = json!("other");
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [kind(), other]});
    let expected = "error: KIND: there are several among the inputs, name one of them: jupyterlab, other\n";
    assert_eq!(explained(&both, &[]), (expected.to_owned(), 2));
    assert!(explained(&both, &["other"]).0.starts_with("WorkspaceKind other\n"));
    assert!(explained(&kind(), &[]).0.starts_with("WorkspaceKind jupyterlab\n"));
    let workspace = std::fs::read_to_string(root().join("docs/examples/jupyterlab-workspace.yaml")).unwrap();
    let expected = "error: KIND: there is no WorkspaceKind among the inputs\n";
    assert_eq!(printed(&["explain-rules", "-f", "-"], &workspace), (expected.to_owned(), 2));
    // What cannot be read may be the kind.
    let (output, code) = printed(&["explain-rules", "jupyterlab", "-f", "missing.yaml"], "");
    assert!(output.starts_with("missing.yaml: "), "{output}");
    assert_eq!(code, 3);
}
