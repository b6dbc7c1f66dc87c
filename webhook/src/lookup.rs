//! The facts about other objects that a verdict may need.

use std::future::Future;
use std::sync::Arc;

use crds::WorkspaceKind;

/// Where facts come from. The process answers from its caches and, for the `_live` ones, from the API server.
///
/// Every future may be dropped half-way: the caller bounds it by the deadline of the review.
pub trait Lookup: Send + Sync + 'static {
    /// The WorkspaceKind of that name, from the cache. Waits until the cache has synced.
    fn kind(&self, name: &str) -> impl Future<Output = Result<Option<Arc<WorkspaceKind>>, LookupError>> + Send;

    /// The WorkspaceKind of that name, from the API server: one GET.
    fn kind_live(&self, name: &str) -> impl Future<Output = Result<Option<Arc<WorkspaceKind>>, LookupError>> + Send;

    /// The Workspaces whose `spec.kind` is that name, from the cache. Waits until the cache has synced.
    fn users(&self, kind: &str) -> impl Future<Output = Result<Vec<User>, LookupError>> + Send;

    /// The Workspaces whose `spec.kind` is that name, from the API server: one LIST by field selector.
    fn users_live(&self, kind: &str) -> impl Future<Output = Result<Vec<User>, LookupError>> + Send;

    /// The names of all WorkspaceKinds in the cache, for advice to somebody who misspelt one.
    fn kind_names(&self) -> Vec<String>;
}

/// A Workspace that uses a kind.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct User {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The imageConfig that it selects.
    pub image_config: String,
    /// The podConfig that it selects.
    pub pod_config: String,
}

/// Why a fact could not be had. The text is shown to the person whose request is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LookupError {
    /// Not now: it is worth trying again (answered with code 503).
    #[error("{0}")]
    Unavailable(String),
    /// Not at all: something is wrong with the installation (answered with code 500).
    #[error("{0}")]
    Failed(String),
}

/// `N workspace(s): ns/a, ns/b, ns/c and M more`: how many use something, and the first three.
pub(crate) fn named(users: &[User]) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<String> = users.iter().map(|user| format!("{}/{}", user.namespace, user.name)).collect();
    names.sort_unstable();
    let rest = names.len().saturating_sub(NAMED);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{} workspace(s): {}{more}", names.len(), names[..names.len() - rest].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_counted_and_the_first_three_named() {
        let user = |name: &str| User {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            image_config: String::new(),
            pod_config: String::new(),
        };
        assert_eq!(named(&[user("b"), user("a")]), "2 workspace(s): ns/a, ns/b");
        assert_eq!(named(&["e", "d", "c", "b", "a"].map(user)), "5 workspace(s): ns/a, ns/b, ns/c and 2 more");
    }
}
