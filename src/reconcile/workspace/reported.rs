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

/// That children of the Go controller are ours now: those that this reconcile took over.
pub(super) fn adopted(outcome: &ApplyOutcome) -> Option<NewEvent> {
    let adopted = outcome.children.iter().filter(|child| child.is_adopted);
    let adopted: Vec<String> = adopted.map(|child| format!("{} {}", child.kind.row().kind, child.name)).collect();
    let note = format!("Took over from the Go controller: {}", adopted.join(", "));
    let event = NewEvent { severity: Severity::Normal, reason: "Adopted", action: "Adopt", note };
    (!adopted.is_empty()).then_some(event)
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
/// gave another reason, and those after are stored now, as far as the CRD keeps them. `known`: the reason that was last reported,
/// for the CRDs of the Go controller have no conditions.
pub(super) fn stalled(
    (before, after): (&[Condition], &[Condition]),
    is_stored: bool,
    known: &mut Option<Box<str>>,
) -> Option<NewEvent> {
    let stalled = |conditions: &[Condition]| {
        let mut conditions = conditions.iter();
        conditions.find(|one| one.type_ == STALLED && one.status == ConditionStatus::True).cloned()
    };
    let Some(Condition { reason, message, .. }) = stalled(after) else {
        *known = None;
        return None;
    };
    if !is_stored {
        return None;
    }
    let is_known = known.as_deref() == Some(&reason) || stalled(before).is_some_and(|before| before.reason == reason);
    *known = Some(reason.into());
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
        let of_change = |before: &[Condition], after: &[Condition]| stalled((before, after), true, &mut None);
        assert_eq!(of_change(&[], &missing), Some(event.clone()));
        assert_eq!(of_change(&stalled_for("ForeignObject", "a"), &missing), Some(event.clone()));
        let not_stalled = [condition(STALLED, ConditionStatus::False, "WorkspaceKindNotFound", "")];
        assert_eq!(of_change(&not_stalled, &missing), Some(event));
        assert_eq!(of_change(&missing, &missing), None);
        // A quota says in other words each time what is used of it.
        assert_eq!(of_change(&stalled_for("Refused", "1 of 2"), &stalled_for("Refused", "2 of 2")), None);
        assert_eq!(of_change(&missing, &[]), None);
        assert_eq!(of_change(&[], &[condition("Ready", ConditionStatus::False, "PodError", "crashed")]), None);
    }

    /// Also where the API server keeps no conditions.
    #[test]
    fn what_is_stalled_is_reported_again_after_it_was_not() {
        let refused = |message| [condition(STALLED, ConditionStatus::True, "Refused", message)];
        let mut known = None;
        let mut is_reported = |after: &[Condition], is_stored| stalled((&[], after), is_stored, &mut known).is_some();
        // Too soon after the last write.
        assert!(!is_reported(&refused("1 of 2"), false));
        assert!(is_reported(&refused("1 of 2"), true));
        assert!(!is_reported(&refused("2 of 2"), true));
        assert!(is_reported(&[condition(STALLED, ConditionStatus::True, "TooLarge", "")], true));
        // Nothing that is kept differs, so nothing is written.
        assert!(!is_reported(&[], false));
        assert!(is_reported(&refused("1 of 2"), true));
    }
}
