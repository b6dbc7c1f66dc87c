//! Conditions: their types, and how those of a status change.

use crds::conditions::{Condition, ConditionStatus};
use k8s_openapi::jiff::Timestamp;

/// The condition that what exists matches the spec.
pub const READY: &str = "Ready";
/// The condition that requests are routed to the Workspace.
pub const ROUTE_READY: &str = "RouteReady";
/// The condition that the pod stays on an older template until it is restarted; only while that is so.
pub const PENDING_RESTART: &str = "PendingRestart";
/// Its reason where the pod is on an older template.
pub const TEMPLATE_CHANGED: &str = "TemplateChanged";
/// The condition that a Workspace can be opened now.
pub const AVAILABLE: &str = "Available";
/// The condition that something is being done about what is not as desired; only while that is so.
pub const RECONCILING: &str = "Reconciling";
/// The condition that nothing more can be done until somebody changes something; only while that is so.
pub const STALLED: &str = "Stalled";
/// The condition that the API server takes what a kind makes.
pub const ACCEPTED: &str = "Accepted";
/// The condition that what a kind refers to exists.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// The longest message of a condition, in bytes.
pub(super) const MESSAGE_MAX: usize = 1024;

/// A condition as it should be, but for the time of its last transition.
pub(super) struct ConditionDraft {
    pub type_: &'static str,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
}

impl ConditionDraft {
    pub fn new(type_: &'static str, status: ConditionStatus, reason: &str, message: impl Into<String>) -> Self {
        Self { type_, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// `held` with the drafts in place: each with the time of its last transition, conditions of others unchanged. `ours` are the
/// types of which there is none without a draft.
pub(super) fn merged(
    held: &[Condition],
    ours: &[&str],
    drafts: impl IntoIterator<Item = ConditionDraft>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let others = held.iter().filter(|condition| !ours.contains(&&*condition.type_)).cloned();
    let mut all: Vec<Condition> = others.collect();
    for ConditionDraft { type_, status, reason, message } in drafts {
        let before = held.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        let last_transition_time = before.map_or_else(|| in_seconds(now), |before| before.last_transition_time.clone());
        all.push(Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time,
            reason,
            message: bounded(message),
        });
    }
    all
}

/// RFC 3339 without fractions, as Kubernetes writes times.
fn in_seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// `text`, cut where it is too long for a message.
pub(super) fn bounded(mut text: String) -> String {
    const CUT: &str = "…";
    if text.len() > MESSAGE_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_MAX - CUT.len()));
        text.push_str(CUT);
    }
    text
}
