//! The decoded objects of the inputs, to be rendered.

use std::collections::BTreeMap;

use crds::{Workspace, WorkspaceKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use webhook::ReviewedKind;

use super::api_server::schemas::Schemas;
use super::input::object::InputObjects;
use super::input::source::{InputFile, Unreadable};
use crate::config::Routing;
use crate::render::{self, Desired, RenderInput};

/// The uid of a Workspace that is not stored yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Namespace and name of a Workspace.
pub type WorkspaceName = (String, String);

/// The decoded objects of some files.
#[derive(Debug, Default)]
pub struct Given {
    /// The kinds, by name.
    pub kinds: BTreeMap<String, WorkspaceKind>,
    /// The Workspaces, by namespace and name. Each has a uid.
    pub workspaces: BTreeMap<WorkspaceName, Workspace>,
    /// The StatefulSets.
    pub stateful_sets: Vec<Value>,
    /// Why objects do not decode.
    pub broken: Vec<String>,
    /// Files and directories that could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Given {
    /// Decodes the objects of files; of two with the same name the last wins.
    pub fn read(sources: &[InputFile]) -> Self {
        Self::of(InputObjects::read(sources))
    }

    /// Decodes objects that have been read already.
    pub(super) fn of(objects: InputObjects) -> Self {
        let mut given = Self { unreadable: objects.unreadable, ..Self::default() };
        let invalid = objects.invalid.iter();
        given.broken = invalid
            .map(|invalid_object| format!("{}: {}; see validate", invalid_object.field, invalid_object.message))
            .collect();
        for object in objects.ours {
            let completed = Schemas::read()
                .map_or_else(|_| object.value.clone(), |schemas| schemas.shape(object.subject, &object.value).object);
            match object.subject {
                ReviewedKind::WorkspaceKind => {
                    if let Some(kind) = given.decoded::<WorkspaceKind>(&completed) {
                        given.kinds.insert(kind.metadata.name.clone().unwrap_or_default(), kind);
                    }
                }
                ReviewedKind::Workspace => {
                    if let Some(mut workspace) = given.decoded::<Workspace>(&completed) {
                        workspace.metadata.uid.get_or_insert_with(|| NO_UID.to_owned());
                        given.workspaces.insert(workspace_name(&workspace), workspace);
                    }
                }
            }
        }
        let others = objects.related.into_iter().map(|other| other.value);
        given.stateful_sets = others.filter(|other| other["kind"] == "StatefulSet").collect();
        given
    }

    fn decoded<T: DeserializeOwned>(&mut self, object: &Value) -> Option<T> {
        let decoded = crds::decode::decode(&object.to_string());
        decoded.map_err(|error| self.broken.push(format!("{}: {error}; see validate", name_of(object)))).ok()
    }

    /// What the controller would apply for a Workspace, or why it would not.
    pub fn render(&self, workspace: &Workspace, routing: &Routing) -> Result<Desired, String> {
        let name = &workspace.spec.kind;
        let kind = self.kinds.get(name).ok_or_else(|| format!("workspace kind {name:?} is not among the inputs"))?;
        render::render(RenderInput::from(workspace), &kind.spec, routing).map_err(|fault| fault.to_string())
    }
}

/// Namespace and name of a Workspace.
pub fn workspace_name(workspace: &Workspace) -> WorkspaceName {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&workspace.metadata.namespace), text(&workspace.metadata.name))
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{}", text(&metadata["name"])),
        None => format!("{kind} {}", text(&metadata["name"])),
    }
}
