//! Would these files be accepted? Validates as the API server and the webhook do, without either of them.
//!
//! ```text
//! input: source (files) -> yaml + scalar (places) -> object (ours, foreign) -> check -> finding -> report (text, json,
//! …)
//!                                                                               |  api_server: metadata, pruning, validation, cel
//!                                                                               |  webhook::Question over facts: the webhook itself
//!                                                                               +- input::position: field path -> line and column
//! ```
//!
//! `render` and `migrate` continue from there: given (typed objects) -> crate::render -> difference; `explain-rules`: given ->
//! crate::activity.
//!
//! Objects are checked as if all inputs were stored, in any order. No clock, no environment, no cluster: only
//! [`input::source`] reads files and the standard input, and nothing here writes: a command returns its
//! [`CommandOutput`].

pub mod api_server;
pub mod check;
mod command_output;
pub mod explain;
pub mod explain_rules;
pub mod facts;
pub mod finding;
pub mod given;
pub mod input;
pub mod migrate;
pub mod render;
pub mod report;
pub mod validate;

pub use check::check;
pub use command_output::CommandOutput;
pub use finding::{Finding, Report, Severity, Summary};
pub use input::source::InputFile;
