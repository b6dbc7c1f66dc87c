//! Labels, annotations and label selectors: the syntax of Kubernetes, as apimachinery validates it.

use crds::labels::{ANNOTATIONS_MAX, label_value_fault, qualified_name_fault};
use crds::workspace_kind::PodMetadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::field::{Fault, Findings, quoted};
use crate::rule::Rule;

/// The field that holds labels and annotations of pods, in both kinds of objects.
pub(crate) const POD_METADATA: &str = "spec.podTemplate.podMetadata";

/// Labels and annotations of pods.
pub(crate) fn validate_pod_metadata(rule: Rule, metadata: &PodMetadata, findings: &mut Findings) {
    let field = format!("{POD_METADATA}.labels");
    for (key, value) in &metadata.labels {
        findings.faults.extend(label_faults(rule, &field, key, value));
    }
    let annotations = format!("{POD_METADATA}.annotations");
    for key in metadata.annotations.keys() {
        // Upper case is fine in the prefix of an annotation's key, unlike in that of a label's.
        if let Some(detail) = qualified_name_fault(&key.to_lowercase()) {
            findings.faults.push(Fault::invalid(rule, &annotations, key, detail).about(format!("annotation {key}")));
        }
    }
    let size: usize = metadata.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        findings.faults.push(Fault::too_long(rule, annotations, ANNOTATIONS_MAX).about("annotations"));
    }
}

fn label_faults(rule: Rule, field: &str, key: &str, value: &str) -> impl Iterator<Item = Fault> {
    let of_key = qualified_name_fault(key).map(|detail| Fault::invalid(rule, field, key, detail).about(key));
    let of_value = label_value_fault(value).map(|detail| {
        // The detail is the same for all values, but another bad value is another fault.
        let fault = Fault::invalid(rule, field, value, detail).about(format!("{key}={value}"));
        fault.with_hint(format!(", label {}", quoted(key)))
    });
    of_key.into_iter().chain(of_value)
}

/// A label selector at `field`. `key` identifies what it belongs to, without list indexes.
pub(crate) fn validate_selector(rule: Rule, field: &str, key: &str, selector: &LabelSelector, findings: &mut Findings) {
    let about = |fault: Fault| {
        let key = format!("{key}: {}", fault.key);
        fault.about(key)
    };
    for (label, value) in selector.match_labels.iter().flatten() {
        let field = format!("{field}.matchLabels");
        findings.faults.extend(label_faults(rule, &field, label, value).map(about));
    }
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let mut found = Findings::default();
        validate_requirement(rule, &format!("{field}.matchExpressions[{index}]"), requirement, &mut found);
        findings.faults.extend(found.faults.into_iter().map(about));
    }
}

fn validate_requirement(rule: Rule, field: &str, requirement: &LabelSelectorRequirement, findings: &mut Findings) {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let values = values.as_deref().unwrap_or_default();
    let about = format!("{key} {operator}");
    match (&**operator, values) {
        ("In" | "NotIn", []) => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            findings.faults.push(Fault::required(rule, format!("{field}.values"), detail).about(&about));
        }
        ("Exists" | "DoesNotExist", [_, ..]) => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            findings.faults.push(Fault::forbidden(rule, format!("{field}.values"), detail).about(&about));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
        _ => {
            let detail = "not a valid selector operator: In, NotIn, Exists or DoesNotExist";
            findings.faults.push(Fault::invalid(rule, format!("{field}.operator"), operator, detail).about(&about));
        }
    }
    if let Some(detail) = qualified_name_fault(key) {
        findings.faults.push(Fault::invalid(rule, format!("{field}.key"), key, detail).about(&about));
    }
    for (index, value) in values.iter().enumerate() {
        if let Some(detail) = label_value_fault(value) {
            let field = format!("{field}.values[{index}]");
            findings.faults.push(Fault::invalid(rule, field, value, detail).about(format!("{about} {value}")));
        }
    }
}
