//! Which Events a reconcile is worth. Pure, but for what is remembered of contested children.

use std::time::Duration;

use crds::conditions::{Condition, ConditionStatus};
use tokio::time::Instant;

use super::super::apply::ApplyError;
use super::super::conditions::STALLED;
use super::super::events::{NewEvent, Severity};
use super::outcome::{ApplyOutcome, ChildOutcome};
use super::pod_replacement::PodReplacement;
use super::target::Memory;
use crate::render::{ChildKind, Serves};

/// How often in a row a client has to modify a child again just after it was written before that is reported: nobody does
/// so by hand.
const CONTESTED_AFTER: u32 = 5;
/// After how long without another such change it is over.
const CONTESTED_OVER: Duration = Duration::from_mins(1);

/// A child whose fields another client modifies again and again.
#[derive(Debug)]
pub(super) struct Contest {
    child: ChildKind,
    last: Instant,
    /// How often they did.
    count: u32,
}

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

/// That another client keeps modifying what is ours, once until it has stopped for a while.
pub(super) fn contested(outcome: &ApplyOutcome, memory: &mut Memory) -> Option<NewEvent> {
    let now = Instant::now();
    memory.contest = memory.contest.take().filter(|contest| now - contest.last < CONTESTED_OVER);
    let is_contested = |child: &&ChildOutcome| matches!(child.result, Err(ApplyError::Contested { .. }));
    let ChildOutcome { kind, name, .. } = outcome.children.iter().find(is_contested)?;
    let contest = memory.contest.take().filter(|contest| contest.child == *kind);
    let contest = contest.unwrap_or_else(|| Box::new(Contest { child: *kind, last: now, count: 0 }));
    let contest = memory.contest.insert(contest);
    contest.last = now;
    contest.count = contest.count.saturating_add(1);
    if contest.count != CONTESTED_AFTER {
        return None;
    }
    let note = format!(
        "Another client keeps modifying fields of {} {name} that the controller owns: its managedFields name it",
        kind.row().kind
    );
    Some(NewEvent { severity: Severity::Warning, reason: "Contested", action: "Apply", note })
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

    #[tokio::test(start_paused = true)]
    async fn a_contest_is_reported_once_until_it_is_over() {
        let mut memory = Memory::default();
        let contest = ApplyError::Contested { kind: "Service", name: "ws-lab-1".to_owned() };
        let contested_now = ApplyOutcome {
            children: vec![ChildOutcome::new(ChildKind::Service, "ws-lab-1", Err(contest), 0)],
            ..ApplyOutcome::default()
        };
        let settled = ApplyOutcome::default();
        for episode in 0..2 {
            for turn in 0..300 {
                let event = contested(&contested_now, &mut memory);
                // Between two changes the child is as desired.
                assert_eq!(contested(&settled, &mut memory), None);
                assert_eq!(event.is_some(), turn == 4, "{episode} {turn}");
                if let Some(event) = event {
                    assert_eq!(event.severity, Severity::Warning);
                    assert_eq!(
                        event.note,
                        "Another client keeps modifying fields of Service ws-lab-1 that the controller owns: its \
                         managedFields name it"
                    );
                }
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            tokio::time::advance(CONTESTED_OVER).await;
        }
    }
}
