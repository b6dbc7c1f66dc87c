//! Labels, annotations and label selectors: the syntax of Kubernetes, as apimachinery validates it.

use std::collections::BTreeMap;

use crds::field_path::FieldPath;
use crds::labels::{
    ANNOTATIONS_MAX, APPLIED_HASH_ANNOTATION, APPLIED_HASH_LENGTH, RESTART_ANNOTATION, RESTART_LENGTH,
    WORKSPACE_NAME_LABEL, annotation_key_fault,
};
use crds::pod_rules::{annotations as pod_annotations, label_selector, validate_label};
use crds::workspace_kind::{PodMetadata, StatefulSetMetadata};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::field::{Fault, Findings, quoted};
use crate::rule::Rule;

/// The field that holds labels and annotations of pods, in both kinds of objects.
pub(crate) const POD_METADATA: &str = "spec.podTemplate.podMetadata";
/// The field of a kind that holds labels and annotations of StatefulSets.
const STATEFUL_SET_METADATA: &str = "spec.podTemplate.statefulSetMetadata";

/// What the controller itself sets on a StatefulSet.
const SET_BY_CONTROLLER: [&str; 3] = [WORKSPACE_NAME_LABEL, APPLIED_HASH_ANNOTATION, RESTART_ANNOTATION];
/// How much of that is in the annotations, in bytes.
const ANNOTATIONS_OF_CONTROLLER: usize =
    APPLIED_HASH_ANNOTATION.len() + APPLIED_HASH_LENGTH + RESTART_ANNOTATION.len() + RESTART_LENGTH;

/// Labels and annotations of pods.
pub(crate) fn validate_pod_metadata(rule: Rule, metadata: &PodMetadata, findings: &mut Findings) {
    let PodMetadata { labels, annotations } = metadata;
    let block = MetadataBlock { rule, field: POD_METADATA, labels, annotations };
    block.validate(&[], findings);
    if block.annotations_size() > ANNOTATIONS_MAX {
        return findings.faults.push(block.too_large());
    }
    let metadata_at = FieldPath::root(POD_METADATA);
    let at = metadata_at.field("annotations");
    findings.judge_pod(rule, |faults| pod_annotations::validate(annotations, &at, faults));
}

/// Labels and annotations of StatefulSets, next to those of the controller.
pub(crate) fn validate_stateful_set_metadata(metadata: &StatefulSetMetadata, findings: &mut Findings) {
    let StatefulSetMetadata { labels, annotations } = metadata;
    let rule = Rule::StatefulSetMetadata;
    let block = MetadataBlock { rule, field: STATEFUL_SET_METADATA, labels, annotations };
    block.validate(&SET_BY_CONTROLLER, findings);
    if block.annotations_size() + ANNOTATIONS_OF_CONTROLLER > ANNOTATIONS_MAX {
        findings.faults.push(block.too_large().with_hint(", those of the controller included"));
    }
}

/// Labels and annotations of an object, below the field `field`.
struct MetadataBlock<'a> {
    rule: Rule,
    field: &'static str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
}

impl MetadataBlock<'_> {
    /// Validates all but the size. The keys in `reserved` are those that the controller sets.
    fn validate(&self, reserved: &[&str], findings: &mut Findings) {
        let rule = self.rule;
        let reserved = |field: &str, key: &String| {
            let detail = format!("the controller sets {} itself, leave it out", quoted(key));
            reserved.contains(&&**key).then(|| Fault::forbidden(rule, field, detail))
        };
        let field = format!("{}.labels", self.field);
        for (key, value) in self.labels {
            findings.judge_pod(rule, |faults| validate_label(key, value, &FieldPath::root(&field), faults));
            findings.faults.extend(reserved(&field, key));
        }
        let field = format!("{}.annotations", self.field);
        for key in self.annotations.keys() {
            if let Some(detail) = annotation_key_fault(key) {
                findings.faults.push(Fault::invalid(rule, &field, key, detail).about(format!("annotation {key}")));
            }
            findings.faults.extend(reserved(&field, key));
        }
    }

    /// The size of all annotations together, in bytes.
    fn annotations_size(&self) -> usize {
        self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    fn too_large(&self) -> Fault {
        let field = format!("{}.annotations", self.field);
        Fault::too_long(self.rule, field, ANNOTATIONS_MAX).about("annotations")
    }
}

/// A label selector at `at`.
pub(crate) fn validate_selector(rule: Rule, at: &FieldPath<'_>, selector: &LabelSelector, findings: &mut Findings) {
    findings.judge_pod(rule, |faults| label_selector::validate(selector, at, faults));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(bytes: usize) -> BTreeMap<String, String> {
        BTreeMap::from([("a".to_owned(), "x".repeat(bytes - 1))])
    }

    fn messages(findings: &Findings) -> Vec<String> {
        findings.faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message())).collect()
    }

    #[test]
    fn annotations_of_a_pod_have_a_size() {
        let check = |bytes| {
            let mut findings = Findings::default();
            let metadata = PodMetadata { annotations: annotations(bytes), ..PodMetadata::default() };
            validate_pod_metadata(Rule::KindPodMetadata, &metadata, &mut findings);
            messages(&findings)
        };
        assert_eq!(check(262_144), <[String; 0]>::default());
        assert_eq!(
            check(262_145),
            ["spec.podTemplate.podMetadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }

    /// `notebooks.kubeflow.org/applied-hash` and its 32 characters are 67 bytes, `notebooks.kubeflow.org/restart` and at most 112
    /// characters are 142.
    #[test]
    fn annotations_of_a_stateful_set_leave_room_for_those_of_the_controller() {
        let check = |bytes| {
            let mut findings = Findings::default();
            let metadata = StatefulSetMetadata { annotations: annotations(bytes), ..StatefulSetMetadata::default() };
            validate_stateful_set_metadata(&metadata, &mut findings);
            messages(&findings)
        };
        assert_eq!(check(261_935), <[String; 0]>::default());
        assert_eq!(
            check(261_936),
            [
                "spec.podTemplate.statefulSetMetadata.annotations: Too long: may not be more than 262144 bytes, those of the controller \
                 included"
            ]
        );
    }
}
