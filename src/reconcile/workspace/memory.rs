//! What is remembered of a Workspace between two reconciles.

use tokio::time::Instant;

use super::super::apply::ChildMemories;
use super::super::contest::Contest;
use super::plan::Plan;
use super::warning::ReadWarnings;
use crate::render::names::Fixed;
use crate::stores::uid::Uid;

/// What is remembered of a Workspace between two reconciles. Losing it costs reads and renderings, never a write.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Memory {
    /// The uid of the Workspace that this is about.
    pub(super) uid: Uid,
    pub(super) plan: Option<Plan>,
    pub(super) children: ChildMemories,
    /// What about its children does not follow from name and uid, if anything.
    pub(super) fixed: Option<Box<Fixed>>,
    /// Whether it is known that none of its children is hidden by a lost label.
    pub(super) has_looked: bool,
    /// Whether the ServiceAccount belongs to another owner: so no pod may run, and nothing is granted.
    pub(super) account_is_foreign: bool,
    /// How many reconciles in a row could not reach the API server.
    pub(super) unreachable: u32,
    /// How many reconciles in a row the API server refused a child.
    pub(super) refusals: u32,
    /// When it was last seen to have a pod.
    pub(super) pod_seen: Option<Instant>,
    /// The warnings about what it waits for; none while it waits for nothing.
    pub(super) warnings: Option<Box<ReadWarnings>>,
    /// Whether its kind was missing at its first reconcile.
    pub(super) missed_kind: bool,
    /// When its StatefulSet was last written.
    pub(super) stateful_set_written: Option<Instant>,
    /// The value of the annotation `restart-at` that a pod was last deleted for.
    pub(super) restarted_for: Option<Box<str>>,
    /// When a pod that never became ready was last deleted. Boxed, because that is rare.
    pub(super) never_ready_replaced: Option<Box<Instant>>,
    /// What a pending restart would change.
    pub(super) revision_change: Option<Box<str>>,
    /// Whether another client keeps modifying its children.
    pub(super) contest: Option<Box<Contest>>,
    /// The reason of the condition Stalled that was last reported; none while it is not.
    pub(super) stalled: Option<Box<str>>,
    /// When its status was last written.
    pub(super) status_written: Option<Instant>,
}
