//! The command `migrate --check`: what changes for stored objects when this controller takes over.
//!
//! Every object is checked as if it were new, and every Workspace is rendered and compared with its StatefulSet. Fields
//! that another controller or the API server added beside ours stay; extra items of lists that we own whole would be
//! removed. [`leftovers`] are what the other controller leaves behind, and what must stay when it goes.

pub mod leftovers;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;
use webhook::Policy;
use webhook::rule::Rule;

use super::check::{UnknownFields, check_objects};
use super::command_output::CommandOutput;
use super::finding::{Finding, ObjectName, Report, Severity, count};
use super::given::{Given, WorkspaceName};
use super::input::object::InputObjects;
use super::input::source::{self, InputFile};
use super::report::ReportOptions;
use crate::config::Routing;
use crate::render::difference::{Difference, Extra, differences};

/// The lists that we would own whole.
const OUR_LISTS: &[&str] = &["env", "ports", "volumeMounts", "volumes", "tolerations"];
/// How many differences a finding lists.
const LISTED_MAX: usize = 5;

/// The arguments of `migrate --check`.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrate {
    /// Files and directories with stored objects, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Whether to read a cluster instead, and its kubeconfig.
    pub cluster: Option<Option<PathBuf>>,
    /// How to report findings.
    pub options: ReportOptions,
    /// The settings of admission.
    pub policy: Policy,
    /// The settings of routes.
    pub routing: Routing,
}

/// Checks stored objects: the inputs (`input` is the standard input), and `stored`, which was read from a cluster.
pub fn run(migrate: &Migrate, stored: Vec<InputFile>, input: &mut dyn Read) -> CommandOutput {
    let (mut sources, unreadable) = source::read(&migrate.inputs, input);
    sources.extend(stored);
    let mut report = migration(&sources, &migrate.policy, &migrate.routing);
    if migrate.cluster.is_some() {
        // Each object is a file of its own, which is not what a reader expects to be counted.
        report.cluster_objects = Some(std::mem::take(&mut report.files));
    }
    migrate.options.output(report, unreadable, &sources)
}

/// What admission would refuse, which fields would be dropped, which Workspaces would have a restart pending, and what is
/// left to do by hand.
pub fn migration(sources: &[InputFile], policy: &Policy, routing: &Routing) -> Report {
    let objects = InputObjects::read(sources);
    let mut report = check_objects(sources, &objects, InputObjects::default(), policy, UnknownFields::Dropped);
    let mut findings = leftovers::find(sources, &objects);
    let given = Given::of(objects);
    let running = running(&given);
    let places = Places::new(&report, sources);
    for (key, workspace) in &given.workspaces {
        // One that cannot be rendered has findings of admission, and keeps its pod.
        let Ok(desired) = given.render(workspace, routing) else { continue };
        let Some(running) = running.get(key).filter(|_| !workspace.spec.paused) else { continue };
        let desired = serde_json::to_value(&desired.stateful_set).unwrap_or_default();
        let template = |set: &Value| set["spec"]["template"].clone();
        let found = differences(&template(running), &template(&desired), Extra::KeptOutside(OUR_LISTS));
        if !found.is_empty() {
            findings.push(pending(&places, key, &found));
        }
    }
    report.findings.extend(findings);
    report
}

/// The StatefulSets, by the Workspace that owns them.
fn running(given: &Given) -> BTreeMap<WorkspaceName, &Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_owner = |owner: &&Value| owner["kind"] == "Workspace" && owner["controller"] == true;
    let owned = given.stateful_sets.iter().filter_map(|set| {
        let owner = set["metadata"]["ownerReferences"].as_array()?.iter().find(is_owner)?;
        Some(((text(&set["metadata"]["namespace"]), text(&owner["name"])), set))
    });
    owned.collect()
}

/// The places of objects.
struct Places<'a> {
    objects: BTreeMap<&'a ObjectName, (&'a str, usize)>,
    sources: BTreeMap<&'a str, usize>,
}

impl Places<'_> {
    fn new<'a>(report: &'a Report, sources: &'a [InputFile]) -> Places<'a> {
        let objects = report.objects.iter().map(|checked| (&checked.object, (checked.file.as_str(), checked.line)));
        let sources = sources.iter().enumerate().map(|(index, source)| (source.name(), index));
        Places { objects: objects.collect(), sources: sources.collect() }
    }
}

fn pending(places: &Places<'_>, (namespace, name): &WorkspaceName, found: &[Difference]) -> Finding {
    let object = ObjectName { kind: "Workspace".to_owned(), namespace: Some(namespace.clone()), name: name.clone() };
    let (file, line) = places.objects.get(&object).copied().unwrap_or(("", 1));
    let source = places.sources.get(file).copied().unwrap_or_default();
    let listed: Vec<String> = found.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let rest = found.len() - listed.len();
    let more = if rest == 0 { String::new() } else { format!("; and {}", count(rest, "more difference")) };
    let rule = Rule::TakeOverRestart;
    Finding {
        source,
        file: file.to_owned(),
        line,
        column: 1,
        end_column: None,
        severity: Severity::Warning,
        code: rule.code().to_owned(),
        rule: rule.id().to_owned(),
        object,
        field: String::new(),
        message: format!("a restart would be pending: {}{more}", listed.join("; ")),
        advice: rule.advice().to_owned(),
        masked: false,
    }
}
