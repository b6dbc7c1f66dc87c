//! The StatefulSet of a Workspace: its pod.
//!
//! `updateStrategy: OnDelete` keeps a changed template from restarting a running pod behind its user's back.

use std::collections::BTreeMap;

use crds::environment::EnvTemplates;
use crds::labels::CONTAINER;
use crds::template::Mode;
use crds::workspace_kind::{PodMetadata, StatefulSetMetadata};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::context::{RenderContext, port_name};
use super::fault::RenderFault;
use super::service_account::service_account_name;
use super::volumes::{self, SkippedMount};

/// The pod, and the mounts that found their path taken.
pub(super) fn desired(context: &RenderContext<'_>) -> Result<(StatefulSet, Vec<SkippedMount>), RenderFault> {
    let env = env(context)?;
    let pod_volumes = volumes::desired(context);
    let set = StatefulSet {
        metadata: metadata(context),
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::from(!context.input.spec.paused)),
            // It cannot be changed.
            pod_management_policy: Some(
                if context.fixed.ordered_ready { "OrderedReady" } else { "Parallel" }.to_owned(),
            ),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            selector: LabelSelector { match_labels: Some(context.pod_labels()), match_expressions: None },
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(context)),
                spec: Some(pod_spec(context, env, pod_volumes.volumes, pod_volumes.mounts)),
            },
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    Ok((set, pod_volumes.skipped_mounts))
}

/// Metadata of the StatefulSet itself: that of the kind, and ours, which wins.
fn metadata(context: &RenderContext<'_>) -> ObjectMeta {
    let mut metadata = context.metadata(&context.fixed.names.stateful_set);
    if let Some(StatefulSetMetadata { labels, annotations }) = &context.template.stateful_set_metadata {
        let mut all = labels.clone();
        all.extend(metadata.labels.take().unwrap_or_default());
        metadata.labels = Some(all);
        metadata.annotations = some_map(annotations.clone());
    }
    metadata
}

/// Labels and annotations of the pod: those of the Workspace win over those of the kind, ours over both.
fn pod_metadata(context: &RenderContext<'_>) -> ObjectMeta {
    let kind = context.template.pod_metadata.as_ref();
    let workspace = context.input.spec.pod_template.pod_metadata.as_ref();
    let merged = |of: fn(&PodMetadata) -> &BTreeMap<String, String>| {
        let mut map = kind.map(of).cloned().unwrap_or_default();
        map.extend(workspace.map(of).cloned().unwrap_or_default());
        map
    };
    let mut labels = merged(|metadata| &metadata.labels);
    labels.extend(context.pod_labels());
    ObjectMeta {
        labels: Some(labels),
        annotations: some_map(merged(|metadata| &metadata.annotations)),
        ..ObjectMeta::default()
    }
}

fn pod_spec(context: &RenderContext<'_>, env: Vec<EnvVar>, volumes: Vec<Volume>, mounts: Vec<VolumeMount>) -> PodSpec {
    let template = context.template;
    let probes = template.probes.clone().unwrap_or_default();
    let main = Container {
        name: CONTAINER.to_owned(),
        image: Some(context.image.image.clone()),
        image_pull_policy: Some(context.image.image_pull_policy.as_str().to_owned()),
        ports: some_list(container_ports(context)),
        env: some_list(env),
        resources: resources(context),
        startup_probe: probes.startup_probe,
        liveness_probe: probes.liveness_probe,
        readiness_probe: probes.readiness_probe,
        security_context: template.container_security_context.clone(),
        volume_mounts: some_list(mounts),
        ..Container::default()
    };
    PodSpec {
        containers: vec![main],
        scheduler_name: context.pod.scheduler_name.as_ref().or(template.scheduler_name.as_ref()).cloned(),
        service_account_name: Some(service_account_name(context.input, template)),
        security_context: template.security_context.clone(),
        affinity: context.pod.affinity.clone(),
        node_selector: some_map(context.pod.node_selector.clone()),
        tolerations: some_list(context.pod.tolerations.clone()),
        volumes: some_list(volumes),
        ..PodSpec::default()
    }
}

/// What the pod gets. An apply does not own a list that is merged by key while that list is empty, so writing one would
/// look like a field that another manager took over.
fn resources(context: &RenderContext<'_>) -> Option<ResourceRequirements> {
    let mut resources = context.pod.resources.clone()?;
    resources.claims = resources.claims.filter(|claims| !claims.is_empty());
    Some(resources)
}

fn container_ports(context: &RenderContext<'_>) -> Vec<ContainerPort> {
    let port = |number: i32| ContainerPort {
        name: Some(port_name(number)),
        container_port: number,
        // Part of the key of the list, so it has to be written.
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    context.image.ports.iter().map(|image_port| port(image_port.port)).collect()
}

/// The variables of the kind, rendered.
fn env(context: &RenderContext<'_>) -> Result<Vec<EnvVar>, RenderFault> {
    let (templates, mut faults) = EnvTemplates::parse(&context.template.extra_env);
    let rendered = templates.render(&context.paths, Mode::Lenient).unwrap_or_else(|more| {
        faults.extend(more);
        Vec::new()
    });
    match faults.into_iter().next() {
        Some(fault) => Err(fault.into()),
        None => Ok(rendered.into_iter().map(|rendered| rendered.variable).collect()),
    }
}

// An apply owns what it writes, also when it is empty: what is not wanted is left out.

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}
