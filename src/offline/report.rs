//! Reports, written down. Each form stands in its own file and takes nothing but the report and the texts.

pub mod github;
pub mod json;
pub mod junit;
pub mod sarif;
pub mod text;

use super::finding::Report;
use super::input::source::Source;

/// The forms of a report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
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

impl Format {
    /// All of them by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("github", Self::Github),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
    ];

    /// Writes a report. Only text has colours, if wanted.
    pub fn write(self, report: &Report, sources: &[Source], colours: bool) -> String {
        match self {
            Self::Text => text::write(report, sources, colours),
            Self::Json => json::write(report),
            Self::Github => github::write(report),
            Self::Sarif => sarif::write(report),
            Self::Junit => junit::write(report),
        }
    }
}

/// `3 errors`, `1 error`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}
