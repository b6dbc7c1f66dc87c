//! The CRD files are those generated from the types.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use crds::generate::{
    WORKSPACE_CRD_FILE, WORKSPACE_KIND_CRD_FILE, workspace_crd, workspace_crd_yaml, workspace_kind_crd,
    workspace_kind_crd_yaml,
};
use crds::published;
use serde_json::{Value, json};

/// Set it to write the files instead of comparing them.
const REGENERATE: &str = "REGENERATE_CRDS";

#[test]
fn files_are_generated() {
    for (file, generated) in
        [(WORKSPACE_CRD_FILE, workspace_crd_yaml()), (WORKSPACE_KIND_CRD_FILE, workspace_kind_crd_yaml())]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == generated, "{file} is out of date: run make crds");
    }
}

#[test]
fn files_are_read_as_they_are_generated() {
    assert_eq!(published::workspace_crd(), workspace_crd());
    assert_eq!(published::workspace_kind_crd(), workspace_kind_crd());
}

/// What `kubectl get` shows; wide columns in brackets.
fn columns(crd: &Value) -> Vec<String> {
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let name = |column: &Value| {
        let name = column["name"].as_str().unwrap();
        if column["priority"] == 1 { format!("[{name}]") } else { name.to_owned() }
    };
    columns.iter().map(name).collect()
}

#[test]
fn workspaces_are_named_shown_and_selected_as_documented() {
    let crd = workspace_crd();
    assert_eq!(crd["metadata"]["name"], "workspaces.kubeflow.org");
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    let names = json!({
        "kind": "Workspace", "listKind": "WorkspaceList", "plural": "workspaces", "singular": "workspace",
        "shortNames": ["ws"],
    });
    assert_eq!(crd["spec"]["names"], names);
    assert_eq!(columns(&crd), ["State", "Kind", "[Image]", "[PodConfig]", "[Message]", "Age"]);
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["name"], "v1beta1");
    assert_eq!(version["selectableFields"], json!([{"jsonPath": ".spec.kind"}]));
    assert_eq!(version["subresources"], json!({"status": {}}));
}

#[test]
fn workspace_kinds_are_named_and_shown_as_documented() {
    let crd = workspace_kind_crd();
    assert_eq!(crd["metadata"]["name"], "workspacekinds.kubeflow.org");
    assert_eq!(crd["spec"]["scope"], "Cluster");
    let names = json!({
        "kind": "WorkspaceKind", "listKind": "WorkspaceKindList", "plural": "workspacekinds", "singular": "workspacekind",
        "shortNames": ["wsk"],
    });
    assert_eq!(crd["spec"]["names"], names);
    assert_eq!(columns(&crd), ["Workspaces", "Deprecated", "Hidden", "Age"]);
    assert_eq!(crd["spec"]["versions"][0]["subresources"], json!({"status": {}}));
}
