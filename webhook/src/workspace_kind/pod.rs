//! Rules of everything that becomes the pod: what the API server would refuse when it creates one.

use std::collections::BTreeMap;

use crds::field_path::FieldPath;
use crds::pod_rules::{self, PodFaults, annotations, security_context};
use crds::workspace_kind::PodTemplate;

use crate::field::{Fault, Findings, Warning};
use crate::rule::Rule;

/// Validates the blocks of a kind, then those of each image and of each pod config.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    let root = FieldPath::root("spec.podTemplate");
    validate_kind(template, &root, findings);
    let options = root.field("options");
    let images = options.field("imageConfig");
    for value in &template.options.image_config.values {
        let values = images.field("values");
        let (value_at, image) = (values.key(&value.id), &value.spec.image);
        let spec = value_at.field("spec");
        let at = spec.field("image");
        check(Rule::PodImage, findings, |faults| pod_rules::image::validate(image, &at, faults));
        if let Some(why) = pod_rules::image::unusable(image) {
            let text = format!("{at}: {why}");
            findings.warnings.push(Warning { rule: Rule::ImageUnusable, field: at.to_string(), text });
        }
    }
    let pods = options.field("podConfig");
    let no_labels = BTreeMap::new();
    let labels = template.pod_metadata.as_ref().map_or(&no_labels, |metadata| &metadata.labels);
    for value in &template.options.pod_config.values {
        let values = pods.field("values");
        let value_at = values.key(&value.id);
        let (at, spec) = (value_at.field("spec"), &value.spec);
        check(Rule::PodPlacement, findings, |faults| pod_rules::validate_placement(spec, labels, &at, faults));
        check(Rule::PodResources, findings, |faults| pod_rules::validate_resources(spec, &at, faults));
    }
}

/// Validates the blocks that every pod of the kind has.
fn validate_kind(template: &PodTemplate, root: &FieldPath<'_>, findings: &mut Findings) {
    if let Some(probes) = &template.probes {
        let at = root.field("probes");
        check(Rule::PodProbe, findings, |faults| pod_rules::probes::validate(probes, &at, faults));
    }
    let at = root.field("extraEnv");
    check(Rule::PodVariable, findings, |faults| pod_rules::environment::validate(&template.extra_env, &at, faults));
    let at = root.field("extraVolumes");
    check(Rule::PodVolume, findings, |faults| pod_rules::volumes::validate(&template.extra_volumes, &at, faults));
    let container = template.container_security_context.as_ref();
    let privileged = container.and_then(|context| context.privileged).unwrap_or_default();
    let at = root.field("extraVolumeMounts");
    check(Rule::PodMount, findings, |faults| {
        pod_rules::mounts::validate(&template.extra_volume_mounts, privileged, &at, faults);
    });
    let pod = template.security_context.as_ref();
    let (pod_at, container_at) = (root.field("securityContext"), root.field("containerSecurityContext"));
    check(Rule::PodSecurityContext, findings, |faults| {
        if let Some(context) = pod {
            security_context::validate_pod(context, &pod_at, faults);
        }
        if let Some(context) = container {
            security_context::validate_container(context, &container_at, faults);
        }
        let (pod, container) = ((pod, &pod_at), (container, &container_at));
        security_context::validate_host_process(pod, container, faults);
        if let Some(metadata) = &template.pod_metadata {
            annotations::validate_profiles(&metadata.annotations, pod, container, faults);
        }
    });
}

/// Runs the rules of a block; what they find are faults of `rule`.
fn check(rule: Rule, findings: &mut Findings, validate: impl FnOnce(&mut PodFaults)) {
    let mut faults = PodFaults::default();
    validate(&mut faults);
    findings.faults.extend(faults.into_iter().map(|fault| Fault::of_pod(rule, fault)));
}
