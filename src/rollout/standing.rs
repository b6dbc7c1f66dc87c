//! How a Workspace stands in a roll-out: whether its restart is due, and whether it is back after it. Pure.

use std::time::Duration;

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::activity::idle::{Idle, IdleUnknown, idle};
use crate::reconcile::conditions::{AVAILABLE, PENDING_RESTART, TEMPLATE_CHANGED};
use crate::stores::workspace::StoredWorkspace;

/// Why a Workspace is not what it was before as long as nothing has happened.
pub(super) const NOT_REPLACED: &str = "its pod has not been replaced yet (does the controller run?)";
/// How long the controller may take for a restart that it is asked for.
const REQUEST_PATIENCE: Duration = Duration::from_mins(5);

/// Which Workspaces count as idle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct IdleRule {
    /// For how long they must have been idle.
    pub at_least: Duration,
    /// The time between two probes of the kind.
    pub interval: Duration,
}

/// A restart that is due.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Due {
    /// Since when it is pending; `None` where an older CRD drops that.
    pub pending_since: Option<Timestamp>,
    /// How its last probe found it; only where that counts.
    pub idle: Option<Idle>,
    /// What it was before.
    pub before: Before,
}

impl Due {
    /// Whether it is not known that nobody uses it now: it is restarted after its next probe, if that finds it idle, too.
    pub fn waits_for_probe(&self) -> bool {
        self.idle.is_some_and(|idle| !idle.is_fresh)
    }
}

/// A Workspace before its restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Before {
    /// `status.lastRunningTime`: another pod has another one.
    last_running_time: i64,
    /// Whether it could be opened.
    is_available: bool,
}

/// Why a Workspace is left as it is, in the order of the summary.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Left {
    /// It was restarted, and its restart is due once more.
    Again,
    /// It is in use.
    InUse,
    /// It may be in use.
    Unknown(IdleUnknown),
    /// It is idle by each probe, but none of them was fresh when it was looked at.
    NeverFresh,
    /// Somebody has asked for its restart already.
    Requested,
    /// Its latest change has not been reconciled.
    NotReconciled,
    /// Only an option is redirected.
    UpdateAvailable,
    /// It has no pod, and takes the current template when it is started.
    Paused,
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Gone,
    /// It cannot be read.
    Unreadable,
    /// A restart would change nothing.
    Current,
}

/// What a Workspace is in its status waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pending {
    Nothing,
    Restart,
    Selection,
}

/// Whether the restart of a Workspace is due.
pub(super) fn standing(workspace: &StoredWorkspace, rule: Option<IdleRule>, now: Timestamp) -> Result<Due, Left> {
    let status = workspace.status.unpack();
    if workspace.identity.deleting {
        return Err(Left::Deleting);
    }
    if workspace.spec.paused {
        return Err(Left::Paused);
    }
    if status.observed_generation.is_some_and(|observed| observed != workspace.generation) {
        return Err(Left::NotReconciled);
    }
    match pending(&status) {
        Pending::Nothing => return Err(Left::Current),
        Pending::Selection => return Err(Left::UpdateAvailable),
        Pending::Restart => {}
    }
    if is_requested(workspace, &status, now) {
        return Err(Left::Requested);
    }
    let idle = match rule {
        None => None,
        Some(rule) => Some(known_idle(&status, rule, now)?),
    };
    let since = condition(&status, PENDING_RESTART).and_then(|pending| pending.last_transition_time.parse().ok());
    let before = Before { last_running_time: status.last_running_time, is_available: is_available(&status) };
    Ok(Due { pending_since: since, idle, before })
}

/// How the last probe found it, if it had been idle for long enough by then.
fn known_idle(status: &WorkspaceStatus, rule: IdleRule, now: Timestamp) -> Result<Idle, Left> {
    let known = idle(status.activity.as_ref(), status.last_running_time, rule.interval, now).map_err(Left::Unknown)?;
    if known.time < rule.at_least { Err(Left::InUse) } else { Ok(known) }
}

fn condition<'a>(status: &'a WorkspaceStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// An option that is redirected makes `pendingRestart` true as well, but no restart brings it.
fn pending(status: &WorkspaceStatus) -> Pending {
    let is_restart = match condition(status, PENDING_RESTART) {
        Some(pending) => pending.reason == TEMPLATE_CHANGED,
        // Where an older CRD drops conditions, the message is all there is.
        None => status.state_message.ends_with("(a restart is pending)"),
    };
    match status.pending_restart {
        false => Pending::Nothing,
        true if is_restart => Pending::Restart,
        true => Pending::Selection,
    }
}

/// Whether the annotation asks for a restart that has not happened yet: at a later time, or just now. One that it asked for
/// before the pod ran has happened; so has one of long ago, if the clock of a node says otherwise.
fn is_requested(workspace: &StoredWorkspace, status: &WorkspaceStatus, now: Timestamp) -> bool {
    let Some(at) = workspace.restart_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok()) else { return false };
    let is_recent = now.duration_since(at) < SignedDuration::try_from(REQUEST_PATIENCE).unwrap_or_default();
    is_recent && (at > now || at.as_millisecond() > status.last_running_time)
}

fn is_available(status: &WorkspaceStatus) -> bool {
    match condition(status, AVAILABLE) {
        Some(available) => available.status == ConditionStatus::True,
        None => status.state == WorkspaceState::Running,
    }
}

/// What became of a Workspace after its restart was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Aftermath {
    /// It is what it was before, in another pod; or its user has paused it or removed it.
    Over,
    /// It is not, and why.
    Away(String),
}

/// Of a Workspace as it is now.
pub(super) fn aftermath(before: Before, workspace: &StoredWorkspace) -> Aftermath {
    let status = workspace.status.unpack();
    if workspace.identity.deleting || workspace.spec.paused {
        return Aftermath::Over;
    }
    let is_running = status.state == WorkspaceState::Running;
    let has_run_anew = status.last_running_time != before.last_running_time || pending(&status) != Pending::Restart;
    match (is_running, has_run_anew) {
        (true, true) if is_available(&status) || !before.is_available => Aftermath::Over,
        (true, true) => {
            let available = condition(&status, AVAILABLE).map(|available| available.message.clone());
            Aftermath::Away(available.unwrap_or_default())
        }
        (true, false) => Aftermath::Away(NOT_REPLACED.to_owned()),
        (false, _) => Aftermath::Away(status.state_message),
    }
}

#[cfg(test)]
mod tests;
