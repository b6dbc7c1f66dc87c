//! Restart: whether the running pod is what a new one would be, and whether it is replaced. Pure.
//!
//! A changed template never restarts a pod by itself (`updateStrategy: OnDelete`). Three things do: the user's own edit of
//! `spec.podTemplate`, the annotation `notebooks.kubeflow.org/restart-at`, and a pod that never became ready on an old
//! template. The edit is recorded on the StatefulSet in the very write that changes its template, so that a process which
//! ends between that write and the deletion of the pod loses nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crds::workspace::WorkspacePodTemplate;
use k8s_openapi::jiff::Timestamp;

use super::super::apply::{Hash, hash_of};
use crate::stores::child::Child;
use crate::stores::pod::Pod;
use crate::stores::workspace::StoredWorkspace;

/// What is recorded on a StatefulSet: what its template was made from, and whose restart the user asked for with that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RestartRecord {
    /// The hash of the Workspace's `spec.podTemplate`.
    inputs: Hash,
    /// The revision whose pod is replaced.
    replaces: Option<Box<str>>,
}

impl fmt::Display for RestartRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replaces {
            None => write!(formatter, "inputs={}", self.inputs),
            Some(revision) => write!(formatter, "inputs={},replaces={revision}", self.inputs),
        }
    }
}

impl FromStr for RestartRecord {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let inputs_and_revision = text.strip_prefix("inputs=").ok_or(())?;
        let (inputs, replaces) = match inputs_and_revision.split_once(",replaces=") {
            None => (inputs_and_revision, None),
            Some((inputs, revision)) => (inputs, Some(revision.into())),
        };
        Ok(Self { inputs: Hash::of_text(inputs), replaces })
    }
}

impl RestartRecord {
    /// What a write of the StatefulSet records. Where nothing readable is recorded, as on a set that another controller made,
    /// it is not known whether the user edited anything: then nothing is replaced. A restart that has happened is forgotten:
    /// a later change of the template is none of the user's doing.
    pub fn next(template: &WorkspacePodTemplate, set: Option<&Child>, pod: Option<&Pod>) -> Self {
        let inputs = hash_of(template);
        let replaces = match Self::of(set) {
            None => None,
            Some(recorded) if recorded.inputs == inputs => recorded.replaces.filter(|_| !Self::is_done(set, pod)),
            Some(_) => revision_in_use(set, pod),
        };
        Self { inputs, replaces }
    }

    /// Whether a restart is recorded that has happened, or was none because the template is the same.
    pub fn is_done(set: Option<&Child>, pod: Option<&Pod>) -> bool {
        let asked = Self::of(set).is_some_and(|recorded| recorded.replaces.is_some());
        let is_current = |current: &str| pod.is_none_or(|pod| *pod.revision == *current);
        asked && set.and_then(Child::current_revision).is_some_and(is_current)
    }

    /// What is recorded on a set.
    fn of(set: Option<&Child>) -> Option<Self> {
        set?.restart()?.parse().ok()
    }
}

/// The revision of the pod. One that is being deleted may be followed by another of the template before this write.
fn revision_in_use(set: Option<&Child>, pod: Option<&Pod>) -> Option<Box<str>> {
    match pod.filter(|pod| !pod.identity.deleting) {
        Some(pod) => Some(pod.revision.clone()),
        None => Some(set?.revisions()?.update_revision.clone()),
    }
}

/// How the running pod compares with the template of its StatefulSet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rollout {
    /// There is no pod that goes on running.
    NoPod,
    /// The StatefulSet controller has not seen the template yet.
    Unseen,
    /// A new pod would be the same.
    Current,
    /// A new pod would be another one.
    Outdated,
}

impl Rollout {
    /// Of the pod of that set.
    pub fn of(set: Option<&Child>, pod: Option<&Pod>) -> Self {
        let Some(pod) = pod.filter(|pod| !pod.identity.deleting) else { return Self::NoPod };
        match set.and_then(Child::current_revision) {
            None => Self::Unseen,
            Some(current) if *current == *pod.revision => Self::Current,
            Some(_) => Self::Outdated,
        }
    }
}

/// Why a pod is deleted, for another one to be made from the current template.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RestartCause {
    /// The user changed `spec.podTemplate` of the Workspace.
    Edited,
    /// The annotation `restart-at` asks for it: the user, or an administrator who rolls out a change.
    Requested,
    /// It never became ready, and the template is another one by now.
    NeverReady,
}

/// Whether the pod is replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Restart {
    /// It is not.
    None,
    /// As soon as the StatefulSet controller has seen the template.
    Awaited,
    /// Now.
    Due(RestartCause),
    /// After that long.
    After(Duration),
}

impl RestartCause {
    /// For log lines, statuses and Events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "its user changed the Workspace",
            Self::Requested => "the annotation restart-at asks for it",
            Self::NeverReady => "its pod never became ready and the template has changed",
        }
    }
}

impl Restart {
    /// After how long it is due.
    pub fn after(self) -> Option<Duration> {
        match self {
            Self::After(left) => Some(left),
            Self::None | Self::Awaited | Self::Due(_) => None,
        }
    }

    /// Whether this pod will not run much longer.
    pub fn replaces_pod(self) -> bool {
        matches!(self, Self::Awaited | Self::Due(_))
    }

    /// Of the pod of that set. A paused Workspace is left to the StatefulSet controller, which deletes its pod. `handled` is the
    /// value of the annotation that a pod was deleted for already.
    pub fn of(
        workspace: &StoredWorkspace,
        set: Option<&Child>,
        pod: Option<&Pod>,
        handled: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let pod = pod.filter(|pod| !pod.identity.deleting && !workspace.spec.paused);
        let (Some(pod), Some(_)) = (pod, set) else { return Self::None };
        let recorded = RestartRecord::of(set).and_then(|recorded| recorded.replaces);
        let is_edited = recorded.is_some_and(|revision| revision == pod.revision);
        match Rollout::of(set, Some(pod)) {
            Rollout::Outdated if is_edited => return Self::Due(RestartCause::Edited),
            Rollout::Outdated if !pod.was_ready => return Self::Due(RestartCause::NeverReady),
            Rollout::Unseen if is_edited => return Self::Awaited,
            _ => {}
        }
        match requested(workspace, pod, now).filter(|_| workspace.restart_at.as_deref() != handled) {
            None => Self::None,
            Some(Duration::ZERO) => Self::Due(RestartCause::Requested),
            Some(left) => Self::After(left),
        }
    }
}

/// After how long the annotation asks for a restart of this pod, if it was not created since. Pods are created at whole
/// seconds.
fn requested(workspace: &StoredWorkspace, pod: &Pod, now: Timestamp) -> Option<Duration> {
    let at: Timestamp = workspace.restart_at.as_ref()?.parse().ok()?;
    let created: Timestamp = pod.created.parse().ok()?;
    (created.as_second() < at.as_second()).then(|| Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
