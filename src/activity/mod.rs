//! Is a Workspace in use, and is it to be paused?
//!
//! Files without a client are pure: they take facts and `now`.
//!
//! ```text
//! policy (what the kind asks for) -> schedule (when to probe) -> report (what a probe found) -> record (status, verdict)
//!                                                                  rules (which rule decides) -^
//! ```

pub mod policy;
pub mod record;
pub mod report;
pub mod rules;
pub mod run;
pub mod schedule;

#[cfg(test)]
mod year;
