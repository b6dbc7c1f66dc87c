//! Rules of `requestHeaders`: each operation renders, whatever the Workspace is called, to what the gateway takes.

use std::collections::{BTreeMap, BTreeSet};

use crds::headers::{FaultKind, HeaderFault, HeaderPlace, HeaderTemplates};
use crds::template::Mode;
use crds::workspace_kind::{ImageConfigValue, ProxiedPort, RequestHeaders};

use super::templates::{Stage, add_new, warning};
use crate::field::{Fault, Findings, key, quoted};
use crate::rule::Rule;

pub(super) fn judge(
    index: usize,
    entry: &ProxiedPort,
    headers: &RequestHeaders,
    stage: &Stage<'_>,
    findings: &mut Findings,
) {
    let base = format!("spec.podTemplate.ports[{index}].httpProxy.requestHeaders");
    let (templates, mut found) = HeaderTemplates::parse(headers);
    let mut asked: BTreeMap<HeaderPlace, BTreeSet<String>> = BTreeMap::new();
    stage.render_everywhere(|situation| match templates.render(situation, Mode::Strict) {
        Ok(operations) => {
            let mut all = Vec::new();
            for (place, ids) in operations.port_ids {
                let varying: BTreeSet<String> = stage.varying(&ids).collect();
                if !varying.is_empty() {
                    asked.entry(place).or_default().extend(varying);
                }
                all.extend(ids);
            }
            Some(all)
        }
        Err(faults) => {
            add_new(&mut found, faults);
            None
        }
    });
    found.sort_by(|one, other| one.place.cmp(&other.place));
    for fault in found {
        let field = field_of(&base, &fault.place);
        findings.faults.push(header_fault(field, entry.key(), &fault, stage));
    }
    // The headers are changed on the way to this port only, so image values without it do not matter.
    let has_port = |value: &&ImageConfigValue| value.spec.ports.iter().any(|port| port.id == entry.key());
    for (place, ids) in asked {
        let values: Vec<_> = stage.template.options.image_config.values.iter().filter(has_port).collect();
        findings.warnings.extend(warning(field_of(&base, &place), &ids, &values));
    }
    for name in headers.set.keys() {
        if headers.add.keys().any(|added| added.eq_ignore_ascii_case(name)) {
            let text = format!("{base}: {} is both set and added: it is set first, then appended to", quoted(name));
            findings.warn(Rule::HeaderSetAndAdded, key(&format!("{base}.set"), name), text);
        }
    }
}

fn header_fault(field: String, port: &str, fault: &HeaderFault, stage: &Stage<'_>) -> Fault {
    let rule = Rule::RequestHeader;
    let (list, name) = match &fault.place {
        HeaderPlace::Set(name) => ("set", name),
        HeaderPlace::Add(name) => ("add", name),
        HeaderPlace::Remove(_, name) => ("remove", name),
    };
    let described = match fault.kind {
        FaultKind::Invalid => stage.fault(rule, field, &fault.value, &fault.detail),
        // Which of two spellings is the second one depends on their order.
        FaultKind::Duplicate => {
            let detail = fault.detail.clone();
            let fault = Fault { detail, ..Fault::duplicate(rule, field, &fault.value) };
            return fault.about(format!("{port}/{list}/{}", name.to_ascii_lowercase()));
        }
        FaultKind::Forbidden => Fault::forbidden(rule, field, &fault.detail),
    };
    // Some details do not tell values apart, and another unsafe value is another fault.
    described.about(format!("{port}/{list}/{name}: {}", fault.value)).pointing(fault.at)
}

fn field_of(base: &str, place: &HeaderPlace) -> String {
    match place {
        HeaderPlace::Set(name) => key(&format!("{base}.set"), name),
        HeaderPlace::Add(name) => key(&format!("{base}.add"), name),
        HeaderPlace::Remove(index, _) => format!("{base}.remove[{index}]"),
    }
}
