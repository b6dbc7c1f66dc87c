//! Rules of `spec.podTemplate.ports`: dialects, duplicates and references to image ports.

use std::collections::{BTreeMap, BTreeSet};

use crds::ports::Dialect;
use crds::workspace_kind::{PodTemplate, ProxiedPort};

use crate::field::{Fault, Findings, quoted};
use crate::lookup::KindUsage;
use crate::policy::Policy;
use crate::rule::Rule;

const PORTS: &str = "spec.podTemplate.ports";

/// Validates that all entries have one dialect, one that is served, and that each is unique, refers to an image port and
/// has a name to display.
pub(super) fn validate(template: &PodTemplate, policy: &Policy, findings: &mut Findings) {
    let dialect = template.dialect();
    let entries = template.proxied_ports();
    findings.faults.extend(unserved(dialect, entries, policy));
    let image_ports = template.image_port_ids();
    let unnamed = unnamed(template);
    let mut seen = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let id = entry.key();
        let field = format!("{PORTS}[{index}].{}", entry_dialect(entry));
        if entry_dialect(entry) != dialect {
            let detail = format!(
                "entries must not mix 'portId' and 'id': another entry has '{dialect}', use that in all of them"
            );
            findings.faults.push(Fault::forbidden(Rule::PortDialectMix, &field, detail).about(id));
        }
        if !seen.insert(id) {
            findings.faults.push(Fault::duplicate(Rule::PortDuplicate, &field, id).about(id));
        } else if !image_ports.contains(id) {
            match dialect {
                Dialect::PortId => {
                    let fault =
                        Fault::not_found(Rule::PortUnknown, &field, id, "no imageConfig value has a port with this id");
                    findings.push_suggesting(fault.about(id), id, image_ports.iter().copied());
                }
                Dialect::Id => {
                    let text = format!("{field}: no imageConfig value has a port with id {}", quoted(id));
                    findings.warn(Rule::PortUnused, field, text);
                }
            }
        } else if let Some(values) = unnamed.get(id)
            && entry_dialect(entry) == Dialect::Id
            && entry.default_display_name.is_none()
        {
            let all = template.options.image_config.values.len();
            let text = format!(
                "{PORTS}[{index}]: port {} has no display name in {values} of {all} imageConfig values, so its link has no text",
                quoted(id)
            );
            findings.warn(Rule::PortDisplayName, format!("{PORTS}[{index}]"), text);
        }
    }
}

/// In how many image values a port has no `displayName`, by its id.
fn unnamed(template: &PodTemplate) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    let ports = template.options.image_config.values.iter().flat_map(|value| &value.spec.ports);
    for port in ports.filter(|port| port.display_name.is_none()) {
        *counts.entry(&*port.id).or_default() += 1;
    }
    counts
}

/// The dialect of a kind must not change while Workspaces use it: all their paths would change.
pub(super) fn dialect_change(old: Dialect, new: Dialect, usage: &KindUsage) -> Option<Fault> {
    if usage.count == 0 {
        return None;
    }
    let detail = format!("the port dialect cannot change from '{old}' to '{new}' while the kind is used by {usage}");
    Some(Fault::forbidden(Rule::PortDialectChange, PORTS, detail))
}

/// Why this installation does not serve the dialect, if it does not.
fn unserved(dialect: Dialect, entries: &[ProxiedPort], policy: &Policy) -> Option<Fault> {
    if policy.dialects.contains(&dialect) {
        return None;
    }
    let detail = match dialect {
        Dialect::PortId => {
            "this installation serves kinds that name their ports with 'id' (--port-dialects=id): the Kubeflow backend \
             and user interface cannot list others"
        }
        Dialect::Id => "this installation serves kinds that name their ports with 'portId' (--port-dialects=portId)",
    };
    Some(match entries {
        [] => Fault::required(Rule::PortDialectServed, PORTS, detail),
        _ => Fault::forbidden(Rule::PortDialectServed, PORTS, detail),
    })
}

fn entry_dialect(entry: &ProxiedPort) -> Dialect {
    if entry.id.is_some() { Dialect::Id } else { Dialect::PortId }
}
