//! Admission through the API server: the process itself, over TLS, called by a real kube-apiserver and by kubectl.
//!
//! The rules and their messages are tested without a cluster in `webhook/tests`; these tests show that users get them
//! unchanged, and that no request is wrongly refused while things start or change.

#![allow(clippy::unwrap_used, clippy::panic)]

mod case_files;
mod delete_guard;
mod dry_run;
mod gone;
mod in_use;
mod istio;
mod kubectl;
mod offline;
mod pod_rules;
mod races;
mod stage;
mod start;
mod stored;

use std::time::Duration;

use cluster::report;

/// The timeout of every wait; far longer than any of them takes.
const TIMEOUT: Duration = Duration::from_mins(1);
