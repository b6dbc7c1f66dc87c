//! Activity: probes the Workspaces that run, records in their status what was found, and pauses those that are idle where the
//! rules of their kind say so.
//!
//! Apart from the queues of the reconciler and with a limit of its own: probes that hang delay no reconcile.

mod context;
mod memory;
mod outcome;
mod pause;
mod probed;
mod prober;
mod send;
mod target;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

pub(super) use context::Context;
use prober::Prober;

/// How long after a panic probes begin anew.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// Probes until `shutdown`: nothing is paused while others finish what they do. Does not return by itself.
///
/// In a task of its own, for looking at thousands of Workspaces must not keep those that reconcile them from being polled. It ends
/// with this, and so do the probes that run.
pub(super) async fn run(context: Context, shutdown: impl Future<Output = ()>) {
    let context = Arc::new(context);
    let mut tasks = JoinSet::new();
    let probing = async {
        loop {
            tasks.spawn(Prober::new(context.clone()).run());
            // It returns by a panic only, whose location is in the log already.
            tasks.join_next().await;
            tracing::error!("the task that probes activity panicked; it starts again in {} s", AFTER_PANIC.as_secs());
            sleep(AFTER_PANIC).await;
        }
    };
    tokio::select! { () = shutdown => {} () = probing => {} }
    drop((tasks, context));
    pending::<()>().await;
}
