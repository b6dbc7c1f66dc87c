//! The schemas of both CRDs, and what the API server makes of an object before it judges it.

use std::sync::LazyLock;

use crds::generate::{workspace_crd, workspace_kind_crd};
use serde_json::Value;
use webhook::ReviewedKind;

use super::schema::Schema;
use super::violation::Violation;
use super::{metadata, pruning};

/// Read once: it takes longer than to check a file.
static SCHEMAS: LazyLock<Result<Schemas, String>> = LazyLock::new(|| {
    Ok(Schemas { workspace: Schema::of_crd(&workspace_crd())?, workspace_kind: Schema::of_crd(&workspace_kind_crd())? })
});

/// The schemas of both kinds.
#[derive(Debug)]
pub struct Schemas {
    workspace: Schema,
    workspace_kind: Schema,
}

/// An object as it would be judged, and what is wrong with the way it is written.
#[derive(Debug)]
pub struct Shaped {
    /// Without unknown fields, with defaults and with all of its metadata.
    pub object: Value,
    /// The fields that the schema does not know.
    pub unknown: Vec<Violation>,
}

impl Schemas {
    /// Both schemas. The error says what of a CRD is not understood.
    pub fn read() -> Result<&'static Self, &'static str> {
        SCHEMAS.as_ref().map_err(String::as_str)
    }

    /// The schema of a kind.
    pub fn of(&self, subject: ReviewedKind) -> &Schema {
        match subject {
            ReviewedKind::Workspace => &self.workspace,
            ReviewedKind::WorkspaceKind => &self.workspace_kind,
        }
    }

    /// An object as the API server would hand it on.
    pub fn shape(&self, subject: ReviewedKind, object: &Value) -> Shaped {
        let mut object = object.clone();
        let unknown = pruning::shape(self.of(subject), &mut object);
        if let Some(fields) = object.as_object_mut() {
            // Only the controller writes it: the API server ignores it in all other writes.
            fields.remove("status");
        }
        metadata::complete(subject, &mut object);
        Shaped { object, unknown }
    }
}
