//! SARIF 2.1.0, for code scanning.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use webhook::rule::Rule;

use crate::offline::finding::{Finding, Report};

/// Writes one SARIF log with one run.
pub fn write(report: &Report) -> String {
    let rules: Vec<Value> = Rule::ALL.iter().map(|rule| described(*rule)).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    let notifications: Vec<Value> = report
        .unreadable
        .iter()
        .map(|one| {
            let region = one.position.map(|at| json!({"startLine": at.line, "startColumn": at.column}));
            let mut location = json!({"artifactLocation": {"uri": uri(&one.file)}});
            if let Some(region) = region {
                location["region"] = region;
            }
            let message = format!("cannot be read: {}", one.message);
            json!({"level": "error", "message": {"text": message}, "locations": [{"physicalLocation": location}]})
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "workspaces-controller",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": report.unreadable.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn described(rule: Rule) -> Value {
    json!({
        "id": rule.code(),
        "name": rule.id(),
        "shortDescription": {"text": rule.summary()},
        "help": {"text": rule.advice()},
    })
}

fn result(finding: &Finding) -> Value {
    let mut region = json!({"startLine": finding.line, "startColumn": finding.column});
    if let Some(end) = finding.end_column {
        region["endColumn"] = end.into();
    }
    let object = &finding.object;
    let name = format!("{}/{}", object.kind, object.qualified());
    json!({
        "ruleId": finding.code,
        "ruleIndex": Rule::ALL.iter().position(|rule| rule.code() == finding.code),
        "level": finding.severity.as_str(),
        "message": {"text": finding.sentence()},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&finding.file)}, "region": region},
            "logicalLocations": [{"fullyQualifiedName": format!("{name}.{}", finding.field)}],
        }],
    })
}

/// A file name as the path of a URI.
fn uri(file: &str) -> String {
    /// RFC 3986, section 2.3, and the slash between names.
    const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(file.trim_start_matches("./"), PATH).to_string()
}
