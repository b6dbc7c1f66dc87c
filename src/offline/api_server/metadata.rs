//! The validation of `metadata` in every object: name, namespace, syntax of labels and annotations.

use crds::labels::{
    ANNOTATIONS_MAX, annotation_key_fault, is_dns_label, is_dns_subdomain, label_value_fault, qualified_name_fault,
};
use serde_json::{Value, json};
use webhook::ReviewedKind;
use webhook::field::quoted;
use webhook::rule::Rule;

use super::path::Path;
use super::violation::Violation;

/// The suffix that the API server appends to `generateName`, and the length that it truncates that to.
const GENERATED: &str = "xxxxx";
const GENERATED_BASE_MAX: usize = 58;

/// The schema of `metadata`.
pub(super) fn schema() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let (flag, open) = (json!({"type": "boolean"}), json!({"type": "object", "additionalProperties": {}}));
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({"type": "object", "properties": {
        "annotations": texts,
        "creationTimestamp": {"type": "string", "format": "date-time"},
        "deletionGracePeriodSeconds": number,
        "deletionTimestamp": {"type": "string", "format": "date-time"},
        "finalizers": {"type": "array", "items": text},
        "generateName": text,
        "generation": number,
        "labels": texts,
        "managedFields": {"type": "array", "items": open},
        "name": text,
        "namespace": text,
        "ownerReferences": {
            "type": "array",
            "items": {"type": "object", "required": ["apiVersion", "kind", "name", "uid"], "properties": {
                "apiVersion": text, "blockOwnerDeletion": flag, "controller": flag, "kind": text, "name": text, "uid": text,
            }},
        },
        "resourceVersion": text,
        "selfLink": text,
        "uid": text,
    }})
}

/// Fills in what is generated: a name from `generateName`, and the default namespace of kubectl.
pub fn complete(subject: ReviewedKind, object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if text(metadata.get("name")).is_empty() {
        let base = text(metadata.get("generateName"));
        if !base.is_empty() {
            let end = base.floor_char_boundary(GENERATED_BASE_MAX.min(base.len()));
            metadata.insert("name".to_owned(), format!("{}{GENERATED}", &base[..end]).into());
        }
    }
    match subject {
        ReviewedKind::Workspace if text(metadata.get("namespace")).is_empty() => {
            metadata.insert("namespace".to_owned(), "default".into());
        }
        // The API server ignores the namespace of cluster-scoped objects.
        ReviewedKind::WorkspaceKind => drop(metadata.remove("namespace")),
        ReviewedKind::Workspace => {}
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Validates the metadata of a completed object.
pub fn validate(subject: ReviewedKind, object: &Value) -> Vec<Violation> {
    let metadata = &object["metadata"];
    let at = Path::of("metadata");
    let mut violations = names(subject, metadata, &at);
    violations.extend(labels(metadata, &at));
    violations.extend(annotations(metadata, &at));
    for (index, finalizer) in metadata["finalizers"].as_array().into_iter().flatten().enumerate() {
        if let Some(detail) = finalizer.as_str().and_then(qualified_name_fault) {
            let place = at.field("finalizers").item(index);
            violations.push(violation(place, Some("finalizers"), format!("Invalid value: {finalizer}: {detail}")));
        }
    }
    violations
}

/// `field` is the field of the metadata that the API server reports, where that is not the place.
fn violation(place: Path, field: Option<&str>, message: String) -> Violation {
    Violation { rule: Rule::Schema, place, field: field.map(|field| format!("metadata.{field}")), message }
}

fn names(subject: ReviewedKind, metadata: &Value, at: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    let name = text(metadata.get("name"));
    if name.is_empty() {
        let message = "Required value: name or generateName is required".to_owned();
        violations.push(violation(at.field("name"), None, message));
    } else if !is_dns_subdomain(name) {
        // The base of a generated name, which is what the author wrote.
        let (field, written) = match text(metadata.get("generateName")) {
            base if !base.is_empty() && name.ends_with(GENERATED) => ("generateName", base),
            _ => ("name", name),
        };
        let detail = match subject {
            ReviewedKind::WorkspaceKind => {
                "must be a DNS subdomain: lowercase letters, digits, '-' and '.', with a letter or digit at both ends, at \
                 most 253 characters"
            }
            // The webhook refuses other subdomains, so to name their syntax would lead to the next refusal.
            ReviewedKind::Workspace => {
                "must be a DNS label: lowercase letters, digits and '-', with a letter or digit at both ends, at most 63 \
                 characters"
            }
        };
        violations.push(violation(at.field(field), None, format!("Invalid value: {}: {detail}", quoted(written))));
    }
    let namespace = text(metadata.get("namespace"));
    if !namespace.is_empty() && !is_dns_label(namespace) {
        let detail = "must be a DNS label: lowercase letters, digits and '-', at most 63 characters";
        let message = format!("Invalid value: {}: {detail}", quoted(namespace));
        violations.push(violation(at.field("namespace"), None, message));
    }
    violations
}

fn labels(metadata: &Value, at: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let place = at.field("labels").field(key);
        if let Some(detail) = qualified_name_fault(key) {
            let message = format!("Invalid value: {}: {detail}", quoted(key));
            violations.push(violation(place.clone(), Some("labels"), message));
        }
        if let Some(detail) = value.as_str().and_then(label_value_fault) {
            let value = quoted(value.as_str().unwrap_or_default());
            violations.push(violation(place, Some("labels"), format!("Invalid value: {value}: {detail}")));
        }
    }
    violations
}

fn annotations(metadata: &Value, at: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(detail) = annotation_key_fault(key) {
            let place = at.field("annotations").field(key);
            let message = format!("Invalid value: {}: {detail}", quoted(key));
            violations.push(violation(place, Some("annotations"), message));
        }
    }
    if size > ANNOTATIONS_MAX {
        let message = format!("Too long: may not be more than {ANNOTATIONS_MAX} bytes");
        violations.push(violation(at.field("annotations"), None, message));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(subject: ReviewedKind, mut object: Value) -> Vec<String> {
        complete(subject, &mut object);
        validate(subject, &object)
            .iter()
            .map(|violation| format!("{} ({}): {}", violation.field(), violation.place, violation.message))
            .collect()
    }

    #[test]
    fn names_are_set_or_generated() {
        let workspace = |metadata: Value| messages(ReviewedKind::Workspace, json!({ "metadata": metadata }));
        assert_eq!(workspace(json!({"generateName": "lab-"})), [""; 0]);
        assert_eq!(
            workspace(json!({})),
            ["metadata.name (metadata.name): Required value: name or generateName is required"]
        );
        assert!(workspace(json!({"generateName": "Lab-"}))[0].starts_with("metadata.generateName"));
        assert!(
            workspace(json!({"name": "a_b"}))[0].starts_with("metadata.name (metadata.name): Invalid value: \"a_b\"")
        );
        assert!(workspace(json!({"name": "a", "namespace": "a.b"}))[0].contains("must be a DNS label"));
    }

    #[test]
    fn labels_and_annotations_have_their_syntax() {
        let object = json!({"metadata": {"name": "a", "namespace": "ignored.here", "labels": {"-a": "b c"},
            "annotations": {"Example.com/A": "any thing", "/": ""}}});
        let messages = messages(ReviewedKind::WorkspaceKind, object);
        let places: Vec<_> = messages.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(
            places,
            [
                "metadata.labels (metadata.labels.-a)",
                "metadata.labels (metadata.labels.-a)",
                "metadata.annotations (metadata.annotations./)",
            ]
        );
    }
}
