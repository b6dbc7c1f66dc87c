//! The command `render`: what the controller would apply, and what an edit would mean for pods that run.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use crds::Workspace;
use serde::Serialize;
use serde_json::Value;

use super::command::Outcome;
use super::given::{Given, Key};
use super::input::source::{self, Source, Unreadable};
use super::report::count;
use crate::config::Routing;
use crate::render::difference::{Extra, differences};
use crate::render::{Route, resolve_options};

/// What `render` was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Render {
    /// What is rendered.
    pub what: What,
    /// How Workspaces are reached.
    pub routing: Routing,
}

/// What is rendered.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The Workspaces among these files.
    Objects(Vec<String>),
    /// How the Workspaces of `new` differ from those of `old`. What is only in one of them is the same in both.
    Difference {
        /// The file or directory before.
        old: String,
        /// The file or directory after.
        new: String,
    },
}

/// Renders and writes: objects and answers to `output`, complaints to `errors`.
pub fn run(
    render: &Render,
    input: &mut dyn Read,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Outcome> {
    match &render.what {
        What::Objects(inputs) => {
            let (sources, unreadable) = source::read(inputs, input);
            objects(&sources, &unreadable, &render.routing, output, errors)
        }
        What::Difference { old, new } => {
            let (before, mut unreadable) = source::read(&[old], input);
            let (after, more) = source::read(&[new], input);
            unreadable.extend(more);
            difference(&before, &after, &unreadable, &render.routing, output, errors)
        }
    }
}

fn objects(
    sources: &[Source],
    unreadable: &[Unreadable],
    routing: &Routing,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Outcome> {
    let given = Given::read(sources);
    let mut outcome = complain(&[&given], unreadable, errors)?;
    for ((namespace, name), workspace) in &given.workspaces {
        let fault = match given.render(workspace, routing) {
            Ok(desired) => {
                writeln!(output, "# Workspace {namespace}/{name}")?;
                let route = desired.route.without_object();
                for document in desired.into_objects() {
                    write!(output, "---\n{}", yaml(&document)?)?;
                }
                let Route::Refused(fault) = route else { continue };
                format!("no route: {fault}")
            }
            Err(fault) => fault,
        };
        writeln!(errors, "Workspace {namespace}/{name}: {fault}")?;
        outcome = outcome.max(Outcome::Findings);
    }
    if given.workspaces.is_empty() {
        writeln!(errors, "there is no Workspace among the files")?;
    }
    Ok(outcome)
}

/// Our own types always serialize.
fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn yaml(document: &Value) -> io::Result<String> {
    serde_saphyr::to_string(document).map_err(io::Error::other)
}

/// Says what could not be read; the outcome so far.
fn complain(all: &[&Given], unreadable: &[Unreadable], errors: &mut dyn Write) -> io::Result<Outcome> {
    let mut outcome = Outcome::Clean;
    for one in all.iter().flat_map(|given| &given.unreadable).chain(unreadable) {
        let place = one.position.map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
        writeln!(errors, "{}{place}: {}", one.file, one.message)?;
        outcome = Outcome::Unreadable;
    }
    for broken in all.iter().flat_map(|given| &given.broken) {
        writeln!(errors, "{broken}")?;
        outcome = outcome.max(Outcome::Findings);
    }
    Ok(outcome)
}

fn difference(
    before: &[Source],
    after: &[Source],
    unreadable: &[Unreadable],
    routing: &Routing,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Outcome> {
    let (mut old, mut new) = (Given::read(before), Given::read(after));
    let mut outcome = complain(&[&old, &new], unreadable, errors)?;
    let kinds = [new.kinds.clone(), old.kinds.clone()];
    for (given, others) in [&mut old, &mut new].into_iter().zip(kinds) {
        for (name, kind) in others {
            given.kinds.entry(name).or_insert(kind);
        }
    }
    let keys: BTreeSet<Key> = old.workspaces.keys().chain(new.workspaces.keys()).cloned().collect();
    let mut pending = 0;
    for key in &keys {
        let before = old.workspaces.get(key).or(new.workspaces.get(key));
        let after = new.workspaces.get(key).or(old.workspaces.get(key));
        let (Some(before), Some(after)) = (before, after) else { continue };
        if before.spec.paused || after.spec.paused {
            // Nothing runs, so nothing has to be restarted.
            continue;
        }
        let reasons = match reasons((&old, before), (&new, after), routing) {
            Ok(reasons) => reasons,
            Err(fault) => {
                writeln!(errors, "Workspace {}/{}: {fault}", key.0, key.1)?;
                outcome = outcome.max(Outcome::Findings);
                continue;
            }
        };
        if !reasons.is_empty() {
            pending += 1;
            outcome = outcome.max(Outcome::Findings);
            writeln!(output, "Workspace {}/{}: a restart would be pending", key.0, key.1)?;
            for reason in reasons {
                writeln!(output, "  {reason}")?;
            }
        }
    }
    writeln!(output, "{}: {pending} with a restart pending", count(keys.len(), "Workspace"))?;
    Ok(outcome)
}

/// Why a pod of the one would not be what a restart brings with the other.
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
