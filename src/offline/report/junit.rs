//! JUnit's XML: a test case for each object, and one for each file that could not be read.

use std::fmt::Write as _;

use crate::offline::finding::{CheckedObject, Finding, Report, Severity, count};

/// Writes one test suite. Warnings are listed without failing their test case.
pub fn write(report: &Report) -> String {
    let of = |checked: &&CheckedObject, severity| {
        let finding = |finding: &&Finding| {
            finding.severity == severity && finding.file == checked.file && finding.object == checked.object
        };
        report.findings.iter().filter(finding).collect::<Vec<_>>()
    };
    let other_findings: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| !report.objects.iter().any(|one| one.file == finding.file && one.object == finding.object))
        .collect();
    let failed = report.objects.iter().filter(|checked| !of(checked, Severity::Error).is_empty()).count()
        + other_findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let tests = report.objects.len() + other_findings.len() + report.unreadable.len();
    let errors = report.unreadable.len();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\">\n  \
         <testsuite name=\"workspaces-controller validate\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\">\n"
    );
    for checked in &report.objects {
        let (errors, warnings) = (of(&checked, Severity::Error), of(&checked, Severity::Warning));
        let name = format!("{} {}", checked.object.kind, checked.object.qualified());
        case(&name, &checked.file, &errors, &warnings, &mut text);
    }
    for finding in other_findings {
        let name = format!("{} {}", finding.object.kind, finding.object.qualified());
        let (errors, warnings): (Vec<&Finding>, _) =
            std::iter::once(finding).partition(|finding| finding.severity == Severity::Error);
        case(&name, &finding.file, &errors, &warnings, &mut text);
    }
    for unreadable in &report.unreadable {
        let place = unreadable.position.map(|at| format!("{}:{}: ", at.line, at.column)).unwrap_or_default();
        let (file, message) = (escaped(&unreadable.file), escaped(&format!("{place}{}", unreadable.message)));
        let _ = writeln!(
            text,
            "    <testcase name=\"{file}\" classname=\"{file}\">\n      <error message=\"{message}\"/>\n    </testcase>"
        );
    }
    text + "  </testsuite>\n</testsuites>\n"
}

fn case(name: &str, file: &str, errors: &[&Finding], warnings: &[&Finding], text: &mut String) {
    let (name, file) = (escaped(name), escaped(file));
    let _ = writeln!(text, "    <testcase name=\"{name}\" classname=\"{file}\">");
    if !errors.is_empty() {
        let lines = escaped(&lines(errors));
        let codes: Vec<&str> = errors.iter().map(|error| error.code.as_str()).collect();
        let message = format!("{}: {}", count(errors.len(), "error"), codes.join(" "));
        let _ = writeln!(text, "      <failure message=\"{message}\">{lines}</failure>");
    }
    if !warnings.is_empty() {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&lines(warnings)));
    }
    text.push_str("    </testcase>\n");
}

fn lines(findings: &[&Finding]) -> String {
    let line = |finding: &&Finding| {
        let Finding { file, line, column, code, .. } = finding;
        format!("{file}:{line}:{column}: {code} {}", finding.sentence())
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Escapes text for XML, also for attributes; XML cannot represent control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escaped("</a b=\"'&\u{1}"), "&lt;/a b=&quot;'&amp;\u{fffd}");
    }
}
