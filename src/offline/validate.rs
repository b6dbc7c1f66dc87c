//! The command `validate`: would the API server and the webhook accept these files?

use std::io::Read;

use webhook::Policy;

use super::check::check;
use super::command_output::CommandOutput;
use super::input::source;
use super::report::ReportOptions;

/// The arguments of `validate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    /// Files, directories, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Files and directories of stored objects.
    pub old: Vec<String>,
    /// How to report findings.
    pub options: ReportOptions,
    /// The settings of admission.
    pub policy: Policy,
}

/// Checks the inputs; `input` is the standard input.
pub fn run(validate: &Validate, input: &mut dyn Read) -> CommandOutput {
    let (inputs, mut unreadable) = source::read(&validate.inputs, input);
    let (stored, more) = source::read(&validate.old, input);
    unreadable.extend(more);
    validate.options.output(check(&inputs, &stored, &validate.policy), unreadable, &inputs)
}
