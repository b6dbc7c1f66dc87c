//! What a watch has to know beside where it lists.

use std::time::Duration;

use crate::rbac::AccessRule;

/// The longest pause after errors: how late we may notice that the API server is back.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// For how long a list is believed that can be neither followed nor repeated, where [`WatchOptions::expires`].
pub(super) const EXPIRES_AFTER: Duration = Duration::from_mins(1);

/// What is missing where a resource cannot be listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Necessity {
    /// Everything: the process does not become ready.
    Required,
    /// A part of what the settings ask for.
    Recommended,
    /// Only this, in the words of the log.
    Optional(&'static str),
}

impl Necessity {
    /// The longest pause between two lists of a resource that the API server does not serve, or does not allow us to list.
    pub fn longest_pause_without(self) -> Duration {
        match self {
            Self::Required => LONGEST_PAUSE,
            // Routes are there within 30 s of the installation of Istio's CRDs.
            Self::Recommended => Duration::from_secs(25),
            Self::Optional(_) => Duration::from_secs(30),
        }
    }
}

/// What a watch has to know beside where it lists.
pub(in crate::stores) struct WatchOptions {
    /// The name of the resource in logs.
    pub name: &'static str,
    /// How much depends on it.
    pub necessity: Necessity,
    /// The rule of a ClusterRole that allows what is done with it.
    pub rule: AccessRule,
    /// The label selector; without one, all objects are selected.
    pub label: Option<String>,
    /// The field selector; without one, all objects are selected.
    pub field: Option<String>,
    /// How many objects a page of a list has at most.
    pub page: u32,
    /// What follows, in the words of the log, once it could be neither listed nor watched for a minute: then what was listed before
    /// is forgotten. None where it is kept.
    pub expires: Option<&'static str>,
}
