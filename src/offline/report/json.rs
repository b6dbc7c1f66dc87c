//! For programs: the structure that `docs/validate-output.schema.json` documents.

use schemars::JsonSchema;
use serde::Serialize;

use crate::offline::finding::{API_VERSION, Finding, Report, Summary};

/// The output of `validate -o json`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    /// `workspaces-controller/v1`. Fields may be added; none is removed or changes its meaning.
    api_version: &'a str,
    /// The findings, sorted by file and line.
    findings: &'a [Finding],
    /// Files and directories that could not be read.
    unreadable: Vec<UnreadableFile<'a>>,
    /// The totals.
    summary: Summary,
}

/// A file or directory that could not be read completely.
#[derive(JsonSchema, Serialize)]
struct UnreadableFile<'a> {
    /// The file or directory.
    file: &'a str,
    /// The line, from 1, if the file could be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column, from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// Why it could not be read.
    message: &'a str,
}

/// Writes one JSON document.
pub fn write(report: &Report) -> String {
    let unreadable = report.unreadable.iter().map(|one| UnreadableFile {
        file: &one.file,
        line: one.position.map(|at| at.line),
        column: one.position.map(|at| at.column),
        message: &one.message,
    });
    let output = Output {
        api_version: API_VERSION,
        findings: &report.findings,
        unreadable: unreadable.collect(),
        summary: report.summary(),
    };
    // Structs of strings and numbers always serialize.
    serde_json::to_string_pretty(&output).unwrap_or_default() + "\n"
}

/// The JSON schema of the output.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Output<'_>).to_value()
}
