//! Every constraint and rule of both schemas, on the real API server: one object that it accepts and one that it
//! refuses.
//!
//! The facts are in case files (see [`cases`] for their format); a constraint of a schema without a case fails, and so
//! does a case without its constraint. Kubernetes' own types inside our schemas are compared with what the API server
//! publishes about them, and tested one by one. No webhook is registered: what is refused here, the schema refuses.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;
mod core_types;
mod judge;
mod paths;
mod schema;

use std::collections::BTreeSet;

use cases::CaseFile;
use crds::generate::{workspace_crd, workspace_kind_crd};
use judge::{CrdKind, Judge};
use schema::{Constraint, Origin};

fn file_of(kind: CrdKind) -> CaseFile {
    CaseFile::read(match kind {
        CrdKind::Workspace => "workspace.yaml",
        CrdKind::WorkspaceKind => "workspace_kind.yaml",
    })
}

fn crd_of(kind: CrdKind) -> serde_json::Value {
    match kind {
        CrdKind::Workspace => workspace_crd(),
        CrdKind::WorkspaceKind => workspace_kind_crd(),
    }
}

#[track_caller]
fn every_constraint_has_its_cases(kind: CrdKind) {
    let crd = crd_of(kind);
    let in_schema = schema::constraints(schema::of(&crd), Origin::Ours);
    let in_file: BTreeSet<Constraint> = file_of(kind).cases.into_iter().map(|case| case.constraint).collect();
    let lines = |set: &BTreeSet<Constraint>, other: &BTreeSet<Constraint>| {
        set.difference(other).map(|(path, what)| format!("{path}: {what}")).collect::<Vec<_>>().join("\n  ")
    };
    let untested = lines(&in_schema, &in_file);
    let stale = lines(&in_file, &in_schema);
    assert!(untested.is_empty(), "constraints without a case:\n  {untested}");
    assert!(stale.is_empty(), "cases without their constraint:\n  {stale}");
}

#[track_caller]
fn the_api_server_agrees(kind: CrdKind) {
    let judge = Judge::new(kind);
    let file = file_of(kind);
    let failures: Vec<String> = file.cases.iter().filter_map(|case| judge.try_case(case).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), file.cases.len(), failures.join("\n"));
    println!("{} objects tried", file.cases.len());
}

#[test]
fn every_workspace_constraint_has_its_cases() {
    every_constraint_has_its_cases(CrdKind::Workspace);
}

#[test]
fn every_workspace_kind_constraint_has_its_cases() {
    every_constraint_has_its_cases(CrdKind::WorkspaceKind);
}

#[test]
fn api_server_takes_and_refuses_workspaces() {
    the_api_server_agrees(CrdKind::Workspace);
}

#[test]
fn api_server_takes_and_refuses_workspace_kinds() {
    the_api_server_agrees(CrdKind::WorkspaceKind);
}
