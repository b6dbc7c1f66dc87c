//! The facts about other objects that a verdict may need.

use std::fmt;
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

    /// The Workspaces whose `spec.kind` is that name, from the API server: a LIST by field selector, page by page until
    /// one names any. That nobody uses it is certain; how many do may come from the cache.
    fn users_live(&self, kind: &str) -> impl Future<Output = Result<Users, LookupError>> + Send;

    /// The names of all WorkspaceKinds in the cache, for advice to somebody who misspelt one.
    fn kind_names(&self) -> Vec<String>;
}

/// The Workspaces that use a kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users {
    /// How many there are.
    pub count: usize,
    /// Namespace and name of the first of them, in that order: as many as were told at once.
    pub first: Vec<(String, String)>,
}

/// How many users a message names.
const NAMED: usize = 3;

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

impl fmt::Display for Users {
    /// `N workspace(s): ns/a, ns/b, ns/c and M more`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} workspace(s):", self.count)?;
        let named = self.first.len().min(NAMED);
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
    fn users_are_counted_and_the_first_three_named() {
        let users = |names: &[&str]| Users {
            count: names.len(),
            first: names.iter().map(|name| ("ns".to_owned(), (*name).to_owned())).collect(),
        };
        assert_eq!(users(&["a", "b"]).to_string(), "2 workspace(s): ns/a, ns/b");
        assert_eq!(users(&["a", "b", "c", "d", "e"]).to_string(), "5 workspace(s): ns/a, ns/b, ns/c and 2 more");
        let many = Users { count: 7_000, ..users(&["a", "b", "c", "d"]) };
        assert_eq!(many.to_string(), "7000 workspace(s): ns/a, ns/b, ns/c and 6997 more");
    }
}
