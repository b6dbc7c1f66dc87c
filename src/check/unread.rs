//! What could not be read, with the right that is missing; and the names and rights that both reading and judging need.

use std::fmt;

use super::finding::Finding;
use crate::client::{CallError, causes};
use crate::rbac::AccessRule;

/// The roles of users, which the chart makes.
pub(super) const USERS_ROLES: [&str; 3] =
    ["kubeflow-workspaces-admin", "kubeflow-workspaces-edit", "kubeflow-workspaces-view"];
/// The roles of Kubeflow that a Profile's owner and contributors are bound to.
pub(super) const KUBEFLOW_ROLES: [&str; 3] = ["kubeflow-admin", "kubeflow-edit", "kubeflow-view"];

/// To create the kinds of the dry run.
pub(super) const CREATE_KINDS: AccessRule = rule(crds::GROUP, "workspacekinds", &["create"]);
pub(super) const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> AccessRule {
    AccessRule { group, resource, verbs }
}

/// Why something could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unread {
    error: String,
    /// The right to add, if that is what is missing.
    rule: Option<AccessRule>,
    /// Whether the API server serves no such resource.
    pub is_unserved: bool,
}

impl Unread {
    pub fn new(error: &CallError, rule: AccessRule) -> Self {
        let code = match error {
            CallError::Api(kube::Error::Api(status)) => status.code,
            _ => 0,
        };
        Self { error: causes(error), rule: (code == 403).then_some(rule), is_unserved: code == 404 }
    }

    /// As a finding of that step.
    pub fn finding(&self, step: &'static str) -> Finding {
        let fix = match self.rule {
            Some(rule) => format!("run it as somebody who may, or add to the rules of a ClusterRole: {rule}"),
            None => "run it again; is the API server reachable?".to_owned(),
        };
        Finding::unknown(step, &*self.error, fix)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.error)
    }
}
