//! Contests: another client modifies fields of ours again and again.

use std::time::Duration;

use tokio::time::Instant;

use super::super::apply::ApplyError;
use super::super::events::{NewEvent, Severity};
use super::outcome::{ApplyOutcome, ChildOutcome};
use crate::render::ChildKind;

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

/// That another client keeps modifying what is ours, once until it has stopped for a while.
pub(super) fn contested(outcome: &ApplyOutcome, held: &mut Option<Box<Contest>>) -> Option<NewEvent> {
    let now = Instant::now();
    *held = held.take().filter(|contest| now - contest.last < CONTESTED_OVER);
    let is_contested = |child: &&ChildOutcome| matches!(child.result, Err(ApplyError::Contested { .. }));
    let ChildOutcome { kind, name, .. } = outcome.children.iter().find(is_contested)?;
    let contest = held.take().filter(|contest| contest.child == *kind);
    let contest = contest.unwrap_or_else(|| Box::new(Contest { child: *kind, last: now, count: 0 }));
    let contest = held.insert(contest);
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

#[cfg(test)]
mod tests {
    use super::*;

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
            tokio::time::advance(CONTESTED_OVER).await;
        }
    }
}
