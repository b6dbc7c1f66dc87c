//! The output of a command, complete before any of it is written: a closed pipe cannot change what was found.

/// What a command prints, and what determines its exit code.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandOutput {
    /// For the standard output.
    pub stdout: String,
    /// For the standard error: what could not be read or rendered.
    pub stderr: String,
    /// Whether there are findings that count.
    pub has_findings: bool,
    /// Whether an input could not be read.
    pub has_unreadable: bool,
}
