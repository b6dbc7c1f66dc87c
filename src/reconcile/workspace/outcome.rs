//! What became of the children, as far as status and queue depend on it.

use std::time::Duration;

use crds::workspace::PodTemplateOptionsStatus;

use super::super::apply::{ApplyError, Next, StoredDifference};
use super::super::engine::Requeue;
use super::reasons::StatusReason;
use crate::render::{ChildKind, Route, Serves, SkippedMount};

/// How many reconciles in a row have to fail before the status reports that the API server cannot be reached.
const REPORTED_AFTER: u32 = 3;

/// What was done about a Workspace.
#[derive(Debug, Default)]
pub(super) struct ApplyOutcome {
    /// What is wrong with the Workspace or its kind; its message becomes that of the state.
    pub spec_error: Option<StatusReason>,
    /// The account that the pod runs as.
    pub service_account: Option<String>,
    /// The options that redirects lead to; none when the kind does not exist.
    pub options: Option<PodTemplateOptionsStatus>,
    /// The route that is desired; none when the Workspace could not be rendered.
    pub route: Option<Route<()>>,
    /// Mounts that were skipped, because another one has their path.
    pub skipped_mounts: Vec<SkippedMount>,
    /// What became of each child that something was to be done about, in that order.
    pub children: Vec<ChildOutcome>,
}

/// What became of a child.
#[derive(Debug)]
pub(super) struct ChildOutcome {
    pub kind: ChildKind,
    pub name: Box<str>,
    /// What depends on what was done.
    pub serves: Serves,
    /// How what is stored differs from what was applied; or why it could not be applied.
    pub result: Result<StoredDifference, ApplyError>,
    /// Whether an error may be over by the next reconcile: too early to report it.
    pub is_transient: bool,
    /// Whether it was taken over from the Go controller now.
    pub is_adopted: bool,
}

impl ChildOutcome {
    /// `unreachable`: how many reconciles in a row before this one could not reach the API server.
    pub fn new(kind: ChildKind, name: &str, result: Result<StoredDifference, ApplyError>, unreachable: u32) -> Self {
        let is_transient = match &result {
            Err(ApplyError::Contested { .. } | ApplyError::LeftBehind { .. }) => true,
            Err(ApplyError::Unreachable { .. }) => unreachable + 1 < REPORTED_AFTER,
            _ => false,
        };
        Self { kind, name: name.into(), serves: kind.row().serves, result, is_transient, is_adopted: false }
    }
}

impl ApplyOutcome {
    /// An error that may be over by the next reconcile: too early to report it.
    pub fn transient_error(&self) -> Option<&ApplyError> {
        self.children.iter().find(|child| child.is_transient)?.result.as_ref().err()
    }

    /// Whether the API server could not be reached.
    pub fn is_unreachable(&self) -> bool {
        self.errors().any(|error| matches!(error, ApplyError::Unreachable { .. }))
    }

    /// Whether the API server refused a child.
    pub fn is_refused(&self) -> bool {
        self.errors().any(ApplyError::is_refusal)
    }

    /// The first error to report of a child that serves this. None after a transient one: later errors may follow from it.
    pub fn reported_error(&self, serves: Serves) -> Option<&ApplyError> {
        let reported = self.children.iter().take_while(|child| !child.is_transient);
        reported.filter(|child| child.serves == serves).find_map(|child| child.result.as_ref().err())
    }

    /// How what is stored of a child differs from what was applied. None where there was nothing to do, or it failed.
    pub fn difference(&self, kind: ChildKind) -> Option<&StoredDifference> {
        self.children.iter().find(|child| child.kind == kind)?.result.as_ref().ok()
    }

    /// When to reconcile again.
    pub fn requeue(&self) -> Requeue {
        let mut after: Option<Duration> = None;
        let mut failed = false;
        for error in self.errors() {
            match error.next() {
                Next::Retry => failed = true,
                Next::Wait(Some(pause)) => after = Some(after.map_or(pause, |after| after.min(pause))),
                Next::Wait(None) => {}
            }
        }
        let requeue = Requeue::Done.or_after(after);
        if failed { requeue.or_retry() } else { requeue }
    }

    fn errors(&self) -> impl Iterator<Item = &ApplyError> {
        self.children.iter().filter_map(|child| child.result.as_ref().err())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name() -> String {
        "ws-lab-1".to_owned()
    }

    fn refused() -> ApplyError {
        ApplyError::Refused { kind: "Service", name: name(), message: "quota".to_owned() }
    }

    fn unreachable() -> ApplyError {
        ApplyError::Unreachable { kind: "Service", name: name(), why: "timed out".to_owned() }
    }

    fn foreign() -> ApplyError {
        ApplyError::Foreign { kind: "ServiceAccount", name: name() }
    }

    fn outcome(children: impl IntoIterator<Item = (ChildKind, Result<StoredDifference, ApplyError>)>) -> ApplyOutcome {
        let children = children.into_iter().map(|(kind, result)| ChildOutcome::new(kind, &name(), result, 0)).collect();
        ApplyOutcome { children, ..ApplyOutcome::default() }
    }

    #[test]
    fn requeues_as_soon_as_the_most_urgent_error_asks() {
        let ok = || (ChildKind::StatefulSet, Ok(StoredDifference::default()));
        let contested = || ApplyError::Contested { kind: "Service", name: name() };
        let not_installed = || ApplyError::NotInstalled { kind: "VirtualService" };
        let after = |seconds| Duration::from_secs_f64(seconds);
        assert_eq!(outcome([ok()]).requeue(), Requeue::Done);
        assert_eq!(outcome([ok(), (ChildKind::VirtualService, Err(not_installed()))]).requeue(), Requeue::Done);
        let waits = [(ChildKind::ServiceAccount, Err(foreign())), (ChildKind::Service, Err(contested()))];
        assert_eq!(outcome(waits).requeue(), Requeue::After(after(0.5)));
        assert_eq!(outcome([(ChildKind::Service, Err(refused()))]).requeue(), Requeue::Retry(None));
        let both = [(ChildKind::ServiceAccount, Err(foreign())), (ChildKind::Service, Err(refused()))];
        assert_eq!(outcome(both).requeue(), Requeue::Retry(Some(after(15.0))));
    }

    #[test]
    fn the_first_error_of_what_it_serves_is_reported() {
        let all = outcome([
            (ChildKind::ServiceAccount, Err(foreign())),
            (ChildKind::Service, Err(refused())),
            (ChildKind::VirtualService, Err(refused())),
        ]);
        assert!(matches!(all.reported_error(Serves::Pod), Some(ApplyError::Foreign { .. })));
        assert!(matches!(all.reported_error(Serves::Route), Some(ApplyError::Refused { .. })));
        assert!(all.transient_error().is_none());
    }

    #[test]
    fn an_api_server_that_cannot_be_reached_is_reported_the_third_time() {
        let transient =
            |before| ChildOutcome::new(ChildKind::Service, &name(), Err(unreachable()), before).is_transient;
        assert_eq!([0, 1, 2, 3].map(transient), [true, true, false, false]);
        let first = outcome([(ChildKind::StatefulSet, Err(unreachable())), (ChildKind::Service, Err(refused()))]);
        assert!(first.is_unreachable() && first.transient_error().is_some());
        assert!(first.reported_error(Serves::Pod).is_none(), "later errors may follow from the transient one");
    }
}
