//! The spans of log lines and traces: which object is reconciled, and which of its reconciles a line belongs to. Named as
//! controller-runtime names them.

use tracing::Span;
use tracing::field::Empty;
use uuid::{Builder, Uuid};

use crate::metrics::Controller;
use crate::stores::slim::Key;

/// The span of a reconcile that has this cause. Its level is that of the most severe line, so that errors keep their context at any log level.
pub(super) fn reconcile(controller: Controller, key: &Key, cause: &'static str) -> Span {
    let (namespace, name) = key.parts();
    tracing::error_span!(
        "reconcile",
        controller = controller.as_str(),
        namespace,
        name,
        reconcileID = %id(),
        cause,
        generation = Empty,
    )
}

/// The span of a probe of a Workspace's activity, and of what follows from it.
pub(super) fn probe(key: &Key) -> Span {
    let (namespace, name) = key.parts();
    tracing::error_span!("probe", controller = "activity", namespace, name, reconcileID = %id())
}

/// Adds the generation of the object that is reconciled to the span.
pub(super) fn record_generation(generation: i64) {
    Span::current().record("generation", generation);
}

/// A new id. It need not be hard to guess, so it costs no system call.
fn id() -> Uuid {
    Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid()
}
