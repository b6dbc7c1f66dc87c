//! Rules of templates: `extraEnv` and `requestHeaders` render for every image value and every name of a Workspace.
//!
//! Templates are parsed once. The output depends on the ports of an image value only, so values with the same ports
//! are rendered once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crds::environment::{ALL_MAX as ENV_MAX, EnvTemplates, RenderedEnv};
use crds::ports::{Dialect, PortPaths, advice_on_port, unknown_port};
use crds::template::{Functions, Mode};
use crds::workspace_kind::{ImageConfigValue, ImagePort, PodTemplate};
use k8s_openapi::api::core::v1::EnvVar;

use crate::field::{Fault, Findings, Warning, key, quoted};
use crate::policy::Policy;
use crate::rule::Rule;

/// The shortest and the longest name that a Workspace and a namespace can have.
const NAMES: [&str; 2] = ["a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
/// The most bytes that a warning should have.
const WARNING_MAX: usize = 120;

/// Validates the variables; false, with a fault, when no time is left for anything else.
pub(super) fn validate(template: &PodTemplate, check: &TemplateCheck<'_>, findings: &mut Findings) -> bool {
    let mut stored_bytes = 0;
    for variable in &template.extra_env {
        stored_bytes += environment(variable, check, findings);
        if !check.is_in_time(findings) {
            return false;
        }
    }
    if stored_bytes > ENV_MAX {
        let fault = Fault::too_long(Rule::ExtraEnvTemplate, "spec.podTemplate.extraEnv", ENV_MAX);
        let hint = ": the names and rendered values of all variables together, as they are stored";
        findings.faults.push(fault.about("all variables").with_hint(hint));
    }
    true
}

/// Whether there is time left to validate.
pub(super) type InTime<'a> = &'a dyn Fn() -> bool;

/// The check of all templates of one kind: what they are rendered against, and until when.
pub(super) struct TemplateCheck<'a> {
    pub template: &'a PodTemplate,
    dialect: Dialect,
    policy: &'a Policy,
    /// Whether there is time left: thousands of templates at their limits would take too long.
    in_time: InTime<'a>,
    /// The ids that a template may name.
    known: BTreeSet<&'a str>,
    /// One image value for each set of ports.
    distinct: Vec<&'a [ImagePort]>,
    /// Those of the known ids that some image values lack.
    varying: BTreeSet<&'a str>,
    /// Ids that the current variable or entry asks for and that do not exist.
    unknown: RefCell<BTreeSet<String>>,
}

impl<'a> TemplateCheck<'a> {
    pub fn new(template: &'a PodTemplate, policy: &'a Policy, in_time: InTime<'a>) -> Self {
        let mut distinct: BTreeMap<Vec<&str>, &[ImagePort]> = BTreeMap::new();
        for value in &template.options.image_config.values {
            let mut ids: Vec<&str> = value.spec.ports.iter().map(|port| port.id.as_str()).collect();
            ids.sort_unstable();
            distinct.entry(ids).or_insert(&value.spec.ports);
        }
        let in_all = |id: &&str| distinct.keys().all(|ids| ids.binary_search(id).is_ok());
        let known = template.known_port_ids();
        let varying = known.iter().copied().filter(|id| !in_all(id)).collect();
        let distinct = distinct.into_values().collect();
        let dialect = template.dialect();
        Self { template, dialect, policy, in_time, known, distinct, varying, unknown: RefCell::default() }
    }

    /// Whether there is time left; adds a fault if not.
    pub fn is_in_time(&self, findings: &mut Findings) -> bool {
        let in_time = (self.in_time)();
        if !in_time {
            let detail =
                "the templates of extraEnv and requestHeaders take too long to render for every imageConfig value";
            findings.faults.push(Fault::forbidden(Rule::TemplateTime, "spec.podTemplate", detail));
        }
        in_time
    }

