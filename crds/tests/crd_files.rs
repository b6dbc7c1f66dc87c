//! The CRD files are what the types say.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use crds::generate::{WORKSPACE_CRD_FILE, WORKSPACE_KIND_CRD_FILE, workspace_crd_yaml, workspace_kind_crd_yaml};

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
        assert!(written == generated, "{file} is out of date: run {REGENERATE}=1 cargo test -p crds --test crd_files");
    }
}
