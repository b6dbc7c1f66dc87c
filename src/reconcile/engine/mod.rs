//! The engine of a controller: a queue of keys and the tasks that reconcile them. Knows nothing of what is reconciled.

mod queue;
mod runner;

pub(super) use queue::{ReconcileCause, Requeue};
pub(super) use runner::run;
