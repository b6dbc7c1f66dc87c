//! Is a Workspace in use, and is it to be paused?
//!
//! Files without a client are pure: they take facts and `now`.
//!
//! ```text
//! policy (what the kind asks for) -> schedule (when to probe) -> jupyter or exec -> report (what a probe found)
//!                                    rules (which rule decides) -> record (status, verdict) <- report
//!
//! What commands ask about a Workspace: idle (for how long, by its status)
//! ```

pub mod exec;
pub mod idle;
pub mod jupyter;
pub mod policy;
mod probe;
pub mod record;
pub mod report;
pub mod rules;
pub mod run;
pub mod schedule;

#[cfg(test)]
mod year;
