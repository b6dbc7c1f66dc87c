//! The command `render`: what the controller would apply, and what an edit means for running pods.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;

use crds::Workspace;
use serde::Serialize;
use serde_json::Value;

use super::command_output::CommandOutput;
use super::finding::count;
use super::given::{Given, WorkspaceName};
use super::input::source::{self, InputFile, Unreadable};
use crate::config::Routing;
use crate::render::difference::{Extra, differences};
use crate::render::{Route, resolve_options};

/// The arguments of `render`.
#[derive(Clone, Debug, PartialEq)]
pub struct Render {
    /// What is rendered.
    pub what: What,
    /// The settings of routes.
    pub routing: Routing,
}

/// What is rendered.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The Workspaces among these files.
    Objects(Vec<String>),
    /// How the Workspaces of `new` differ from those of `old`. Objects that are only in one of them count as being in
    /// both.
    Difference {
        /// The file or directory before the edit.
        old: String,
        /// The file or directory after the edit.
        new: String,
    },
}

/// Renders; `input` is the standard input.
pub fn run(render: &Render, input: &mut dyn Read) -> CommandOutput {
    match &render.what {
        What::Objects(inputs) => {
            let (sources, unreadable) = source::read(inputs, input);
            objects(&sources, &unreadable, &render.routing)
        }
        What::Difference { old, new } => {
            let (before, mut unreadable) = source::read(&[old], input);
            let (after, more) = source::read(&[new], input);
            unreadable.extend(more);
            difference(&before, &after, &unreadable, &render.routing)
        }
    }
}

fn objects(sources: &[InputFile], unreadable: &[Unreadable], routing: &Routing) -> CommandOutput {
    let given = Given::read(sources);
    let mut output = input_errors(&[&given], unreadable);
    for ((namespace, name), workspace) in &given.workspaces {
        let rendered = given.render(workspace, routing).and_then(|desired| {
            let route = desired.route.without_object();
            Ok((documents(desired.into_objects())?, route))
        });
        let fault = match rendered {
            Ok((documents, route)) => {
                let _ = write!(output.stdout, "# Workspace {namespace}/{name}\n{documents}");
                let Route::Refused(fault) = route else { continue };
                format!("no route: {fault}")
            }
            Err(fault) => fault,
        };
        let _ = writeln!(output.stderr, "Workspace {namespace}/{name}: {fault}");
        output.has_findings = true;
    }
    if given.workspaces.is_empty() {
        output.stderr.push_str("no Workspace among the inputs\n");
    }
    output
}

/// The objects in the order in which they are applied, as YAML documents.
fn documents(mut objects: impl Iterator<Item = Value>) -> Result<String, String> {
    let yaml = |object: &Value| serde_saphyr::to_string(object).map_err(|error| error.to_string());
    objects.try_fold(String::new(), |text, object| Ok(text + "---\n" + &yaml(&object)?))
}

/// Our own types always serialize.
fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Reports what could not be read or decoded.
pub(super) fn input_errors(all: &[&Given], unreadable: &[Unreadable]) -> CommandOutput {
    let mut output = CommandOutput::default();
    for one in all.iter().flat_map(|given| &given.unreadable).chain(unreadable) {
        let place = one.position.map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
        let _ = writeln!(output.stderr, "{}{place}: {}", one.file, one.message);
        output.has_unreadable = true;
    }
    for broken in all.iter().flat_map(|given| &given.broken) {
        let _ = writeln!(output.stderr, "{broken}");
        output.has_findings = true;
    }
    output
}

fn difference(
    before: &[InputFile],
    after: &[InputFile],
    unreadable: &[Unreadable],
    routing: &Routing,
) -> CommandOutput {
    let (mut old, mut new) = (Given::read(before), Given::read(after));
    let mut output = input_errors(&[&old, &new], unreadable);
    let kinds = [new.kinds.clone(), old.kinds.clone()];
    for (given, others) in [&mut old, &mut new].into_iter().zip(kinds) {
        for (name, kind) in others {
            given.kinds.entry(name).or_insert(kind);
        }
    }
    let keys: BTreeSet<WorkspaceName> = old.workspaces.keys().chain(new.workspaces.keys()).cloned().collect();
    let mut pending = 0;
    for key in &keys {
        let before = old.workspaces.get(key).or(new.workspaces.get(key));
        let after = new.workspaces.get(key).or(old.workspaces.get(key));
        let (Some(before), Some(after)) = (before, after) else { continue };
        if before.spec.paused || after.spec.paused {
            // There is no pod to restart.
            continue;
        }
        match reasons((&old, before), (&new, after), routing) {
            Ok(reasons) if reasons.is_empty() => continue,
            Ok(reasons) => {
                pending += 1;
                let _ = writeln!(output.stdout, "Workspace {}/{}: a restart would be pending", key.0, key.1);
                for reason in reasons {
                    let _ = writeln!(output.stdout, "  {reason}");
                }
            }
            Err(fault) => drop(writeln!(output.stderr, "Workspace {}/{}: {fault}", key.0, key.1)),
        }
        output.has_findings = true;
    }
    let _ = writeln!(output.stdout, "{}: {pending} with a restart pending", count(keys.len(), "Workspace"));
    output
}

/// How the pod of the one differs from the pod of the other.
fn reasons(
    (old, before): (&Given, &Workspace),
    (new, after): (&Given, &Workspace),
    routing: &Routing,
) -> Result<Vec<String>, String> {
    let template = |given: &Given, workspace: &Workspace| {
        let desired = given.render(workspace, routing)?;
        Ok::<Value, String>(value(&desired.stateful_set)["spec"]["template"].take())
    };
    let found = differences(&template(old, before)?, &template(new, after)?, Extra::Removed);
    let mut reasons: Vec<String> = found.iter().map(ToString::to_string).collect();
    let redirects = |given: &Given, workspace: &Workspace| -> Vec<String> {
        let Some(kind) = given.kinds.get(&workspace.spec.kind) else { return Vec::new() };
        let (options, _) = resolve_options(&kind.spec.pod_template, &workspace.spec.pod_template.options);
        [("imageConfig", options.image_config), ("podConfig", options.pod_config)]
            .into_iter()
            .flat_map(|(list, option)| {
                option
                    .redirect_chain
                    .into_iter()
                    .map(move |step| format!("{list} {:?} is redirected to {:?}", step.source, step.target))
            })
            .collect()
    };
    let known = redirects(old, before);
    reasons.extend(redirects(new, after).into_iter().filter(|redirect| !known.contains(redirect)));
    Ok(reasons)
}
