//! Keys of maps that become part of the pod: those that are too long cannot be applied, whatever they mean.

use crds::apply_body::{KEY_MAX, is_key};
use crds::workspace_kind::PodTemplate;
use serde::Serialize;
use serde_json::Value;

use crate::field::{Fault, Findings, key};
use crate::rule::Rule;

pub(super) fn judge(template: &PodTemplate, findings: &mut Findings) {
    for volume in &template.extra_volumes {
        judge_block(&key("spec.podTemplate.extraVolumes", &volume.name), volume, findings);
    }
    for value in &template.options.pod_config.values {
        let field = key("spec.podTemplate.options.podConfig.values", &value.id);
        judge_block(&format!("{field}.spec"), &value.spec, findings);
    }
}

fn judge_block(field: &str, block: &impl Serialize, findings: &mut Findings) {
    if let Ok(block) = serde_json::to_value(block) {
        judge_value(field, &block, findings);
    }
}

fn judge_value(field: &str, value: &Value, findings: &mut Findings) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if !is_key(name) {
                    let fault = Fault::too_long(Rule::MapKeyLength, key(field, name), KEY_MAX).about(name);
                    findings.faults.push(fault.with_hint(": the API server reads no longer key of a map"));
                }
                judge_value(&format!("{field}.{name}"), value, findings);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                judge_value(&format!("{field}[{index}]"), item, findings);
            }
        }
        _ => {}
    }
}
