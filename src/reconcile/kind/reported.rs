//! Which Events a change of a kind's conditions is worth. Pure.

use crds::conditions::{Condition, ConditionStatus};

use super::super::conditions::{ACCEPTED, RESOLVED_REFS};
use super::super::events::{NewEvent, Severity};

/// The conditions, with the reasons of the Events that each is false and that it is true again.
const REPORTED: [(&str, &str, &str); 2] =
    [(ACCEPTED, "NotAccepted", "Accepted"), (RESOLVED_REFS, "RefsNotResolved", "RefsResolved")];

/// What is to be reported of the conditions `after`, where the kind has `held` stored. `known`: those that were last reported, for
/// the CRDs of the Go controller have none.
pub(super) fn report(held: &[Condition], after: &[Condition], known: &mut Vec<Condition>) -> Vec<NewEvent> {
    let events = transitions(if held.is_empty() { known } else { held }, after);
    // Without those that are stored there are none as long as something has to be tried.
    if !after.is_empty() {
        *known = after.to_vec();
    }
    events
}

/// That a condition is false that was not, or for another reason, or by an edit of the kind that changed what is wrong; and that
/// one is true again.
fn transitions(before: &[Condition], after: &[Condition]) -> Vec<NewEvent> {
    let of =
        |conditions: &[Condition], type_: &str| conditions.iter().find(|condition| condition.type_ == type_).cloned();
    let transitions = REPORTED.iter().filter_map(|(type_, broken, repaired)| {
        let after = of(after, type_)?;
        let before = of(before, type_).filter(|before| before.status == ConditionStatus::False);
        let (severity, reason) = match (after.status, before) {
            (ConditionStatus::False, Some(before)) if !is_other(&before, &after) => return None,
            (ConditionStatus::False, _) => (Severity::Warning, *broken),
            (ConditionStatus::True, Some(_)) => (Severity::Normal, *repaired),
            (ConditionStatus::True | ConditionStatus::Unknown, _) => return None,
        };
        Some(NewEvent { severity, reason, action: "Validate", note: after.message })
    });
    transitions.collect()
}

/// What the API server says may differ each time it is asked: a quota says what is used of it.
fn is_other(before: &Condition, after: &Condition) -> bool {
    let is_edited = before.observed_generation != after.observed_generation;
    before.reason != after.reason || (is_edited && before.message != after.message)
}

#[cfg(test)]
mod tests {
    use ConditionStatus::{False, True, Unknown};

    use super::*;

    fn condition(type_: &str, status: ConditionStatus, reason: &str, message: &str, generation: i64) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_kind_is_reported_once() {
        let accepted =
            |status, reason: &str, message: &str, generation| condition(ACCEPTED, status, reason, message, generation);
        let refused = |message: &str, generation| accepted(False, "Refused", message, generation);
        let warning = |message: &str| Some(("NotAccepted", Severity::Warning, message.to_owned()));
        let table = [
            (None, refused("a", 1), warning("a")),
            (Some(accepted(True, "Accepted", "", 1)), refused("a", 1), warning("a")),
            (Some(accepted(Unknown, "DryRunNotSupported", "", 1)), refused("a", 1), warning("a")),
            (Some(refused("a", 1)), refused("a", 1), None),
            (Some(refused("1 of 2", 1)), refused("2 of 2", 1), None),
            (Some(refused("a", 1)), refused("a", 2), None),
            (Some(refused("a", 1)), refused("b", 2), warning("b")),
            (Some(refused("a", 1)), accepted(False, "TooLarge", "b", 1), warning("b")),
            (Some(refused("a", 1)), accepted(Unknown, "DryRunNotSupported", "", 1), None),
            (
                Some(refused("a", 1)),
                accepted(True, "Accepted", "fine", 2),
                Some(("Accepted", Severity::Normal, "fine".to_owned())),
            ),
            (None, accepted(True, "Accepted", "fine", 1), None),
            (Some(accepted(True, "NotInUse", "", 1)), accepted(True, "Accepted", "fine", 1), None),
        ];
        for (before, after, expected) in table {
            let before: Vec<Condition> = before.into_iter().collect();
            let events = transitions(&before, std::slice::from_ref(&after));
            let found = events.into_iter().map(|event| (event.reason, event.severity, event.note)).next();
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_is_reported_is_known_where_no_conditions_are_stored() {
        let refused = |generation| [condition(ACCEPTED, False, "Refused", "no", generation)];
        let mut known = Vec::new();
        let mut reasons = |held: &[Condition], after: &[Condition]| {
            report(held, after, &mut known).into_iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        assert_eq!(reasons(&[], &refused(1)), ["NotAccepted"]);
        assert_eq!(reasons(&[], &[]), [""; 0]);
        assert_eq!(reasons(&[], &refused(2)), [""; 0]);
        // What is stored counts.
        assert_eq!(reasons(&[condition(ACCEPTED, True, "Accepted", "", 1)], &refused(2)), ["NotAccepted"]);
        assert_eq!(reasons(&[], &[condition(ACCEPTED, True, "Accepted", "", 3)]), ["Accepted"]);
    }

    #[test]
    fn each_condition_is_reported_by_itself() {
        let unresolved = condition(RESOLVED_REFS, False, "PortNotFound", "gone", 1);
        let refused = condition(ACCEPTED, False, "Refused", "no", 1);
        let ready = condition("Ready", False, "Refused", "no", 1);
        let events = transitions(std::slice::from_ref(&ready), &[unresolved, refused, ready.clone()]);
        let found: Vec<_> = events.iter().map(|event| (event.reason, &*event.note)).collect();
        assert_eq!(found, [("NotAccepted", "no"), ("RefsNotResolved", "gone")]);
    }
}
