//! The objects that are given, decoded: what renderings start from.

use std::collections::BTreeMap;

use crds::{Workspace, WorkspaceKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use webhook::ReviewedKind;

use super::api_server::schemas::Schemas;
use super::input::object::Objects;
use super::input::source::{InputFile, Unreadable};
use crate::config::Routing;
use crate::render::{self, Desired, RenderInput};

/// Stands for the uid of a Workspace that is not stored yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Namespace and name of a Workspace.
pub type Key = (String, String);

/// The kinds and Workspaces among some texts.
#[derive(Debug, Default)]
pub struct Given {
    /// The kinds, by name.
    pub kinds: BTreeMap<String, WorkspaceKind>,
    /// The Workspaces, by namespace and name. Each has a uid.
    pub workspaces: BTreeMap<Key, Workspace>,
    /// The StatefulSets.
    pub stateful_sets: Vec<Value>,
    /// What does not decode, and why not.
    pub broken: Vec<String>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Given {
    /// Decodes the objects of texts; of two with one name the last counts.
    pub fn read(sources: &[InputFile]) -> Self {
        Self::of(Objects::read(sources))
    }

    /// Decodes objects that have been read.
    pub(super) fn of(objects: Objects) -> Self {
        let mut given = Self { unreadable: objects.unreadable, ..Self::default() };
        let misfits = objects.misfits.iter();
        given.broken = misfits.map(|misfit| format!("{}: {}; see validate", misfit.field, misfit.message)).collect();
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
                        given.workspaces.insert(key(&workspace), workspace);
                    }
                }
            }
        }
        given.stateful_sets = objects.others.into_iter().filter(|other| other["kind"] == "StatefulSet").collect();
        given
    }

    fn decoded<T: DeserializeOwned>(&mut self, object: &Value) -> Option<T> {
        let decoded = serde_path_to_error::deserialize(object);
        decoded.map_err(|error| self.broken.push(format!("{}: {error}; see validate", name_of(object)))).ok()
    }

    /// What the controller would apply for a Workspace, or why nothing.
    pub fn render(&self, workspace: &Workspace, routing: &Routing) -> Result<Desired, String> {
        let name = &workspace.spec.kind;
        let kind = self.kinds.get(name).ok_or_else(|| format!("workspace kind {name:?} is not given"))?;
        render::render(RenderInput::from(workspace), &kind.spec, routing).map_err(|fault| fault.to_string())
    }
}

/// Namespace and name of a Workspace.
pub fn key(workspace: &Workspace) -> Key {
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
