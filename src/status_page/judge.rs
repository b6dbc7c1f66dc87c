//! Whether a Workspace is fine, and why not: from the conditions of its status, or, where another controller makes that, from its
//! state.

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;

use super::filter::state_name;
use crate::reconcile::conditions::{READY, RECONCILING, ROUTE_READY, STALLED};
use crate::stores::workspace::StoredWorkspace;

/// How a Workspace is, the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Standing {
    /// Somebody has to do something.
    Stuck,
    /// Something is being done.
    InProgress,
    /// Nothing has to be done.
    Fine,
}

impl Standing {
    /// Its name in JSON and in the class of its row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::InProgress => "inProgress",
            Self::Fine => "fine",
        }
    }
}

/// How a Workspace is, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub standing: Standing,
    /// CamelCase; empty where it is fine.
    pub reason: String,
    pub message: String,
    pub since: Option<Timestamp>,
    /// Whether a restart is pending, or an update available.
    pub restart_pending: bool,
    /// What its status says about the route; none where it says nothing.
    pub route: Option<(ConditionStatus, String)>,
}

/// Judges a Workspace.
pub(super) fn judge(workspace: &StoredWorkspace) -> Judgement {
    let status = workspace.status.unpack();
    let condition = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
    let route = condition(ROUTE_READY).map(|route| (route.status, route.reason.clone()));
    let (standing, reason, message, since) = standing(workspace, &status, condition);
    Judgement { standing, reason, message, since, restart_pending: status.pending_restart, route }
}

type StandingAndWhy = (Standing, String, String, Option<Timestamp>);

fn standing<'a>(
    workspace: &StoredWorkspace,
    status: &WorkspaceStatus,
    condition: impl Fn(&str) -> Option<&'a Condition>,
) -> StandingAndWhy {
    let of = |standing, condition: &Condition| {
        let since = condition.last_transition_time.parse().ok();
        (standing, condition.reason.clone(), condition.message.clone(), since)
    };
    let is_new = |condition: &&Condition| condition.observed_generation.is_none_or(|of| of >= workspace.generation);
    if workspace.identity.deleting {
        let message = "it is being deleted: a finalizer holds it where that takes long".to_owned();
        return (Standing::InProgress, "Deleting".to_owned(), message, None);
    }
    if let Some(stalled) = condition(STALLED).filter(is_new).filter(|stalled| stalled.status == ConditionStatus::True) {
        return of(Standing::Stuck, stalled);
    }
    match condition(READY) {
        Some(ready) if !is_new(&ready) => {
            if let Some(reconciling) = condition(RECONCILING).filter(is_new) {
                return of(Standing::InProgress, reconciling);
            }
            let message = format!("the status is that of generation {}", ready.observed_generation.unwrap_or_default());
            (Standing::InProgress, "NotObserved".to_owned(), message, None)
        }
        Some(ready) if ready.status == ConditionStatus::True => (Standing::Fine, String::new(), String::new(), None),
        Some(ready) if status.state == WorkspaceState::Error => of(Standing::Stuck, ready),
        // It repeats what is wrong with the route.
        Some(ready) => match condition(ROUTE_READY).filter(|route| route.status == ConditionStatus::False) {
            Some(route) => of(Standing::Stuck, route),
            None => of(Standing::InProgress, ready),
        },
        None => without_conditions(status),
    }
}

/// A status as the Go controller makes it, or none yet.
fn without_conditions(status: &WorkspaceStatus) -> StandingAndWhy {
    let standing = match status.state {
        WorkspaceState::Running | WorkspaceState::Paused => {
            return (Standing::Fine, String::new(), String::new(), None);
        }
        WorkspaceState::Error => Standing::Stuck,
        WorkspaceState::Pending | WorkspaceState::Terminating | WorkspaceState::Unknown => Standing::InProgress,
    };
    let (reason, message) = match (status.state, &*status.state_message) {
        (WorkspaceState::Unknown, "") => ("NotObserved", "no controller has reported on it yet".to_owned()),
        (state, message) => (state_name(state), message.to_owned()),
    };
    (standing, reason.to_owned(), message, None)
}
