//! Status: a pure function of what is known of the kind and its use.

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace_kind::{AssetStatus, OptionCounts, WorkspaceKindStatus};
use k8s_openapi::jiff::Timestamp;

use super::super::conditions::{self, ACCEPTED, ConditionDraft, READY, RESOLVED_REFS};
use super::acceptance::{Acceptance, Verdict};
use super::counts::count;
use super::references::References;

/// What a status follows from.
#[derive(Debug)]
pub(super) struct StatusFacts<'a> {
    /// The generation of the kind.
    pub generation: i64,
    /// The status that it has.
    pub held: &'a WorkspaceKindStatus,
    /// How many Workspaces use it.
    pub workspaces: usize,
    /// How many use each of its options.
    pub options: OptionCounts,
    /// The status of its icon.
    pub icon: AssetStatus,
    /// The status of its logo.
    pub logo: AssetStatus,
    /// What the API server says to it.
    pub acceptance: &'a Acceptance,
    /// Whether what it refers to exists.
    pub references: &'a References,
    /// The time of the transitions that this status shows.
    pub now: Timestamp,
}

/// The status.
pub(super) fn desired(facts: StatusFacts<'_>) -> WorkspaceKindStatus {
    let (observed_generation, conditions) = observed(&facts);
    let StatusFacts { workspaces, options, icon, logo, .. } = facts;
    WorkspaceKindStatus {
        observed_generation,
        workspaces: count(workspaces),
        pod_template_options: Some(options),
        // The CRD of the Go controller requires them.
        spawner_icon: Some(icon),
        spawner_logo: Some(logo),
        conditions,
    }
}

/// The generation that the conditions are about, and these. Until all pairs have been tried they are as they were, unless one
/// was refused already.
fn observed(facts: &StatusFacts<'_>) -> (Option<i64>, Vec<Condition>) {
    let &StatusFacts { generation, held, acceptance, references, now, .. } = facts;
    let Some(accepted) = accepted(acceptance) else {
        return (held.observed_generation, held.conditions.clone());
    };
    let references = references.condition();
    let failing = [&accepted, &references].into_iter().find(|draft| draft.status == ConditionStatus::False);
    let ready = match failing {
        Some(draft) => ConditionDraft::new(READY, ConditionStatus::False, &draft.reason, draft.message.clone()),
        None => ConditionDraft::new(READY, ConditionStatus::True, "Ready", "Workspaces of this kind can be created"),
    };
    let types = [ACCEPTED, RESOLVED_REFS, READY];
    let conditions = conditions::merged(&held.conditions, &types, [accepted, references, ready], generation, now);
    (Some(generation), conditions)
}

/// The condition of the first refusal; nothing while that cannot be said.
fn accepted(acceptance: &Acceptance) -> Option<ConditionDraft> {
    let of = |status, reason: &str, message: String| Some(ConditionDraft::new(ACCEPTED, status, reason, message));
    let refused = acceptance.verdicts.values().filter_map(|verdict| match verdict {
        Verdict::Refused(reason, message) => Some((*reason, message)),
        Verdict::Accepted | Verdict::Unsupported(_) => None,
    });
    let unsupported = acceptance.verdicts.values().find_map(|verdict| match verdict {
        Verdict::Unsupported(message) => Some(message.clone()),
        Verdict::Accepted | Verdict::Refused(..) => None,
    });
    let mut refused = refused;
    match (refused.next(), unsupported) {
        (Some((reason, message)), _) => {
            let more = match refused.count() {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            of(ConditionStatus::False, reason, format!("{message}{more}"))
        }
        (None, _) if acceptance.is_pending => None,
        (None, Some(message)) => of(ConditionStatus::Unknown, "DryRunNotSupported", message),
        (None, None) if acceptance.verdicts.is_empty() => of(
            ConditionStatus::True,
            "NotInUse",
            "no Workspace uses the kind yet, so nothing has been tried".to_owned(),
        ),
        (None, None) => of(
            ConditionStatus::True,
            "Accepted",
            "the API server accepts the StatefulSet of every pair of options in use".to_owned(),
        ),
    }
}

/// Whether the conditions of this generation say that all that was in use with these counts is accepted.
pub(super) fn says_accepted(
    held: &WorkspaceKindStatus,
    generation: i64,
    workspaces: usize,
    options: &OptionCounts,
) -> bool {
    let is_accepted = |condition: &Condition| {
        condition.type_ == ACCEPTED
            && condition.status == ConditionStatus::True
            && condition.observed_generation == Some(generation)
    };
    held.workspaces == count(workspaces)
        && held.pod_template_options.as_ref() == Some(options)
        && held.conditions.iter().any(is_accepted)
}

#[cfg(test)]
mod tests;
