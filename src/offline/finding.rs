//! The result of a check: the structure of the JSON output, which `docs/validate-output.schema.json` documents.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use webhook::rule::Rule;

use super::input::source::{InputFile, Unreadable};

/// The version of the structure. Fields may be added; none is removed or changes its meaning.
pub const API_VERSION: &str = "workspaces-controller/v1";

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The findings, object by object, in the order of the rules.
    pub findings: Vec<Finding>,
    /// The checked objects, in the order of the files.
    pub objects: Vec<CheckedObject>,
    /// Files and directories that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How many files were read.
    pub files: usize,
    /// How many objects of a cluster were read instead.
    pub cluster_objects: Option<usize>,
    /// How many objects of other kinds were skipped.
    pub foreign: usize,
}

/// A checked object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedObject {
    /// The file.
    pub file: String,
    /// The line of its first field.
    pub line: usize,
    /// The object.
    pub object: ObjectName,
    /// Whether it was checked as an update of a stored object.
    pub is_update: bool,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object would be accepted.
    Warning,
    /// The object would be refused.
    Error,
}

impl Severity {
    /// As in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something wrong with an object.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The index of the file.
    #[serde(skip)]
    pub source: usize,
    /// The file, as on the command line; `stdin` for the standard input.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column of the first character, from 1, in characters.
    pub column: usize,
    /// The column after the last character, if that is in the same line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<usize>,
    /// Whether the object would be refused because of it.
    pub severity: Severity,
    /// The stable code of the rule, such as `WSK002`.
    pub code: String,
    /// The stable name of the rule, such as `extra-env-template`.
    pub rule: String,
    /// The object.
    pub object: ObjectName,
    /// The path of the field, as kubectl shows it.
    pub field: String,
    /// The message, without the path.
    pub message: String,
    /// Why the rule is there, and what to write instead.
    pub advice: String,
    /// Whether the API server would refuse the object for other findings first and not report this one yet.
    pub masked: bool,
}

/// The name of an object.
#[derive(Clone, Debug, Default, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name, or the base of a generated one.
    pub name: String,
}

/// The totals.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that were read, including those in directories.
    pub files: usize,
    /// Objects that were read from a cluster, instead of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
    /// Checked WorkspaceKinds.
    pub workspace_kinds: usize,
    /// Checked Workspaces.
    pub workspaces: usize,
    /// Objects of other kinds, which were not checked.
    pub foreign: usize,
    /// Findings because of which an object would be refused.
    pub errors: usize,
    /// Findings in spite of which an object would be accepted.
    pub warnings: usize,
    /// Files and directories that could not be read completely.
    pub unreadable: usize,
}

impl Finding {
    /// A finding at some bytes of a file, with the advice of its rule.
    #[allow(clippy::too_many_arguments)] // the parts of a finding
    pub(super) fn at(
        index: usize,
        source: &InputFile,
        bytes: Range<usize>,
        rule: Rule,
        severity: Severity,
        object: &ObjectName,
        field: &str,
        message: String,
    ) -> Self {
        let (start, end) = (source.position(bytes.start), source.position(bytes.end));
        Self {
            source: index,
            file: source.name().to_owned(),
            line: start.line,
            column: start.column,
            end_column: (end.line == start.line && end.column > start.column).then_some(end.column),
            severity,
            code: rule.code().to_owned(),
            rule: rule.id().to_owned(),
            object: object.clone(),
            field: field.to_owned(),
            message,
            advice: rule.advice().to_owned(),
            masked: false,
        }
    }

    /// The message with the field, unless it names the field itself.
    pub fn sentence(&self) -> String {
        let Self { field, message, .. } = self;
        if message.starts_with(field.as_str()) || field.is_empty() {
            message.clone()
        } else {
            format!("{field}: {message}")
        }
    }
}

impl ObjectName {
    /// The name of any object; of a generated name only its base.
    pub(super) fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let metadata = &object["metadata"];
        let name = text(&metadata["generateName"]).filter(|base| {
            text(&metadata["name"]).is_none_or(|name| name.starts_with(base.as_str()) && name.ends_with("xxxxx"))
        });
        Self {
            kind: text(&object["kind"]).unwrap_or_default(),
            namespace: text(&metadata["namespace"]),
            name: name.or_else(|| text(&metadata["name"])).unwrap_or_default(),
        }
    }

    /// `namespace/name`, or the name.
    pub fn qualified(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Report {
    /// Sorts the findings by file and line.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.source, finding.line, finding.column));
    }

    /// The totals.
    pub fn summary(&self) -> Summary {
        let objects = |kind: &str| self.objects.iter().filter(|checked| checked.object.kind == kind).count();
        let findings = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        Summary {
            files: self.files,
            objects: self.cluster_objects,
            workspace_kinds: objects("WorkspaceKind"),
            workspaces: objects("Workspace"),
            foreign: self.foreign,
            errors: findings(Severity::Error),
            warnings: findings(Severity::Warning),
            unreadable: self.unreadable.len(),
        }
    }
}

/// `3 errors`, `1 error`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}
