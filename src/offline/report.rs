//! Formats a report. Each format has its own file, and needs only the report and the files.

pub mod github;
pub mod json;
pub mod junit;
pub mod sarif;
pub mod text;

use super::command_output::CommandOutput;
use super::finding::{Report, Severity};
use super::input::source::{InputFile, Unreadable};

/// The formats of a report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs; `docs/validate-output.schema.json` documents it.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit's XML, for test reports.
    Junit,
}

impl ReportFormat {
    /// All formats by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("github", Self::Github),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
    ];

    /// Formats a report. Only text can have colours.
    pub fn write(self, report: &Report, sources: &[InputFile], colours: bool) -> String {
        match self {
            Self::Text => text::write(report, sources, colours),
            Self::Json => json::write(report),
            Self::Github => github::write(report),
            Self::Sarif => sarif::write(report),
            Self::Junit => junit::write(report),
        }
    }
}

/// How to report findings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportOptions {
    /// The format of the report.
    pub format: ReportFormat,
    /// The lowest severity that counts as a finding.
    pub fail_on: Severity,
    /// Whether to colour the text.
    pub colours: bool,
}

impl ReportOptions {
    /// The output of a command, with the arguments that could not be read.
    pub(super) fn output(
        self,
        mut report: Report,
        unreadable: Vec<Unreadable>,
        sources: &[InputFile],
    ) -> CommandOutput {
        report.unreadable.splice(0..0, unreadable);
        report.sort();
        CommandOutput {
            stdout: self.format.write(&report, sources, self.colours),
            stderr: String::new(),
            has_findings: report.findings.iter().any(|finding| finding.severity >= self.fail_on),
            has_unreadable: !report.unreadable.is_empty(),
        }
    }
}
