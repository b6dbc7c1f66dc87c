//! The CRDs as files, which is how they are published: what [`generate`](crate::generate) makes of the types, and a test compares.
//!
//! The program has the files, not what makes them: that is a megabyte of code.

use serde_json::Value;

use crate::generate::{WORKSPACE_CRD_FILE, WORKSPACE_KIND_CRD_FILE};

const WORKSPACE_CRD: &str = include_str!("../kubeflow.org_workspaces.yaml");
const WORKSPACE_KIND_CRD: &str = include_str!("../kubeflow.org_workspacekinds.yaml");

/// Names and contents of the files.
pub const CRD_FILES: [(&str, &str); 2] =
    [(WORKSPACE_CRD_FILE, WORKSPACE_CRD), (WORKSPACE_KIND_CRD_FILE, WORKSPACE_KIND_CRD)];

/// The CustomResourceDefinition of Workspaces.
pub fn workspace_crd() -> Value {
    read(WORKSPACE_CRD)
}

/// The CustomResourceDefinition of WorkspaceKinds.
pub fn workspace_kind_crd() -> Value {
    read(WORKSPACE_KIND_CRD)
}

fn read(yaml: &str) -> Value {
    #[allow(clippy::expect_used)] // a test reads them
    serde_saphyr::from_str(yaml).expect("a CustomResourceDefinition as YAML")
}
