//! Keys of maps that become part of the pod: keys that are too long cannot be applied.

use crds::apply_body::{KEY_MAX, is_key};
use crds::workspace_kind::PodTemplate;
use serde::Serialize;
use serde_json::Value;

use crate::field::{Fault, Findings, key};
use crate::rule::Rule;

/// Validates the length of every key of a map in `extraVolumes`. Those in the pod configs are names of labels and
/// resources, which are shorter.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    for volume in &template.extra_volumes {
        validate_block(&key("spec.podTemplate.extraVolumes", &volume.name), volume, findings);
    }
}

fn validate_block(field: &str, block: &impl Serialize, findings: &mut Findings) {
    if let Ok(block) = serde_json::to_value(block) {
        validate_value(field, &block, findings);
    }
}

fn validate_value(field: &str, value: &Value, findings: &mut Findings) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if !is_key(name) {
                    let fault = Fault::too_long(Rule::MapKeyLength, key(field, name), KEY_MAX).about(name);
                    findings.faults.push(fault.with_hint(": the API server does not accept longer map keys"));
                }
                validate_value(&format!("{field}.{name}"), value, findings);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                validate_value(&format!("{field}[{index}]"), item, findings);
            }
        }
        _ => {}
    }
}
