//! Output formats, exit codes, and the commands around `validate`.

use serde_json::{Value, json};

use super::{printed, root, run};

const MISTAKE: &str = "mistakes/template_single_quotes.yaml";

fn json_of(arguments: &[&str], input: &str) -> (Value, i32) {
    let (text, code) = printed(arguments, input);
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), code)
}

#[test]
fn json_has_the_documented_shape() {
    let (output, code) = json_of(&["validate", "-o", "json", MISTAKE], "");
    assert_eq!(code, 1);
    assert_eq!(output["apiVersion"], "workspaces-controller/v1");
    let finding = &output["findings"][0];
    assert_eq!(finding["code"], "WSK002");
    assert_eq!(finding["object"], json!({"kind": "WorkspaceKind", "name": "rstudio"}));
    assert_eq!((&finding["line"], &finding["column"], &finding["endColumn"]), (&json!(16), &json!(35), &json!(36)));
    let summary = json!({
        "files": 1, "workspaceKinds": 1, "workspaces": 0, "foreign": 0, "errors": 1, "warnings": 0, "unreadable": 0,
    });
    assert_eq!(output["summary"], summary);
    let schema = std::fs::read_to_string(root().join("docs/validate-output.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let documented = |name: &str| schema["$defs"]["Finding"]["properties"].get(name).is_some();
    assert!(finding.as_object().unwrap().keys().all(|name| documented(name)), "{finding}");
}

#[test]
fn github_gets_annotations() {
    let (text, code) = printed(&["validate", "--output=github", MISTAKE, "missing.yaml"], "");
    assert_eq!(code, 3);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "::error file={MISTAKE},line=16,col=35,title=WSK002 extra-env-template::spec.podTemplate.extraEnv[BASE].value: "
        )),
        "{text}"
    );
    assert!(lines[1].starts_with("::error file=missing.yaml,title=cannot be read::No such file"), "{text}");
}

#[test]
fn sarif_names_its_rules() {
    let (log, code) = json_of(&["validate", "-o", "sarif", MISTAKE], "");
    assert_eq!((&log["version"], code), (&json!("2.1.0"), 1));
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "WSK002");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["name"], "extra-env-template");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!(region, &json!({"startLine": 16, "startColumn": 35, "endColumn": 36}));
}

#[test]
fn junit_has_a_case_for_each_object() {
    let (text, code) = printed(&["validate", "-o", "junit", "mistakes/workspace_and_kind.yaml"], "");
    assert_eq!(code, 1);
    assert!(text.contains("<testsuites tests=\"3\" failures=\"2\" errors=\"0\">"), "{text}");
    assert_eq!(text.matches("<testcase ").count(), 3, "{text}");
    assert_eq!(text.matches("<failure ").count(), 2, "{text}");
}

#[test]
fn warnings_count_when_they_are_asked_to() {
    let text = std::fs::read_to_string(root().join("docs/examples/jupyterlab-workspace.yaml")).unwrap();
    let text = text.replace("  kind: jupyterlab", "  deferUpdates: true\n  kind: jupyterlab");
    let kind = root().join("docs/examples/jupyterlab-kind.yaml");
    let kind = kind.to_str().unwrap();
    let (output, code) = printed(&["validate", kind, "-"], &text);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("warning WS013 defer-updates"), "{output}");
    assert_eq!(printed(&["validate", "--fail-on=warning", kind, "-"], &text).1, 1);
}

#[test]
fn stored_objects_make_updates_of_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.yaml");
    let kind = std::fs::read_to_string(root().join("docs/examples/jupyterlab-kind.yaml")).unwrap();
    let workspace = std::fs::read_to_string(root().join("docs/examples/jupyterlab-workspace.yaml")).unwrap();
    std::fs::write(&old, format!("{kind}\n---\n{workspace}")).unwrap();
    let old = old.to_str().unwrap();
    // The kind is among the stored objects.
    assert_eq!(printed(&["validate", "--old", old, "-"], &workspace).1, 0);
    assert_eq!(printed(&["validate", "-"], &workspace).1, 1);
    // A transition rule.
    let moved = workspace.replace("  kind: jupyterlab", "  kind: rstudio");
    let (output, code) = printed(&["validate", "--old", old, "-"], &moved);
    assert_eq!(code, 1);
    assert!(output.contains("API003 schema-rule: spec.kind: "), "{output}");
    assert!(output.contains("immutable"), "{output}");
}

