//! Rules of everything that becomes the pod: what the API server would refuse when it creates one.

use std::collections::BTreeMap;

use crds::field_path::FieldPath;
use crds::pod_rules::{self, annotations, security_context};
use crds::workspace_kind::PodTemplate;

use crate::field::Findings;
use crate::rule::Rule;

/// Validates the blocks of a kind, then those of each image and of each pod config.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    let root = FieldPath::root("spec.podTemplate");
    validate_kind(template, &root, findings);
    let options = root.field("options");
    let images = options.field("imageConfig");
    let all_images = images.field("values");
    for value in &template.options.image_config.values {
        let (value_at, image) = (all_images.key(&value.id), &value.spec.image);
        let spec = value_at.field("spec");
        let at = spec.field("image");
        findings.judge_pod(Rule::PodImage, |faults| pod_rules::image::validate(image, &at, faults));
        if let Some(why) = pod_rules::image::unusable(image) {
            findings.warn(Rule::ImageUnusable, at.to_string(), format!("{at}: {why}"));
        }
    }
    let pods = options.field("podConfig");
    let no_labels = BTreeMap::new();
    let labels = template.pod_metadata.as_ref().map_or(&no_labels, |metadata| &metadata.labels);
    let all_pods = pods.field("values");
    for value in &template.options.pod_config.values {
        let value_at = all_pods.key(&value.id);
        let (at, spec) = (value_at.field("spec"), &value.spec);
        findings.judge_pod(Rule::PodPlacement, |faults| pod_rules::validate_placement(spec, labels, &at, faults));
        findings.judge_pod(Rule::PodResources, |faults| pod_rules::validate_resources(spec, &at, faults));
    }
}

/// Validates the blocks that every pod of the kind has.
fn validate_kind(template: &PodTemplate, root: &FieldPath<'_>, findings: &mut Findings) {
    if let Some(probes) = &template.probes {
        let at = root.field("probes");
        findings.judge_pod(Rule::PodProbe, |faults| pod_rules::probes::validate(probes, &at, faults));
    }
    let at = root.field("extraEnv");
    findings.judge_pod(Rule::PodVariable, |faults| pod_rules::environment::validate(&template.extra_env, &at, faults));
    let at = root.field("extraVolumes");
    findings.judge_pod(Rule::PodVolume, |faults| pod_rules::volumes::validate(&template.extra_volumes, &at, faults));
    let container = template.container_security_context.as_ref();
    let privileged = container.and_then(|context| context.privileged).unwrap_or_default();
    let at = root.field("extraVolumeMounts");
    findings.judge_pod(Rule::PodMount, |faults| {
        pod_rules::mounts::validate(&template.extra_volume_mounts, privileged, &at, faults);
    });
    let pod = template.security_context.as_ref();
    let (pod_at, container_at) = (root.field("securityContext"), root.field("containerSecurityContext"));
    findings.judge_pod(Rule::PodSecurityContext, |faults| {
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
