//! The facts about other objects that a verdict may need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crds::WorkspaceKind;
use crds::options::KindOption;
use k8s_openapi::api::authentication::v1::UserInfo;

/// The most lookups that one review makes concurrently.
pub(crate) const AT_ONCE: usize = 8;

/// Where facts come from. The process answers from its caches and, for the `_live` ones, from the API server.
///
/// Every future may be dropped before it is ready: the caller bounds it by the deadline of the review.
pub trait Lookup: Send + Sync + 'static {
    /// The WorkspaceKind of that name, from the cache. Waits until the cache has synced.
    fn kind(&self, name: &str) -> impl Future<Output = Result<Option<Arc<WorkspaceKind>>, LookupError>> + Send;

    /// The WorkspaceKind of that name, from the API server: one GET.
    fn kind_live(&self, name: &str) -> impl Future<Output = Result<Option<Arc<WorkspaceKind>>, LookupError>> + Send;

    /// The Workspaces whose `spec.kind` is that name, from the API server: a LIST by field selector, page by page until
    /// a page holds one. That none uses the kind is certain; how many do may come from the cache.
    fn workspaces_using_kind_live(&self, kind: &str) -> impl Future<Output = Result<KindUsage, LookupError>> + Send;

    /// The names of all WorkspaceKinds in the cache, to suggest one instead of a misspelt name.
    fn kind_names(&self) -> Vec<String>;

    /// The Workspaces that name this option of the kind in their `spec`, from the cache. Waits until the cache has
    /// synced.
    fn workspaces_using_option(
        &self,
        kind: &str,
        option: &KindOption,
    ) -> impl Future<Output = Result<KindUsage, LookupError>> + Send;

    /// The same for several options, from the API server: one LIST by field selector. Unused options are left out.
    fn workspaces_using_options_live(
        &self,
        kind: &str,
        options: &BTreeSet<KindOption>,
    ) -> impl Future<Output = Result<BTreeMap<KindOption, KindUsage>, LookupError>> + Send;

    /// Whether a user may bind a ClusterRole, from the API server: one SubjectAccessReview.
    fn may_bind(&self, user: &UserInfo, cluster_role: &str) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Whether there is a Notebook (`kubeflow.org/v1`) of that name, from the cache; false where Notebooks are not
    /// served. Waits until the cache has synced.
    fn notebook(&self, namespace: &str, name: &str) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Whether there is a Notebook (`kubeflow.org/v1`) of that name, from the API server: one GET.
    fn notebook_live(&self, namespace: &str, name: &str) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// The labels of a namespace, from the API server: one GET. Empty when there is none of that name.
    fn namespace_labels(
        &self,
        namespace: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, LookupError>> + Send;

    /// The labels of what a Workspace mounts, from the API server: one GET. None when it does not exist.
    fn mounted_labels(
        &self,
        namespace: &str,
        source: &MountSource,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>, LookupError>> + Send;
}

/// The label that marks what may be mounted, and its value.
pub const CAN_MOUNT: (&str, &str) = ("notebooks.kubeflow.org/can-mount", "true");

/// What a Workspace can mount: an object of its namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MountSource {
    /// A PersistentVolumeClaim.
    Claim(String),
    /// A Secret.
    Secret(String),
}

impl MountSource {
    /// Its kind and its name.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Claim(name) => ("PersistentVolumeClaim", name),
            Self::Secret(name) => ("Secret", name),
        }
    }
}

/// The Workspaces that use a kind, or one option of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KindUsage {
    /// How many there are.
    pub count: usize,
    /// Namespace and name of the first of them, in that order: as many as one page held.
    pub first: Vec<(String, String)>,
}

/// Why a lookup failed. The text is part of the refusal that the user sees.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LookupError {
    /// For now: the client can retry (answered with code 503).
    #[error("{0}")]
    Unavailable(String),
    /// Permanently: something is wrong with the installation (answered with code 500).
    #[error("{0}")]
    Failed(String),
}

impl KindUsage {
    /// How many of them a message names.
    pub const NAMED: usize = 3;
}

impl fmt::Display for KindUsage {
    /// `N workspace(s): ns/a, ns/b, ns/c and M more`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} workspace(s):", self.count)?;
        let named = self.first.len().min(Self::NAMED);
        for (number, (namespace, name)) in self.first[..named].iter().enumerate() {
            write!(formatter, "{} {namespace}/{name}", if number == 0 { "" } else { "," })?;
        }
        match self.count.saturating_sub(named) {
            0 => Ok(()),
            rest => write!(formatter, " and {rest} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_counted_and_the_first_three_named() {
        let usage = |names: &[&str]| KindUsage {
            count: names.len(),
            first: names.iter().map(|name| ("ns".to_owned(), (*name).to_owned())).collect(),
        };
        assert_eq!(usage(&["a", "b"]).to_string(), "2 workspace(s): ns/a, ns/b");
        assert_eq!(usage(&["a", "b", "c", "d", "e"]).to_string(), "5 workspace(s): ns/a, ns/b, ns/c and 2 more");
        let many = KindUsage { count: 7_000, ..usage(&["a", "b", "c", "d"]) };
        assert_eq!(many.to_string(), "7000 workspace(s): ns/a, ns/b, ns/c and 6997 more");
    }
}
