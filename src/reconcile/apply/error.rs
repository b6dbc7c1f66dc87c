//! Why a child could not be applied, and when to retry.

use std::time::Duration;

/// Why a child is not as desired.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::reconcile) enum ApplyError {
    /// Wait: an object that is not ours has the name.
    #[error("{kind} {name} already exists and is not owned by the Workspace")]
    Foreign {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Wait: it belongs to an earlier Workspace of this name, and the garbage collector will delete it.
    #[error("{kind} {name} belongs to a deleted Workspace of this name")]
    LeftBehind {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Wait: another client deleted ours; its name is free once it is gone.
    #[error("{kind} {name} is being deleted")]
    BeingDeleted {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Retry, slower and slower: the API server, a quota or another webhook refuses it. The message is quoted.
    #[error("{kind} {name} was refused: {message}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In the words of who refused it.
        message: String,
    },
    /// Wait: it is larger than the API server or etcd accepts, and stays so until the kind or the Workspace changes. The
    /// message is theirs.
    #[error("{kind} {name} is too large to be stored: {message}")]
    TooLarge {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In the words of who refused it.
        message: String,
    },
    /// Wait: the API server does not know the kind; the watch reports when it does.
    #[error("{kind} is not installed")]
    NotInstalled {
        /// The kind.
        kind: &'static str,
    },
    /// Wait: another client keeps modifying our fields; they are restored at a limited rate.
    #[error("{kind} {name} is being modified by another client")]
    Contested {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Retry: the object changed meanwhile, or the API server could not be asked.
    #[error("{kind} {name} could not be written: {why}")]
    Unreachable {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What went wrong.
        why: String,
    },
}

/// When to retry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reconcile) enum Next {
    /// With a growing pause.
    Retry,
    /// On the next event, or after this long if none can come.
    Wait(Option<Duration>),
}

/// How often to check whether a name that another owner has is free: no event reports it.
const FOREIGN_AGAIN: Duration = Duration::from_secs(15);
/// How long the garbage collector has to delete a child of an earlier Workspace before it counts as foreign.
pub(super) const LEFT_BEHIND_PATIENCE: Duration = Duration::from_secs(5);
/// How soon something that was too large is retried. Only new limits of the API server could change the answer.
pub(super) const TOO_LARGE_AGAIN: Duration = Duration::from_mins(5);
/// The least time between two identical writes of one child.
pub(super) const SAME_WRITE_AGAIN: Duration = Duration::from_millis(500);

impl ApplyError {
    /// The error without the message of a refusal, which may quote what was written.
    pub fn without_server_message(&self) -> String {
        match self {
            Self::Refused { kind, name, .. } => format!("{kind} {name} was refused; see the Workspace's status"),
            other => other.to_string(),
        }
    }

    /// When to retry.
    pub fn next(&self) -> Next {
        match self {
            Self::Foreign { .. } => Next::Wait(Some(FOREIGN_AGAIN)),
            Self::LeftBehind { .. } => Next::Wait(Some(LEFT_BEHIND_PATIENCE)),
            Self::Contested { .. } => Next::Wait(Some(SAME_WRITE_AGAIN)),
            Self::TooLarge { .. } => Next::Wait(Some(TOO_LARGE_AGAIN)),
            Self::BeingDeleted { .. } | Self::NotInstalled { .. } => Next::Wait(None),
            Self::Refused { .. } | Self::Unreachable { .. } => Next::Retry,
        }
    }
}
