//! What `check` finds, and how it is printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::offline::CommandOutput;
use crate::offline::finding::Severity;

/// How a step went.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// As it has to be.
    Ok,
    /// Something that users trip over, although admission works.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be read.
    Unknown,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One step with its result.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    /// How it went.
    pub state: State,
    /// The step: the hop or the thing that was looked at.
    pub step: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// It is as it has to be.
    pub fn ok(step: &'static str, message: impl Into<String>) -> Self {
        Self { state: State::Ok, step, message: message.into(), fix: None }
    }

    /// Users trip over it.
    pub fn warning(step: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warning, step, message: message.into(), fix: Some(fix.into()) }
    }

    /// It does not work.
    pub fn failed(step: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Failed, step, message: message.into(), fix: Some(fix.into()) }
    }

    /// It could not be read.
    pub fn unknown(step: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Unknown, step, message: message.into(), fix: Some(fix.into()) }
    }
}

/// How many findings have that state.
fn count(findings: &[Finding], state: State) -> usize {
    findings.iter().filter(|finding| finding.state == state).count()
}

/// Whether nothing was found that counts.
pub(super) fn passes(findings: &[Finding], fail_on: Severity) -> bool {
    let limit = if fail_on == Severity::Warning { State::Ok } else { State::Warning };
    findings.iter().all(|finding| finding.state <= limit)
}

/// The output of the command.
pub(super) fn output(findings: &[Finding], as_json: bool, fail_on: Severity) -> CommandOutput {
    let unknown = count(findings, State::Unknown);
    let stdout = if as_json { json(findings) } else { text(findings) };
    let has_findings = !passes(findings, fail_on);
    CommandOutput { stdout, stderr: String::new(), has_findings, has_unreadable: unknown > 0 }
}

fn text(findings: &[Finding]) -> String {
    let mut lines = String::new();
    for Finding { state, step, message, fix } in findings {
        let _ = writeln!(lines, "{:<8} {step}: {message}", state.as_str());
        if let Some(fix) = fix {
            let _ = writeln!(lines, "         fix: {fix}");
        }
    }
    let [failed, warnings, unknown] =
        [State::Failed, State::Warning, State::Unknown].map(|state| count(findings, state));
    let _ = writeln!(lines, "{failed} failed, {warnings} warnings, {unknown} unknown");
    lines
}

fn json(findings: &[Finding]) -> String {
    let [failed, warnings, unknown] =
        [State::Failed, State::Warning, State::Unknown].map(|state| count(findings, state));
    let report = serde_json::json!({"findings": findings, "failed": failed, "warnings": warnings, "unknown": unknown});
    format!("{report:#}\n")
}
