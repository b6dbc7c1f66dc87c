//! Rules of `requestHeaders`: for every name of a Workspace each operation renders to one that the gateway accepts, and
//! all of them together are within the limits of servers and of the API server.

use std::collections::{BTreeMap, BTreeSet};

use crds::headers::{
    COUNT_ADVISED, Effect, FaultKind, HeaderFault, HeaderOperations, HeaderPlace, HeaderTemplates, PORT_ADVISED,
    PORT_MAX, ROUTE_MAX,
};
use crds::template::Mode;
use crds::workspace_kind::{ImageConfigValue, PodTemplate, ProxiedPort, RequestHeaders};

use super::templates::{TemplateCheck, add_new, warning};
use crate::field::{Fault, Findings, key, quoted};
use crate::rule::Rule;

/// Validates the headers of each entry of `ports`, and their size together.
pub(super) fn validate(template: &PodTemplate, check: &TemplateCheck<'_>, findings: &mut Findings) {
    let mut sizes = BTreeMap::new();
    for (index, entry) in template.proxied_ports().iter().enumerate() {
        if let Some(headers) = entry.http_proxy.as_ref().and_then(|proxy| proxy.request_headers.as_ref()) {
            sizes.insert(entry.key(), validate_entry(index, entry, headers, check, findings));
        }
        if !check.is_in_time(findings) {
            return;
        }
    }
    validate_route(template, &sizes, findings);
}

fn validate_entry(
    index: usize,
    entry: &ProxiedPort,
    headers: &RequestHeaders,
    check: &TemplateCheck<'_>,
    findings: &mut Findings,
) -> Size {
    let base = format!("spec.podTemplate.ports[{index}].httpProxy.requestHeaders");
    let (templates, mut found) = HeaderTemplates::parse(headers);
    let mut asked: BTreeMap<HeaderPlace, BTreeSet<String>> = BTreeMap::new();
    let mut largest = Size::default();
    check.render_everywhere(|rendering| match templates.render(rendering, Mode::Strict) {
        Ok(operations) => {
            largest = largest.max(Size::of(&operations));
            let mut all = Vec::new();
            for (place, ids) in operations.port_ids {
                let varying: BTreeSet<String> = check.varying(&ids).collect();
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
        let field = fault.place.field(&base);
        findings.faults.push(header_fault(field, entry.key(), &fault, check));
    }
    // The headers are changed for this port only, so image values without it do not matter.
    let has_port = |value: &&ImageConfigValue| value.spec.ports.iter().any(|port| port.id == entry.key());
    for (place, ids) in asked {
        let values: Vec<_> = check.template.options.image_config.values.iter().filter(has_port).collect();
        findings.warnings.extend(warning(place.field(&base), &ids, &values));
    }
    for name in headers.set.keys() {
        if headers.add.keys().any(|added| added.eq_ignore_ascii_case(name)) {
            let text = format!("{base}: {} is both set and added: it is set first, then appended to", quoted(name));
            findings.warn(Rule::HeaderSetAndAdded, key(&format!("{base}.set"), name), text);
        }
    }
    warn_of_effects(&base, headers, findings);
    if largest.bytes > PORT_ADVISED || largest.sent > COUNT_ADVISED {
        let Size { bytes, sent, .. } = largest;
        let text = format!(
            "{base}: {bytes} bytes, {sent} headers: many servers refuse more than {PORT_ADVISED} bytes or {COUNT_ADVISED} headers"
        );
        findings.warn(Rule::HeadersLarge, base, text);
    }
    largest
}

/// Warns of headers that do more than reach the server.
fn warn_of_effects(base: &str, headers: &RequestHeaders, findings: &mut Findings) {
    let set = headers.set.keys().map(|name| HeaderPlace::Set(name.clone()));
    let add = headers.add.keys().map(|name| HeaderPlace::Add(name.clone()));
    for place in set.chain(add) {
        let what = match Effect::of(place.name()) {
            None => continue,
            Some(Effect::ControlsGateway) => "controls the gateway (retries, timeouts)",
            Some(Effect::Identity) => "servers identify the user by it",
        };
        let field = place.field(base);
        let text = format!("{field}: {what}");
        findings.warn(Rule::HeaderEffect, field, text);
    }
}

/// The size of the rendered headers of a port.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    bytes: usize,
    stored_bytes: usize,
    sent: usize,
}

impl Size {
    fn of(operations: &HeaderOperations) -> Self {
        Self { bytes: operations.bytes(), stored_bytes: operations.stored_bytes(), sent: operations.sent() }
    }

    /// The maximum of each field.
    fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            stored_bytes: self.stored_bytes.max(other.stored_bytes),
            sent: self.sent.max(other.sent),
        }
    }
}

/// The fault of an image whose VirtualService would be too large to be stored. `sizes` are by port id.
fn validate_route(template: &PodTemplate, sizes: &BTreeMap<&str, Size>, findings: &mut Findings) {
    let bytes = |value: &&ImageConfigValue| {
        let sizes = value.spec.ports.iter().filter_map(|port| sizes.get(&*port.id));
        sizes.map(|size| size.stored_bytes).sum::<usize>()
    };
    let mut values = template.options.image_config.values.iter();
    if let Some(value) = values.find(|value| bytes(value) > ROUTE_MAX) {
        let hint = format!(
            ": the names and rendered values of all headers of imageConfig {} together, as they are stored",
            quoted(&value.id)
        );
        let fault = Fault::too_long(Rule::RequestHeader, "spec.podTemplate.ports", ROUTE_MAX);
        findings.faults.push(fault.about("all headers").with_hint(hint));
    }
}

fn header_fault(field: String, port: &str, fault: &HeaderFault, check: &TemplateCheck<'_>) -> Fault {
    let rule = Rule::RequestHeader;
    let (list, name) = match &fault.place {
        HeaderPlace::Set(name) => ("set", name),
        HeaderPlace::Add(name) => ("add", name),
        HeaderPlace::Remove(_, name) => ("remove", name),
        HeaderPlace::All => {
            let hint = ": the names and rendered values of all headers of the port together";
            return Fault::too_long(rule, field, PORT_MAX).about(port).with_hint(hint);
        }
    };
    let described = match fault.kind {
        FaultKind::Invalid => check.fault(rule, field, &fault.value, &fault.detail),
        // Which of two spellings is the duplicate depends on their order.
        FaultKind::Duplicate => {
            let detail = fault.detail.clone();
            let fault = Fault { detail, ..Fault::duplicate(rule, field, &fault.value) };
            return fault.about(format!("{port}/{list}/{}", name.to_ascii_lowercase()));
        }
        FaultKind::Forbidden => Fault::forbidden(rule, field, &fault.detail),
    };
    // Some details are the same for all values, but another unsafe value is another fault.
    described.about(format!("{port}/{list}/{name}: {}", fault.value)).pointing(fault.at)
}
