//! The command `validate`: would the API server and the webhook accept these files?

use std::io::Read;

use webhook::Policy;

use super::Answer;
use super::check::check;
use super::input::source;
use super::report::Telling;

/// What `validate` was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    /// Files, directories, or `-` for the standard input.
    pub inputs: Vec<String>,
    /// Files and directories of objects that are stored already.
    pub old: Vec<String>,
    /// How to report what is found.
    pub telling: Telling,
    /// The settings that verdicts depend on.
    pub policy: Policy,
}

/// Checks the inputs; `input` is the standard input.
pub fn run(validate: &Validate, input: &mut dyn Read) -> Answer {
    let (inputs, mut unreadable) = source::read(&validate.inputs, input);
    let (stored, more) = source::read(&validate.old, input);
    unreadable.extend(more);
    validate.telling.answer(check(&inputs, &stored, &validate.policy), unreadable, &inputs)
}
