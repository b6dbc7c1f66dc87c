//! Every case of the schemas has offline the same result as in the API server.

use crds::generate::{workspace_crd, workspace_kind_crd};
use serde_json::Value;
use webhook::ReviewedKind;
use workspaces_controller::offline::api_server::schema::Schema;
use workspaces_controller::offline::api_server::violation::Violation;
use workspaces_controller::offline::api_server::{cel, metadata, pruning, validation};

use super::cases::{Case, CaseFile, Expected};

#[test]
fn workspaces_are_accepted_and_refused_as_by_the_api_server() {
    agrees("workspace.yaml", ReviewedKind::Workspace, &workspace_crd());
}

#[test]
fn workspace_kinds_are_accepted_and_refused_as_by_the_api_server() {
    agrees("workspace_kind.yaml", ReviewedKind::WorkspaceKind, &workspace_kind_crd());
}

#[track_caller]
fn agrees(file: &str, subject: ReviewedKind, crd: &Value) {
    let schema = Schema::of_crd(crd).unwrap();
    let cases = CaseFile::read(file).cases;
    let wrong: Vec<String> = cases.iter().filter_map(|case| check_case(case, &schema, subject).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() > 100, "{}", cases.len());
}

fn shaped(object: &Value, schema: &Schema, subject: ReviewedKind) -> (Value, Vec<Violation>) {
    let mut object = object.clone();
    let unknown = pruning::shape(schema, &mut object);
    metadata::complete(subject, &mut object);
    (object, unknown)
}

fn check_case(case: &Case, schema: &Schema, subject: ReviewedKind) -> Result<(), String> {
    let (object, mut violations) = shaped(&case.object, schema, subject);
    let old = case.old.as_ref().map(|old| shaped(old, schema, subject).0);
    violations.extend(metadata::validate(subject, &object));
    violations.extend(validation::validate(schema, &object, old.as_ref()));
    let broken: Vec<_> = violations.iter().map(|violation| violation.place.clone()).collect();
    violations.extend(cel::evaluate(schema, &object, old.as_ref(), &broken));
    let messages: Vec<String> =
        violations.iter().map(|violation| format!("{}: {}", violation.field(), violation.message)).collect();
    let (path, what) = &case.constraint;
    let wrong = |why: &str| Err(format!("{path}: {what}: {why}: {messages:?}\n    tried {}", case.object));
    match &case.expected {
        Expected::Refused { field, message } => {
            let elsewhere = violations.iter().any(|violation| !field.starts_with(&violation.field()));
            let is_reported = violations.iter().any(|violation| violation.message.contains(message));
            if is_reported && !elsewhere { Ok(()) } else { wrong(&format!("expected {message:?} at {field} alone")) }
        }
        Expected::Accepted if violations.is_empty() => Ok(()),
        Expected::Filled(path, value)
            if violations.is_empty() && path.find(&mut object.clone()) == Some(&mut value.clone()) =>
        {
            Ok(())
        }
        Expected::Accepted | Expected::Filled(..) => wrong("expected to be accepted"),
    }
}
