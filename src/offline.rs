//! Would these files be accepted? The verdict of the API server and of the webhook without either of them.
//!
//! ```text
//! source (files) -> yaml + scalar (places) -> object (ours, foreign) -> check -> finding -> report (text, json, …)
//!                                                                        |  metadata, pruning, validation, cel: the API server
//!                                                                        |  webhook::Question over facts: the webhook itself
//!                                                                        +- position: field path -> line and column
//! ```
//!
//! `render` and `migrate` go on from there: given (typed objects) -> crate::render -> difference.
//!
//! Objects are judged as if all inputs were stored in the end, whatever their order. No clock, no environment, no cluster:
//! only [`source`] and [`command`] touch files and standard streams.

pub mod cel;
pub mod check;
pub mod command;
pub mod explain;
pub mod facts;
pub mod finding;
pub mod given;
pub mod metadata;
pub mod migrate;
pub mod object;
pub mod path;
pub mod position;
pub mod pruning;
pub mod render;
pub mod report;
pub mod scalar;
pub mod schema;
pub mod source;
pub mod validation;
pub mod violation;
pub mod yaml;

pub use check::check;
pub use finding::{Finding, Report, Severity, Summary};
pub use source::Source;
