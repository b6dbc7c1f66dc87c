//! Every case file of admission has offline the same causes and warnings as in the webhook.

use serde_json::Value;
use webhook::testing::{Case, load};
use workspaces_controller::offline::{Finding, InputFile, Severity, check};

/// The webhook names no more.
const CAUSES_MAX: usize = 50;
const WARNINGS_MAX: usize = 5;

#[test]
fn every_case_file_gets_its_verdict_without_a_server() {
    let cases = load(&super::root().join("tests/cases")).unwrap();
    let cases: Vec<&Case> = cases.iter().filter(|case| is_answered_by_files(case)).collect();
    assert!(cases.len() > 70, "{}", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check_case(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Deletion is not checked offline, the user is unknown, and objects that are not among the inputs are assumed to exist.
fn is_answered_by_files(case: &Case) -> bool {
    let rests_on_absence = case.policy.enforce_can_mount && case.expected.refused.is_some();
    case.object.is_some() && case.may_bind.is_none() && !rests_on_absence
}

fn sources<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Vec<InputFile> {
    // Escaped for YAML readers, since cases contain all kinds of characters.
    let text = |object: &Value| crds::apply_body::body(object).unwrap().get().to_owned();
    objects.into_iter().map(|object| InputFile::new("case", text(object))).collect()
}

fn check_case(case: &Case) -> Result<(), String> {
    let stored = case.others.iter().chain(&case.kinds).chain(&case.workspaces).chain(&case.old);
    let report = check(&sources(&case.object), &sources(stored), &case.policy);
    if !report.unreadable.is_empty() {
        return Err(format!("{}: {:?}", case.name, report.unreadable));
    }
    let found = |severity| report.findings.iter().filter(move |finding| finding.severity == severity);
    let mut causes: Vec<(String, String)> =
        found(Severity::Error).map(|finding| (finding.field.clone(), finding.message.clone())).collect();
    if causes.len() > CAUSES_MAX {
        let rest = causes.len() - CAUSES_MAX;
        causes.truncate(CAUSES_MAX);
        causes.push(("spec".to_owned(), format!("… and {rest} more")));
    }
    let expected: Vec<(String, String)> =
        case.expected.causes.iter().map(|cause| (cause.field.clone(), cause.message.clone())).collect();
    if causes != expected {
        return Err(format!("{}: causes {causes:#?}\ninstead of {expected:#?}", case.name));
    }
    warnings(case, &found(Severity::Warning).collect::<Vec<_>>())
}

/// The text of a warning may start with its field.
fn warnings(case: &Case, found: &[&Finding]) -> Result<(), String> {
    let expected = &case.expected.warnings;
    let is = |finding: &Finding, text: &String| {
        *text == finding.message || *text == format!("{}: {}", finding.field, finding.message)
    };
    let shown = if found.len() > WARNINGS_MAX { &found[..WARNINGS_MAX - 1] } else { found };
    let same = found.len().min(WARNINGS_MAX) == expected.len()
        && shown.iter().zip(expected).all(|(finding, text)| is(finding, text));
    if same { Ok(()) } else { Err(format!("{}: warnings {found:#?}\ninstead of {expected:#?}", case.name)) }
}