    /// Renders once for each combination of names and ports that can make a difference, while there is time.
    ///
    /// `render` returns the ids that a template asked for, if it did not fail. Its output depends on these ids only, so
    /// if all image values have them, one rendering is enough.
    pub fn render_everywhere(&self, mut render: impl FnMut(&Rendering<'_>) -> Option<Vec<String>>) {
        self.unknown.borrow_mut().clear();
        for name in NAMES {
            for selected in self.distinct.iter().take_while(|_| (self.in_time)()) {
                let paths = PortPaths {
                    paths: &self.policy.paths,
                    dialect: self.dialect,
                    namespace: name,
                    workspace: name,
                    selected,
                    known: &self.known,
                    mode: Mode::Strict,
                };
                let asked = render(&Rendering { check: self, paths });
                if asked.is_some_and(|ids| !ids.iter().any(|id| self.varying.contains(id.as_str()))) {
                    break;
                }
            }
        }
    }

    /// The fault of a template. Which ids exist is a hint, not part of the detail: it changes with other fields.
    pub fn fault(&self, rule: Rule, field: String, value: &str, detail: &str) -> Fault {
        let fault = Fault::invalid(rule, field, value, detail);
        let unknown = self.unknown.borrow();
        match unknown.iter().find(|id| detail.ends_with(&unknown_port(id))) {
            Some(id) => fault.with_hint(advice_on_port(id, &self.known)),
            None => fault,
        }
    }

    /// Those of `ids` that some image values lack.
    pub fn varying<'b>(&'b self, ids: &'b [String]) -> impl Iterator<Item = String> + 'b {
        ids.iter().filter(|id| self.varying.contains(id.as_str())).cloned()
    }
}

/// Warns of the `values` that lack a port that a template asks for: it renders empty there.
pub(super) fn warning(field: String, asked: &BTreeSet<String>, values: &[&ImageConfigValue]) -> Option<Warning> {
    let lacks = |value: &ImageConfigValue, id: &str| !value.spec.ports.iter().any(|port| port.id == id);
    let absent = |id: &&String| values.iter().any(|value| lacks(value, id));
    let ids: Vec<&String> = asked.iter().filter(absent).collect();
    let without = values.iter().filter(|value| ids.iter().any(|id| lacks(value, id))).map(|value| &*value.id);
    let without: Vec<&str> = without.collect();
    if without.is_empty() {
        return None;
    }
    let ids = ids.into_iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ");
    let (some, all) = (without.len(), values.len());
    let start = format!("{field}: renders empty for port {ids} in {some} of {all} imageConfig values: ");
    let text = start.clone() + &fitting(&without, WARNING_MAX.saturating_sub(start.len()));
    Some(Warning { rule: Rule::PortRendersEmpty, field, text })
}

/// As many of `ids` as fit, at least one.
fn fitting(ids: &[&str], bytes: usize) -> String {
    let mut text = String::new();
    for id in ids {
        if !text.is_empty() && text.len() + ", ".len() + id.len() + ", …".len() > bytes {
            return text + ", …";
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(id);
    }
    text
}

/// One rendering: for one image value and one Workspace.
pub(super) struct Rendering<'a> {
    check: &'a TemplateCheck<'a>,
    paths: PortPaths<'a>,
}

impl Functions for Rendering<'_> {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        if self.check.known.contains(port_id) {
            return self.paths.http_path_prefix(port_id);
        }
        self.check.unknown.borrow_mut().insert(port_id.to_owned());
        Err(unknown_port(port_id))
    }
}

/// Validates one variable, and returns its size in bytes as stored, for the image value where that is the largest.
fn environment(variable: &EnvVar, check: &TemplateCheck<'_>, findings: &mut Findings) -> usize {
    let field = || format!("{}.value", key("spec.podTemplate.extraEnv", &variable.name));
    let (templates, mut found) = EnvTemplates::parse(std::slice::from_ref(variable));
    let mut asked = BTreeSet::new();
    let mut largest = 0;
    check.render_everywhere(|rendering| match templates.render(rendering, Mode::Strict) {
        Ok(rendered) => {
            largest = largest.max(rendered.iter().map(RenderedEnv::stored_bytes).sum());
            let ids: Vec<String> = rendered.into_iter().flat_map(|rendered| rendered.port_ids).collect();
            asked.extend(check.varying(&ids));
            Some(ids)
        }
        Err(faults) => {
            add_new(&mut found, faults);
            None
        }
    });
    for fault in found {
        let found = check.fault(Rule::ExtraEnvTemplate, field(), &fault.value, &fault.detail);
        findings.faults.push(found.about(fault.name).pointing(fault.at));
    }
    if !asked.is_empty() {
        let values: Vec<&ImageConfigValue> = check.template.options.image_config.values.iter().collect();
        findings.warnings.extend(warning(field(), &asked, &values));
    }
    largest
}

/// Adds what is not in `found` yet, so that a fault is not repeated for each image value.
pub(super) fn add_new<T: PartialEq>(found: &mut Vec<T>, more: Vec<T>) {
    for fault in more {
        if !found.contains(&fault) {
            found.push(fault);
        }
    }
}
