//! That another client modifies fields of ours again and again, as an Event.

use super::super::apply::ApplyError;
use super::super::contest::Contest;
use super::super::events::{NewEvent, Severity};
use super::outcome::{ApplyOutcome, ChildOutcome};

/// That another client keeps modifying what is ours, once until it has stopped for a while.
pub(super) fn contested(outcome: &ApplyOutcome, held: &mut Option<Box<Contest>>) -> Option<NewEvent> {
    let is_contested = |child: &&ChildOutcome| matches!(child.result, Err(ApplyError::Contested { .. }));
    let contested = outcome.children.iter().find(is_contested);
    if !Contest::begins(held, contested.map(|child| child.kind)) {
        return None;
    }
    let ChildOutcome { kind, name, .. } = contested?;
    let note = format!(
        "Another client keeps modifying fields of {} {name} that the controller owns: its managedFields name it",
        kind.row().kind
    );
    Some(NewEvent { severity: Severity::Warning, reason: "Contested", action: "Apply", note })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::render::ChildKind;

    #[tokio::test(start_paused = true)]
    async fn a_contest_is_reported_once_until_it_is_over() {
        let mut held = None;
        let contest = ApplyError::Contested { kind: "Service", name: "ws-lab-1".to_owned() };
        let contested_now = ApplyOutcome {
            children: vec![ChildOutcome::new(ChildKind::Service, "ws-lab-1", Err(contest), 0)],
            ..ApplyOutcome::default()
        };
        let settled = ApplyOutcome::default();
        for episode in 0..2 {
            for turn in 0..300 {
                let event = contested(&contested_now, &mut held);
                // Between two changes the child is as desired.
                assert_eq!(contested(&settled, &mut held), None);
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
            tokio::time::advance(Duration::from_mins(1)).await;
        }
    }
}
