//! The command `validate`: reads, checks, writes the report, and says how to end.

use std::io::{self, Write};

use webhook::Policy;

use super::finding::{Report, Severity};
use super::report::Format;
use super::{check, source};

/// What `validate` was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    /// Files, directories, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Files and directories of objects that are stored already.
    pub old: Vec<String>,
    /// The form of the report.
    pub format: Format,
    /// From which findings on the command fails.
    pub fail_on: Severity,
    /// Whether to colour the text.
    pub colours: bool,
    /// The settings that verdicts depend on.
    pub policy: Policy,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Nothing to complain about.
    Clean,
    /// There are findings that count.
    Findings,
    /// Something could not be read.
    Unreadable,
}

impl Outcome {
    /// The exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Unreadable => 3,
        }
    }

    fn of(report: &Report, fail_on: Severity) -> Self {
        if !report.unreadable.is_empty() {
            Self::Unreadable
        } else if report.findings.iter().any(|finding| finding.severity >= fail_on) {
            Self::Findings
        } else {
            Self::Clean
        }
    }
}

/// Checks the inputs and writes the report to `output`.
pub fn run(validate: &Validate, input: &mut dyn io::Read, output: &mut dyn Write) -> io::Result<Outcome> {
    let (inputs, mut unreadable) = source::read(&validate.inputs, input);
    let (stored, more) = source::read(&validate.old, input);
    unreadable.extend(more);
    let mut report = check(&inputs, &stored, &validate.policy);
    unreadable.append(&mut report.unreadable);
    report.unreadable = unreadable;
    report.sort();
    output.write_all(validate.format.write(&report, &inputs, validate.colours).as_bytes())?;
    Ok(Outcome::of(&report, validate.fail_on))
}
