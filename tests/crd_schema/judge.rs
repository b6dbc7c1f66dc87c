//! The verdict of the API server on an object, which is not kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Api, Cluster, Reply};
use crds::{Workspace, WorkspaceKind};
use serde_json::{Value, json};

use super::cases::{Case, Expected};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrdKind {
    Workspace,
    WorkspaceKind,
}

/// Tries objects of one kind.
pub struct Judge {
    kind: CrdKind,
    api: &'static Api,
    /// Where objects of the kind are created.
    collection: String,
    created: AtomicUsize,
}

impl Judge {
    pub fn new(kind: CrdKind) -> Self {
        let cluster = Cluster::shared();
        let collection = match kind {
            CrdKind::Workspace => format!("namespaces/{}/workspaces", cluster.namespace("schema").unwrap()),
            CrdKind::WorkspaceKind => "workspacekinds".to_owned(),
        };
        let collection = format!("/apis/{}/{}/{collection}", crds::GROUP, crds::VERSION);
        Self { kind, api: cluster.api(), collection, created: AtomicUsize::new(0) }
    }

    /// Nothing, or how the outcome differs from what was expected.
    pub fn try_case(&self, case: &Case) -> Result<(), String> {
        let (path, what) = &case.constraint;
        let reply = if path.in_status() {
            self.update("/status", &case.object, &case.object)
        } else if let Some(old) = &case.old {
            self.update("", old, &case.object)
        } else {
            self.api.create(&format!("{}?dryRun=All", self.collection), &case.object).unwrap()
        };
        self.judge(&reply, &case.expected).map_err(|why| format!("{path}: {what}: {why}\n    tried {}", case.object))
    }

    /// Replaces a stored object.
    fn update(&self, subresource: &str, old: &Value, new: &Value) -> Reply {
        let mut old = old.clone();
        let name = format!("schema-{}", self.created.fetch_add(1, Ordering::Relaxed));
        old["metadata"]["name"] = json!(name);
        let stored = self.api.create(&self.collection, &old).unwrap().ok().unwrap();
        let mut new = new.clone();
        new["metadata"] = stored["metadata"].clone();
        let path = format!("{}/{name}", self.collection);
        let reply = self.api.replace(&format!("{path}{subresource}?dryRun=All"), &new).unwrap();
        self.api.delete(&path).unwrap().ok().unwrap();
        reply
    }

    fn judge(&self, reply: &Reply, expected: &Expected) -> Result<(), String> {
        let body = reply.json();
        match expected {
            Expected::Refused { field, message } => refused(reply.status, &body, field, message),
            Expected::Accepted => self.accepted(reply),
            Expected::Filled(path, value) => {
                self.accepted(reply)?;
                let mut body = body;
                let found = path.find(&mut body).cloned();
                if found.as_ref() == Some(value) { Ok(()) } else { Err(format!("filled in {found:?}, not {value}")) }
            }
        }
    }

    /// What the API server accepts can be decoded into the types.
    fn accepted(&self, reply: &Reply) -> Result<(), String> {
        if reply.status >= 300 {
            return Err(format!("refused: {}", reply.json()["message"]));
        }
        let decoded = match self.kind {
            CrdKind::Workspace => serde_json::from_str::<Workspace>(&reply.body).map(drop),
            CrdKind::WorkspaceKind => serde_json::from_str::<WorkspaceKind>(&reply.body).map(drop),
        };
        decoded.map_err(|error| format!("taken, but the type cannot hold it: {error}"))
    }
}

/// Refused for this and nothing else; a value may break several rules of its own place, and those around it.
fn refused(status: u16, body: &Value, field: &str, message: &str) -> Result<(), String> {
    if status < 400 {
        return Err("accepted".to_owned());
    }
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    // With such a cause the API server reports that it skipped the rules.
    let causes: Vec<&Value> = causes.iter().filter(|cause| cause["field"] != "<nil>").collect();
    let elsewhere = causes.iter().any(|cause| !cause["field"].as_str().is_some_and(|place| field.starts_with(place)));
    let has_message = causes.iter().any(|cause| cause["message"].as_str().is_some_and(|text| text.contains(message)));
    if status == 422 && has_message && !elsewhere {
        return Ok(());
    }
    Err(format!("expected {message:?} at {field} alone, got {status} {}", body["message"]))
}
