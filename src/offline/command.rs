//! The commands `validate` and `migrate`: read, check, write the report, and say how to end.

use std::io::{self, Write};
use std::path::PathBuf;

use webhook::Policy;

use super::finding::{Report, Severity};
use super::migrate::migration;
use super::report::Format;
use super::source::Source;
use super::{check, source};
use crate::config::Routing;

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

/// What `migrate --check` was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrate {
    /// Files and directories with what is stored, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Whether to ask the cluster instead, and with which kubeconfig.
    pub cluster: Option<Option<PathBuf>>,
    /// The form of the report.
    pub format: Format,
    /// From which findings on the command fails.
    pub fail_on: Severity,
    /// Whether to colour the text.
    pub colours: bool,
    /// The settings that verdicts depend on.
    pub policy: Policy,
    /// How Workspaces are reached.
    pub routing: Routing,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
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

/// Looks at what is stored, in files or given as texts of their own, and writes the report to `output`.
pub fn run_migrate(
    migrate: &Migrate,
    stored: Vec<Source>,
    input: &mut dyn io::Read,
    output: &mut dyn Write,
) -> io::Result<Outcome> {
    let (mut sources, unreadable) = source::read(&migrate.inputs, input);
    sources.extend(stored);
    let mut report = migration(&sources, &migrate.policy, &migrate.routing);
    report.unreadable.splice(0..0, unreadable);
    report.sort();
    let text = migrate.format.write(&report, &sources, migrate.colours);
    written(output, &text, Outcome::of(&report, migrate.fail_on))
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
    let text = validate.format.write(&report, &inputs, validate.colours);
    written(output, &text, Outcome::of(&report, validate.fail_on))
}

/// Whoever reads may have read enough; what was found stays found.
fn written(output: &mut dyn Write, text: &str, outcome: Outcome) -> io::Result<Outcome> {
    match output.write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(outcome),
        done => done.map(|()| outcome),
    }
}
