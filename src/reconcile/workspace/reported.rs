//! Which Events a reconcile is worth. Pure.

use crds::conditions::{Condition, ConditionStatus};

use super::super::conditions::STALLED;
use super::super::events::{NewEvent, Severity};
use super::outcome::{ApplyOutcome, ChildOutcome};
use super::pod_replacement::PodReplacement;
use crate::render::{ChildKind, Serves};

/// Why the pod was deleted, if it was.
pub(super) fn restarted(replacement: &PodReplacement, pod: &str) -> Option<NewEvent> {
    let cause = replacement.deleted?;
    let note = format!("Deleted Pod {pod}, for its StatefulSet to make a new one: {}", cause.as_str());
    Some(NewEvent { severity: Severity::Normal, reason: "Restarted", action: "Restart", note })
}

/// That a second StatefulSet was deleted, of two that the Go controller made.
pub(super) fn duplicates_deleted(outcome: &ApplyOutcome, kept: &str) -> impl Iterator<Item = NewEvent> {
    let deleted = outcome.children.iter().filter(|child| {
        child.kind == ChildKind::StatefulSet && child.serves == Serves::Neither && child.result.is_ok()
    });
    deleted.map(move |ChildOutcome { name, .. }| {
        let note = format!("Deleted StatefulSet {name}: the Workspace has another one, StatefulSet {kept}");
        NewEvent { severity: Severity::Normal, reason: "DuplicateDeleted", action: "Adopt", note }
    })
}

/// That nothing becomes of the Workspace until somebody changes something, where the conditions before did not say so, or
/// gave another reason.
pub(super) fn stalled(before: &[Condition], after: &[Condition]) -> Option<NewEvent> {
    let stalled = |conditions: &[Condition]| {
        let mut conditions = conditions.iter();
        conditions.find(|one| one.type_ == STALLED && one.status == ConditionStatus::True).cloned()
    };
    let Condition { reason, message, .. } = stalled(after)?;
    let is_known = stalled(before).is_some_and(|before| before.reason == reason);
    let event = NewEvent { severity: Severity::Warning, reason: "Stalled", action: "Reconcile", note: message };
    (!is_known).then_some(event)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn condition(type_: &str, status: ConditionStatus, reason: &str, message: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: Some(1),
            last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn each_reason_to_be_stalled_is_reported_once() {
        let stalled_for = |reason, message| [condition(STALLED, ConditionStatus::True, reason, message)];
        let missing = stalled_for("WorkspaceKindNotFound", "Workspace references unknown WorkspaceKind: lab");
        let event = NewEvent {
            severity: Severity::Warning,
            reason: "Stalled",
            action: "Reconcile",
            note: "Workspace references unknown WorkspaceKind: lab".to_owned(),
        };
        assert_eq!(stalled(&[], &missing), Some(event.clone()));
        assert_eq!(stalled(&stalled_for("ForeignObject", "a"), &missing), Some(event.clone()));
        let not_stalled = [condition(STALLED, ConditionStatus::False, "WorkspaceKindNotFound", "")];
        assert_eq!(stalled(&not_stalled, &missing), Some(event));
        assert_eq!(stalled(&missing, &missing), None);
        // A quota says in other words each time what is used of it.
        assert_eq!(stalled(&stalled_for("Refused", "1 of 2"), &stalled_for("Refused", "2 of 2")), None);
        assert_eq!(stalled(&missing, &[]), None);
        assert_eq!(stalled(&[], &[condition("Ready", ConditionStatus::False, "PodError", "crashed")]), None);
    }
}
