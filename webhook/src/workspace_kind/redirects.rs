//! Rules of `redirect.to`: targets exist, and there are no cycles.

use std::collections::{BTreeMap, BTreeSet};

use crds::redirects::cycles;
use crds::workspace_kind::PodTemplate;

use crate::field::{Fault, Findings, key, quoted};
use crate::rule::Rule;

/// Validates the redirects of image values and of pod configs.
pub(super) fn validate(template: &PodTemplate, findings: &mut Findings) {
    let options = &template.options;
    let images =
        options.image_config.values.iter().map(|value| (&*value.id, value.redirect.as_ref().map(|to| &*to.to)));
    option("imageConfig", images, findings);
    let pods = options.pod_config.values.iter().map(|value| (&*value.id, value.redirect.as_ref().map(|to| &*to.to)));
    option("podConfig", pods, findings);
}

/// `values`: the ids and their targets.
fn option<'a>(option: &str, values: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone, findings: &mut Findings) {
    let redirects = values.clone().filter_map(|(id, to)| Some((id, to?)));
    if redirects.clone().next().is_none() {
        return;
    }
    let ids: BTreeSet<&str> = values.map(|(id, _)| id).collect();
    let cycles = cycles(redirects.clone());
    // Each cycle is reported once, at its smallest id.
    let cycle_at: BTreeMap<&str, &[String]> =
        cycles.iter().filter_map(|cycle| Some((&**cycle.first()?, &**cycle))).collect();
    for (id, to) in redirects {
        let field = || format!("{}.redirect.to", key(&format!("spec.podTemplate.options.{option}.values"), id));
        if !ids.contains(to) {
            let detail = format!("target {option} {} does not exist", quoted(to));
            let fault = Fault::invalid(Rule::RedirectTarget, field(), to, detail).about(format!("{option}/{id}"));
            findings.push_suggesting(fault, to, ids.iter().copied().filter(|other| *other != id));
        }
        if let Some(cycle) = cycle_at.get(id) {
            let detail = format!("{option} redirect cycle detected: [{}]", cycle.join(" "));
            findings.faults.push(Fault::invalid(Rule::RedirectCycle, field(), to, detail));
        }
    }
}
