//! What users read: `kubectl apply` and its bullets.

use std::path::Path;

use serde_json::json;
use webhook::testing::load;

use crate::report;
use crate::stage::{Stage, cluster, kind};

/// A3: four faults of different sorts, four bullets, each with the path of its field and the reason.
#[test]
fn kubectl_shows_one_bullet_for_each_fault() {
    let _stage = Stage::admission_only(&[]);
    let mut kind = kind("four-faults");
    let template = &mut kind["spec"]["podTemplate"];
    template["extraEnv"][0]["value"] = json!("{{ httpPathPrefix 'jupyterlab' }}");
    template["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Path"] = json!("100%");
    template["ports"][1]["portId"] = json!("tensorbord");
    template["options"]["podConfig"]["spawner"]["default"] = json!("medium");
    let output = cluster().kubectl_stdin(&["apply", "-f", "-"], &kind.to_string()).unwrap();
    let bullets_shown = output.stderr.lines().filter(|line| line.starts_with("* ")).count();
    report("A3", bullets_shown == 4, bullets_shown, 4);
    assert_eq!(output.stderr, FOUR_FAULTS);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
}

/// What `validate` says of nulls (`FILE003`): server-side apply refuses those without a default, client-side apply drops
/// them.
#[test]
fn null_is_refused_by_server_side_apply_and_dropped_otherwise() {
    let _stage = Stage::admission_only(&[]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/mistakes/null_field.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let apply = |how: &str| cluster().kubectl_stdin(&["apply", "--dry-run=server", how, "-f", "-"], &text).unwrap();
    let refused = apply("--server-side");
    for (field, wanted) in [("spec.podTemplate.probes", "object"), ("spec.podTemplate.extraEnv[0].value", "string")] {
        let line = format!("* {field}: Invalid value: \"null\": {field} in body must be of type {wanted}: \"null\"");
        assert!(refused.stderr.lines().any(|other| other == line), "{line}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("spec.spawner.hidden"), "it has a default: {}", refused.stderr);
    let dropped = apply("--server-side=false");
    assert_eq!((dropped.code, dropped.stderr.as_str()), (Some(0), ""));
}

const FOUR_FAULTS: &str = r#"The WorkspaceKind "four-faults" is invalid: 
* spec.podTemplate.extraEnv[NB_PREFIX].value: Invalid value: "{{ httpPathPrefix 'jupyterlab' }}": failed to parse template "{{ httpPathPrefix 'jupyterlab' }}": template: value:1: malformed character constant: 'jupyterlab' (write it in double quotes: "jupyterlab")
* spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Path]: Invalid value: "100%": renders to a value with '%', which starts an Envoy command operator: write '%%' for a percent sign (allowed commands: %PROTOCOL%, %START_TIME%, %DOWNSTREAM_REMOTE_ADDRESS%, %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%)
* spec.podTemplate.ports[1].portId: Not found: "tensorbord": no imageConfig value has a port with this id, did you mean "tensorboard"?
* spec.podTemplate.options.podConfig.spawner.default: Invalid value: "medium": default podConfig "medium" not found
"#;

/// The warnings and causes of case files and nothing else, with a bullet for each unless there is only one.
#[test]
fn kubectl_shows_the_causes_of_case_files() {
    let _stage = Stage::admission_only(&[]);
    for case in load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap() {
        let is_plain = case.default_policy && case.may_bind.is_none() && case.old.is_none();
        let is_shown = is_plain && case.name.starts_with("workspace_kind/reject/");
        let Some(object) = case.object.filter(|_| is_shown) else { continue };
        let output = cluster().kubectl_stdin(&["create", "-f", "-"], &object.to_string()).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let causes = case.expected.causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message));
        let causes: Vec<String> = causes.collect();
        let bullets = if let [only] = &*causes { only.clone() } else { format!("\n* {}", causes.join("* ")) };
        let warnings = case.expected.warnings.iter().map(|warning| format!("Warning: {warning}\n"));
        let warnings: String = warnings.collect();
        let expected = format!("{warnings}The WorkspaceKind \"{name}\" is invalid: {bullets}");
        assert_eq!(output.stderr, expected, "{}", case.name);
    }
}
