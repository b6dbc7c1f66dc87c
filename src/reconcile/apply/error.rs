//! Why a child could not be applied, and when to try again.

use std::time::Duration;

/// Why a child is not as it should be.
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
    /// Wait: an earlier Workspace of this name left it behind; garbage collection takes it away.
    #[error("{kind} {name} is left from an earlier Workspace of this name")]
    LeftBehind {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Wait: ours is being deleted, by somebody else; its name is free when that is done.
    #[error("{kind} {name} is being deleted")]
    BeingDeleted {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Retry, slower and slower: the API server, a quota or another webhook refuses it. The message is theirs.
    #[error("{kind} {name} was refused: {message}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In the words of who refused it.
        message: String,
    },
    /// Wait: it is larger than the API server or its store takes, and stays so until the kind or the Workspace changes. The
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
    /// Wait: somebody else keeps changing our fields; they are put back, but not at any pace.
    #[error("{kind} {name} is being changed by somebody else")]
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

/// When to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reconcile) enum Next {
    /// With a growing pause.
    Retry,
    /// On the next event, or after this long if none can come.
    Wait(Option<Duration>),
}

/// How often a name that somebody else has is looked at: no event reports that it is free.
const FOREIGN_AGAIN: Duration = Duration::from_secs(15);
/// How long garbage collection is given to take away what an earlier Workspace left before that counts as foreign.
pub(super) const LEFT_BEHIND_PATIENCE: Duration = Duration::from_secs(5);
/// How soon something that was too large is tried again. Only new limits of the API server could change the answer.
pub(super) const TOO_LARGE_AGAIN: Duration = Duration::from_mins(5);
/// The least time between two writes of the same to one child.
pub(super) const SAME_WRITE_AGAIN: Duration = Duration::from_millis(500);

impl ApplyError {
    /// The error without the words of others, which may quote what was written.
    pub fn without_quotes(&self) -> String {
        match self {
            Self::Refused { kind, name, .. } => format!("{kind} {name} was refused; the Workspace's status says why"),
            other => other.to_string(),
        }
    }

    /// When to try again.
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
