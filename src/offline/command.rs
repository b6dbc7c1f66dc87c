//! The commands `validate` and `migrate`: read, check, write the report, and say how to end.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use webhook::Policy;

use super::check;
use super::finding::{Report, Severity};
use super::input::source;
use super::input::source::{Source, Unreadable};
use super::migrate::migration;
use super::report::Format;
use crate::config::Routing;

/// What `validate` was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    /// Files, directories, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Files and directories of objects that are stored already.
    pub old: Vec<String>,
    /// How to tell what is found.
    pub telling: Telling,
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
    /// How to tell what is found.
    pub telling: Telling,
    /// The settings that verdicts depend on.
    pub policy: Policy,
    /// How Workspaces are reached.
    pub routing: Routing,
}

/// How to tell what is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telling {
    /// The form of the report.
    pub format: Format,
    /// From which findings on the command fails.
    pub fail_on: Severity,
    /// Whether to colour the text.
    pub colours: bool,
}

impl Telling {
    /// Writes the report, with what of the arguments could not be read.
    fn write(
        self,
        mut report: Report,
        unreadable: Vec<Unreadable>,
        sources: &[Source],
        output: &mut dyn Write,
    ) -> io::Result<Outcome> {
        report.unreadable.splice(0..0, unreadable);
        report.sort();
        let outcome = Outcome::of(&report, self.fail_on);
        match output.write_all(self.format.write(&report, sources, self.colours).as_bytes()) {
            // Whoever reads may have read enough; what was found stays found.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(outcome),
            done => done.map(|()| outcome),
        }
    }
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

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Clean => 0,
            Outcome::Findings => 1,
            Outcome::Unreadable => 3,
        })
    }
}

impl Outcome {
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
    let report = migration(&sources, &migrate.policy, &migrate.routing);
    migrate.telling.write(report, unreadable, &sources, output)
}

/// Checks the inputs and writes the report to `output`.
pub fn run(validate: &Validate, input: &mut dyn io::Read, output: &mut dyn Write) -> io::Result<Outcome> {
    let (inputs, mut unreadable) = source::read(&validate.inputs, input);
    let (stored, more) = source::read(&validate.old, input);
    unreadable.extend(more);
    validate.telling.write(check(&inputs, &stored, &validate.policy), unreadable, &inputs, output)
}