#[test]
fn an_object_that_is_defined_twice_is_reported() {
    let kind = std::fs::read_to_string(root().join("docs/examples/jupyterlab-kind.yaml")).unwrap();
    let both = format!("{kind}\n---\n{kind}");
    let (output, code) = json_of(&["validate", "-o", "json", "-"], &both);
    let findings = output["findings"].as_array().unwrap();
    let reported: Vec<_> = findings
        .iter()
        .map(|finding| (finding["code"].as_str().unwrap(), finding["message"].as_str().unwrap()))
        .collect();
    let second = both.lines().enumerate().filter(|(_, line)| line.starts_with("apiVersion: ")).nth(1).unwrap().0 + 1;
    let message = format!("the same object is defined again in stdin:{second}, and that definition wins");
    assert_eq!((reported, code), (vec![("FILE001", &*message)], 0));
    // A generated name is another one each time, and a stored object is meant to be replaced.
    let generated = kind.replace("  name: jupyterlab", "  generateName: jupyterlab-");
    assert_ne!(generated, kind);
    let (output, _) = json_of(&["validate", "-o", "json", "-"], &format!("{generated}\n---\n{generated}"));
    assert_eq!(output["findings"], serde_json::json!([]), "{output}");
    let stored = root().join("docs/examples/jupyterlab-kind.yaml");
    let (output, _) = json_of(&["validate", "-o", "json", "--old", stored.to_str().unwrap(), "-"], &kind);
    assert_eq!(output["findings"], serde_json::json!([]), "{output}");
}

#[test]
fn settings_of_admission_are_applied() {
    let kind = root().join("docs/examples/jupyterlab-kind.yaml");
    let kind = kind.to_str().unwrap();
    let (output, code) = printed(&["validate", "--port-dialects=id", kind], "");
    assert_eq!(code, 1);
    assert!(output.contains("WSK004"), "{output}");
    // The user who will apply it is unknown.
    let kind_with_role = std::fs::read_to_string(kind)
        .unwrap()
        .replace("  podTemplate:\n", "  podTemplate:\n    serviceAccount: {clusterRoles: [{name: view}]}\n");
    assert!(kind_with_role.contains("view"));
    for check in ["enforce", "warn", "off"] {
        let arguments = ["validate", "-o=json", "--check-cluster-role-bind", check, "-"];
        let (output, code) = json_of(&arguments, &kind_with_role);
        let codes: Vec<&Value> = output["findings"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert_eq!((codes, code), (Vec::new(), 0), "{check}: {output}");
    }
    let (output, code) = printed(&["validate", "--connect-path-prefix=x/", kind], "");
    assert_eq!(code, 2);
    assert!(output.starts_with("error: --connect-path-prefix=\"x/\": "), "{output}");
}

#[test]
fn wrong_usage_is_one_line() {
    let cases: [(&[&str], &str); 6] = [
        (&["validate"], "error: validate: needs a file, a directory or - for the standard input\n"),
        (&["validate", "-o=xml", "x"], "error: --output=\"xml\": must be one of text, json, github, sarif, junit\n"),
        (&["validate", "--old", "-", "-"], "error: --old=\"-\": the standard input can be read only once\n"),
        (
            &["explain", "request-headers"],
            "error: explain=\"request-headers\": unknown rule, did you mean request-header? (explain without a rule lists all)\n",
        ),
        (&["completion"], "error: <SHELL>: required argument is missing (--help shows the usage)\n"),
        (&["version", "-o", "yaml"], "error: --output=\"yaml\": must be one of text, json\n"),
    ];
    for (arguments, expected) in cases {
        assert_eq!(printed(arguments, ""), (expected.to_owned(), 2), "{arguments:?}");
    }
}

#[test]
fn rules_are_explained_and_shells_completed() {
    let (text, code) = printed(&["explain", "WSK003"], "");
    assert_eq!(code, 0);
    assert!(text.starts_with("WSK003 request-header: "), "{text}");
    assert!(printed(&["explain"], "").0.lines().count() > 40);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (text, code) = printed(&["completion", shell], "");
        assert!(code == 0 && text.contains("fail-on"), "{shell}: {text}");
    }
    let (version, code) = json_of(&["version", "-o", "json"], "");
    assert_eq!((&version["version"], code), (&json!(env!("CARGO_PKG_VERSION")), 0));
}

#[test]
fn help_has_examples_defaults_and_variables() {
    let (text, code) = printed(&["validate", "--help"], "");
    assert_eq!(code, 0);
    for part in
        ["Examples:", "[env: PORT_DIALECTS] [default: portId,id]", "[default: error]", "Exit codes:", "Admission:"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let program = env!("CARGO_BIN_EXE_workspaces-controller");
    let script = format!(
        "{program} explain | head -1; {program} validate mistakes -o json | head -1; {program} --help | head -1"
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(root().join("tests/offline"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert_eq!(run(&["explain"], b"").status.code(), Some(0));
}
