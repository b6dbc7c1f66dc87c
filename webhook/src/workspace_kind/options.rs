//! Rules of `spec.podTemplate.options`: defaults, and the ports of images.

use std::collections::BTreeSet;

use crds::ports::Dialect;
use crds::workspace_kind::PodTemplate;

use crate::field::{Fault, Findings, key, quoted};
use crate::rule::Rule;

const OPTIONS: &str = "spec.podTemplate.options";

/// Validates that both defaults exist, and the port numbers and ids of every image value.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    let images = &template.options.image_config;
    let ids = images.values.iter().map(|value| value.id.as_str());
    findings.faults.extend(missing_default((Rule::ImageConfigDefault, "imageConfig"), &images.spawner.default, ids));
    let pods = &template.options.pod_config;
    let ids = pods.values.iter().map(|value| value.id.as_str());
    findings.faults.extend(missing_default((Rule::PodConfigDefault, "podConfig"), &pods.spawner.default, ids));
    image_ports(template, findings);
}

fn missing_default<'a>(
    (rule, option): (Rule, &str),
    default: &str,
    mut ids: impl Iterator<Item = &'a str> + Clone,
) -> Option<Fault> {
    let candidates = ids.clone();
    if ids.any(|id| id == default) {
        return None;
    }
    let detail = format!("default {option} {} not found", quoted(default));
    let field = format!("{OPTIONS}.{option}.spawner.default");
    Some(Fault::invalid(rule, field, default, detail).suggesting(default, candidates))
}

fn image_ports(template: &PodTemplate, findings: &mut Findings) {
    let needs_entry = template.dialect() == Dialect::Id;
    let entries: BTreeSet<&str> = template.proxied_ports().iter().map(crds::workspace_kind::ProxiedPort::key).collect();
    for value in &template.options.image_config.values {
        let mut numbers = BTreeSet::new();
        for port in &value.spec.ports {
            let path =
                || key(&format!("{}.spec.ports", key(&format!("{OPTIONS}.imageConfig.values"), &value.id)), &port.id);
            if !numbers.insert(port.port) {
                let detail = format!("port {} is defined more than once", port.port);
                let field = format!("{}.port", path());
                let fault = Fault::invalid_number(Rule::ImagePortNumber, field, port.port.into(), detail);
                findings.faults.push(fault.about(&value.id));
            }
            if needs_entry && !entries.contains(port.id.as_str()) {
                let field = format!("{}.id", path());
                let fault =
                    Fault::invalid(Rule::ImagePortEntry, field, &port.id, "missing from spec.podTemplate.ports");
                findings.faults.push(fault.about(format!("{}/{}", value.id, port.id)));
            }
        }
    }
}
