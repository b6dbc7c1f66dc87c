//! Pod templates as earlier versions rendered them. A new version renders the same bytes for the same input: any other template
//! is a pending restart of every Workspace with such a kind.
//!
//! Each input `tests/pod_templates/NAME.yaml` holds a kind and a Workspace; `NAME.json` is what the first version that knew it
//! rendered. A difference is never accepted by writing that file anew: it has to be a decision, with a line in the changelog. Of an
//! input without such a file, `REGENERATE_POD_TEMPLATES=1` writes it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use crds::{Workspace, WorkspaceKind};
use serde::Deserialize;
use serde_json::Value;
use workspaces_controller::config::Routing;
use workspaces_controller::render::{RenderInput, render};

/// The pod template for the kind and the Workspace of a file, as the body of an apply has it.
fn template(input: &Path) -> String {
    let text = std::fs::read_to_string(input).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let [kind, workspace] = documents.try_into().unwrap_or_else(|_| panic!("{}: two objects", input.display()));
    let (kind, workspace) = (WorkspaceKind::deserialize(kind).unwrap(), Workspace::deserialize(workspace).unwrap());
    let desired = render(RenderInput::from(&workspace), &kind.spec, &Routing::default()).unwrap();
    let template = serde_json::to_value(desired.stateful_set.spec.unwrap().template).unwrap();
    format!("{}\n", serde_json::to_string_pretty(&template).unwrap())
}

#[test]
fn the_pod_templates_of_earlier_versions_are_rendered_to_the_byte() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pod_templates");
    let files = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    inputs.sort();
    assert!(inputs.len() >= 4, "{inputs:?}");
    let mut differ = Vec::new();
    for input in inputs {
        let (rendered, golden) = (template(&input), input.with_extension("json"));
        if !golden.exists() && std::env::var_os("REGENERATE_POD_TEMPLATES").is_some() {
            std::fs::write(&golden, &rendered).unwrap();
        }
        let stored = std::fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        if rendered != stored {
            differ.push(format!("{}:\n{rendered}", input.display()));
        }
    }
    assert!(differ.is_empty(), "rendered otherwise than before:\n{}", differ.join("\n"));
}
