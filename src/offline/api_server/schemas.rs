//! The schemas of both CRDs, and how the API server prepares an object for validation.

use std::sync::LazyLock;

use crds::published::{workspace_crd, workspace_kind_crd};
use serde_json::Value;
use webhook::ReviewedKind;

use super::schema::Schema;
use super::violation::Violation;
use super::{metadata, pruning};

/// Parsed once: that is slower than checking a file.
static SCHEMAS: LazyLock<Result<Schemas, String>> = LazyLock::new(|| {
    Ok(Schemas { workspace: Schema::of_crd(&workspace_crd())?, workspace_kind: Schema::of_crd(&workspace_kind_crd())? })
});

/// The schemas of both kinds.
#[derive(Debug)]
pub struct Schemas {
    workspace: Schema,
    workspace_kind: Schema,
}

/// An object that is prepared for validation, and its unknown fields.
#[derive(Debug)]
pub struct Shaped {
    /// Without unknown fields, with defaults and complete metadata.
    pub object: Value,
    /// The fields that are not in the schema.
    pub unknown: Vec<Violation>,
}

impl Schemas {
    /// Both schemas. The error names an unsupported keyword of a CRD.
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

    /// Prepares an object as the API server would.
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
