//! Workflow commands: GitHub shows them at the lines of a pull request.

use std::fmt::Write as _;

use crate::offline::finding::{Finding, Report};
use crate::offline::input::source::Unreadable;

/// Writes a line for each finding and for each file that could not be read.
pub fn write(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let Finding { file, line, column, severity, code, rule, .. } = finding;
        let (file, title) = (property(file), property(&format!("{code} {rule}")));
        let message = data(&finding.sentence());
        let severity = severity.as_str();
        let _ = writeln!(text, "::{severity} file={file},line={line},col={column},title={title}::{message}");
    }
    for Unreadable { file, position, message } in &report.unreadable {
        let place = position.map(|at| format!(",line={},col={}", at.line, at.column)).unwrap_or_default();
        let (file, message) = (property(file), data(message));
        let _ = writeln!(text, "::error file={file}{place},title=cannot be read::{message}");
    }
    text
}

/// Escapes the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_cannot_be_injected() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }
}
