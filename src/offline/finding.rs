//! What a check says: the shape of the JSON output, which `docs/validate-output.schema.json` documents.

use schemars::JsonSchema;
use serde::Serialize;

use super::input::source::Unreadable;

/// The version of the shape. Fields may be added to it; none goes or changes its meaning.
pub const API_VERSION: &str = "workspaces-controller/v1";

/// All that a check says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What is wrong, object by object, in the order of the rules.
    pub findings: Vec<Finding>,
    /// The objects that were judged, in the order of files.
    pub objects: Vec<Judged>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How many files were given.
    pub files: usize,
    /// How many objects of other kinds were passed over.
    pub foreign: usize,
}

/// An object that was judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The file.
    pub file: String,
    /// The line of its first field.
    pub line: usize,
    /// The object.
    pub object: ObjectName,
    /// Whether it was judged as an update of a stored object.
    pub is_update: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object would be stored.
    Warning,
    /// The object would be refused.
    Error,
}

impl Severity {
    /// As the output has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is to be said about an object.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which of the texts it is about.
    #[serde(skip)]
    pub source: usize,
    /// The file, as it was given; `stdin` for the standard input.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column of the first character, from 1, in characters.
    pub column: usize,
    /// The column behind the last character, where that stands in the same line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<usize>,
    /// Whether the object would be refused for it.
    pub severity: Severity,
    /// The stable code of the rule, such as `WSK002`.
    pub code: String,
    /// The stable name of the rule, such as `extra-env-template`.
    pub rule: String,
    /// The object.
    pub object: ObjectName,
    /// The path of the field, as kubectl shows it.
    pub field: String,
    /// What is wrong, without the path.
    pub message: String,
    /// Why the rule is there, and what to write instead.
    pub advice: String,
    /// Whether the API server would refuse the object for other findings first and not mention this one yet.
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
    /// Its name, or the beginning of it.
    pub name: String,
}

/// How much was looked at and found.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that were given, also in directories.
    pub files: usize,
    /// WorkspaceKinds that were judged.
    pub workspace_kinds: usize,
    /// Workspaces that were judged.
    pub workspaces: usize,
    /// Objects of other kinds, which were passed over.
    pub foreign: usize,
    /// Findings for which an object would be refused.
    pub errors: usize,
    /// Findings that do not keep an object from being stored.
    pub warnings: usize,
    /// Files and directories that could not be read, or not to their end.
    pub unreadable: usize,
}

impl Finding {
    /// What is wrong with which field; some messages name it themselves.
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
    /// `namespace/name`, or the name.
    pub fn qualified(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Report {
    /// Puts the findings into the order of files and lines.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.source, finding.line, finding.column));
    }

    /// How much was looked at and found.
    pub fn summary(&self) -> Summary {
        let objects = |kind: &str| self.objects.iter().filter(|judged| judged.object.kind == kind).count();
        let findings = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        Summary {
            files: self.files,
            workspace_kinds: objects("WorkspaceKind"),
            workspaces: objects("Workspace"),
            foreign: self.foreign,
            errors: findings(Severity::Error),
            warnings: findings(Severity::Warning),
            unreadable: self.unreadable.len(),
        }
    }
}
