//! For people: one line for each finding, the line of the file below it and a caret under the place.

use std::fmt::Write as _;

use webhook::rule::Rule;

use crate::offline::finding::{Finding, Report, Severity, Summary, count};
use crate::offline::input::source::{InputFile, Position};

/// The maximum length of a shown line, in characters.
const WIDTH_MAX: usize = 160;
/// The length of a truncated line before the caret.
const BEFORE: usize = 60;

/// Writes findings, what could not be read, and a summary.
pub fn write(report: &Report, sources: &[InputFile], colours: bool) -> String {
    let paint = Paint(colours);
    let mut text = String::new();
    for finding in &report.findings {
        one(finding, sources.get(finding.source), paint, &mut text);
    }
    for unreadable in &report.unreadable {
        let place = unreadable.position.map(|at| format!("{}:{}:", at.line, at.column)).unwrap_or_default();
        let error = paint.severity(Severity::Error, "error");
        let _ = writeln!(text, "{}:{place} {error}: cannot be read: {}", unreadable.file, unreadable.message);
        let source = sources.iter().find(|source| source.name() == unreadable.file);
        if let (Some(source), Some(at)) = (source, unreadable.position) {
            snippet(source, at, paint, &mut text);
        }
    }
    text.push_str(&summary(report.summary()));
    text
}

fn one(finding: &Finding, source: Option<&InputFile>, paint: Paint, text: &mut String) {
    let Finding { file, line, column, code, rule, .. } = finding;
    let severity = paint.severity(finding.severity, finding.severity.as_str());
    let sentence = finding.sentence();
    let _ = writeln!(text, "{file}:{line}:{column}: {severity} {code} {rule}: {sentence}");
    if let Some(source) = source {
        snippet(source, Position { line: *line, column: *column }, paint, text);
    }
    // Only advice that differs from the rule's: `explain` has that.
    if Rule::find(code).is_some_and(|rule| rule.advice() != finding.advice) {
        let _ = writeln!(text, "      = {}", finding.advice);
    }
}

/// The line and the caret; a long line is truncated around the caret.
fn snippet(source: &InputFile, at: Position, paint: Paint, text: &mut String) {
    let is_long = !source.part(at.line, WIDTH_MAX, 1).is_empty();
    let start = if is_long && at.column > WIDTH_MAX - BEFORE { at.column.saturating_sub(BEFORE) } else { 0 };
    let shown: String = source.part(at.line, start, WIDTH_MAX).chars().map(printable).collect();
    // Tabs are kept, so that the caret is in the right column.
    let before = shown.chars().take((at.column - 1).saturating_sub(start));
    let indent: String = before.map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
    let _ = writeln!(text, "{:>5} | {shown}\n      | {indent}{}", at.line, paint.caret("^"));
}

/// Control characters of a file must not reach the terminal.
fn printable(character: char) -> char {
    if character.is_control() && character != '\t' { '\u{fffd}' } else { character }
}

fn summary(summary: Summary) -> String {
    let Summary { files, objects, workspace_kinds, workspaces, foreign, errors, warnings, unreadable } = summary;
    let read = objects.map_or_else(|| count(files, "file"), |objects| count(objects, "object"));
    let mut parts = vec![read, count(workspace_kinds, "WorkspaceKind"), count(workspaces, "Workspace")];
    match (foreign, objects) {
        (0, _) => {}
        // They were asked for.
        (_, Some(_)) => parts.push(format!("{foreign} of other kinds")),
        (_, None) => parts.push(format!("{} skipped", count(foreign, "foreign object"))),
    }
    let mut found = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    if unreadable > 0 {
        let _ = write!(found, ", {unreadable} unreadable");
    }
    format!("{}: {found}\n", parts.join(", "))
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn severity(self, severity: Severity, text: &str) -> String {
        match severity {
            Severity::Error => self.wrap("31;1", text),
            Severity::Warning => self.wrap("33;1", text),
        }
    }

    fn caret(self, text: &str) -> String {
        self.wrap("32;1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
