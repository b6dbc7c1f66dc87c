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
    /// Wait: there is a second one, which must not be deleted while its pod runs.
    #[error("{kind} {name} is a second one of the Workspace and its pod runs: pause the Workspace to delete it")]
    SecondRuns {
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
    /// Retry: it could be neither applied nor scaled.
    #[error("{scale}; {apply}")]
    NeitherAppliedNorScaled {
        /// Why it was not scaled. First, because that is what the user waits for, and messages are cut.
        scale: Box<Self>,
        /// Why it was not applied.
        apply: Box<Self>,
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
            Self::NeitherAppliedNorScaled { scale, apply } => {
                format!("{}; {}", scale.without_server_message(), apply.without_server_message())
            }
            other => other.to_string(),
        }
    }

    /// Logs it.
    pub fn log(&self) {
        let text = self.without_server_message();
        match self.next() {
            Next::Retry => tracing::warn!(error = text, "failed to reconcile child; will retry"),
            Next::Wait(_) => tracing::debug!(error = text, "a child has to wait"),
        }
    }

    /// When to retry.
    pub fn next(&self) -> Next {
        match self {
            Self::Foreign { .. } => Next::Wait(Some(FOREIGN_AGAIN)),
            Self::LeftBehind { .. } => Next::Wait(Some(LEFT_BEHIND_PATIENCE)),
            Self::Contested { .. } => Next::Wait(Some(SAME_WRITE_AGAIN)),
            Self::TooLarge { .. } => Next::Wait(Some(TOO_LARGE_AGAIN)),
            Self::BeingDeleted { .. } | Self::NotInstalled { .. } | Self::SecondRuns { .. } => Next::Wait(None),
            Self::Refused { .. } | Self::Unreachable { .. } | Self::NeitherAppliedNorScaled { .. } => Next::Retry,
        }
    }

    /// Whether the API server refused it, or what it asks on the way: another try is of no use unless something changes.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TooLarge { .. } => true,
            Self::NeitherAppliedNorScaled { scale, apply } => scale.is_refusal() || apply.is_refusal(),
            _ => false,
        }
    }

    /// Whether a child of ours is as it was: what was written was refused, or no answer says that it was stored. After a
    /// timeout it may have been.
    pub fn leaves_child_as_it_was(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::TooLarge { .. } | Self::Unreachable { .. })
    }

    /// This error of an apply, for a child that could not be scaled either.
    pub fn nor_scaled(self, scale: Self) -> Self {
        match self {
            // One cause for both.
            Self::Unreachable { .. } if matches!(scale, Self::Unreachable { .. }) => self,
            apply => Self::NeitherAppliedNorScaled { scale: Box::new(scale), apply: Box::new(apply) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &'static str, message: &str) -> ApplyError {
        ApplyError::Refused { kind, name: "ws-lab-1".to_owned(), message: message.to_owned() }
    }

    fn unreachable(kind: &'static str) -> ApplyError {
        ApplyError::Unreachable { kind, name: "ws-lab-1".to_owned(), why: "timed out".to_owned() }
    }

    #[test]
    fn what_could_be_neither_applied_nor_scaled_is_retried_and_says_both() {
        let too_large = ApplyError::TooLarge {
            kind: "StatefulSet",
            name: "ws-lab-1".to_owned(),
            message: "limit is 3145728".to_owned(),
        };
        let error = too_large.nor_scaled(refused("StatefulSet/scale", "forbidden"));
        assert_eq!(error.next(), Next::Retry);
        assert_eq!(
            error.to_string(),
            "StatefulSet/scale ws-lab-1 was refused: forbidden; \
             StatefulSet ws-lab-1 is too large to be stored: limit is 3145728"
        );
        let error = refused("StatefulSet", "secret").nor_scaled(refused("StatefulSet/scale", "secret"));
        assert_eq!(
            error.without_server_message(),
            "StatefulSet/scale ws-lab-1 was refused; see the Workspace's status; \
             StatefulSet ws-lab-1 was refused; see the Workspace's status"
        );
    }

    #[test]
    fn an_api_server_that_answers_neither_is_one_error() {
        let error = unreachable("StatefulSet").nor_scaled(unreachable("StatefulSet/scale"));
        assert_eq!(error.to_string(), "StatefulSet ws-lab-1 could not be written: timed out");
        let error = unreachable("StatefulSet").nor_scaled(refused("StatefulSet/scale", "forbidden"));
        assert!(matches!(error, ApplyError::NeitherAppliedNorScaled { .. }), "{error}");
    }

    /// Whatever else is wrong with a child, it is not ours to scale now.
    #[test]
    fn a_child_is_scaled_only_where_a_write_was_refused_or_went_unanswered() {
        let (kind, name) = ("StatefulSet", || "ws-lab-1".to_owned());
        for error in [
            ApplyError::Foreign { kind, name: name() },
            ApplyError::LeftBehind { kind, name: name() },
            ApplyError::BeingDeleted { kind, name: name() },
            ApplyError::NotInstalled { kind },
            ApplyError::Contested { kind, name: name() },
        ] {
            assert!(!error.leaves_child_as_it_was(), "{error}");
        }
        assert!(refused(kind, "no").leaves_child_as_it_was() && unreachable(kind).leaves_child_as_it_was());
    }
}
