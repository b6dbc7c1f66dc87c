//! Admission through the API server: the process itself, over TLS, asked by a real kube-apiserver and by kubectl.
//!
//! The rules and their texts are tried without a cluster in `webhook/tests`; here it counts that what the process says
//! arrives at people as it was meant, and that nobody is refused wrongly while things start or change.

#![allow(clippy::unwrap_used, clippy::panic)]

mod case_files;
mod delete_guard;
mod dry_run;
mod gate;
mod gone;
mod in_use;
mod kubectl;
mod offline;
mod races;
mod stage;
mod start;
mod stored;

use std::time::Duration;

/// For anything that is waited for; far longer than it takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// One line that says how a check went.
fn report(id: &str, pass: bool, figure: impl std::fmt::Display, limit: impl std::fmt::Display) {
    println!("{id} {} {figure} {limit}", if pass { "pass" } else { "fail" });
}
