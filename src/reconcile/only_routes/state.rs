//! What became of the routes, where no status says it: counted for the metrics.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::metrics::{Metrics, RouteState};
use crate::stores::slim::Key;

/// What became of the route of each Workspace.
#[derive(Debug, Default)]
pub(super) struct RouteStates(Mutex<HashMap<Key, RouteState>>);

impl RouteStates {
    /// That of a Workspace, or that it has none because it is gone. True where it was another one before.
    pub fn set(&self, workspace: &Key, state: Option<RouteState>, metrics: &Metrics) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match state {
            Some(state) => states.insert(workspace.clone(), state),
            None => states.remove(workspace),
        };
        metrics.route_state_changed(before, state);
        before != state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(metrics: &Metrics, state: &str) -> Option<String> {
        let text = metrics.encode().unwrap_or_default();
        let line = format!("workspaces_routes{{state=\"{state}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line).map(str::to_owned))
    }

    #[test]
    fn each_workspace_counts_once_until_it_is_gone() {
        let (states, metrics, one, two) =
            (RouteStates::default(), Metrics::new(), Key::new("ns", "one"), Key::new("ns", "two"));
        assert!(states.set(&one, Some(RouteState::Waiting), &metrics));
        assert!(states.set(&two, Some(RouteState::Waiting), &metrics));
        assert_eq!(counted(&metrics, "waiting").as_deref(), Some("2"));
        assert!(states.set(&one, Some(RouteState::InPlace), &metrics));
        assert!(!states.set(&one, Some(RouteState::InPlace), &metrics));
        assert_eq!(counted(&metrics, "waiting").as_deref(), Some("1"));
        assert_eq!(counted(&metrics, "in_place").as_deref(), Some("1"));
        assert!(states.set(&one, None, &metrics));
        assert!(!states.set(&one, None, &metrics));
        assert_eq!(counted(&metrics, "in_place").as_deref(), Some("0"));
    }
}
