//! What became of the routes, where no status says it: counted for the metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::{Metrics, RouteState};
use crate::stores::slim::Key;

/// What became of the route of each Workspace. Counted for as long as this lives: the next leader counts them anew.
#[derive(Debug)]
pub(super) struct RouteStates {
    states: Mutex<HashMap<Key, RouteState>>,
    metrics: Arc<Metrics>,
}

impl Drop for RouteStates {
    fn drop(&mut self) {
        for state in self.states.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            self.metrics.route_state_changed(Some(*state), None);
        }
    }
}

impl RouteStates {
    /// Of none yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { states: Mutex::default(), metrics }
    }

    /// That of a Workspace, or that it has none because it is gone. True where it was another one before.
    pub fn set(&self, workspace: &Key, state: Option<RouteState>) -> bool {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match state {
            Some(state) => states.insert(workspace.clone(), state),
            None => states.remove(workspace),
        };
        self.metrics.route_state_changed(before, state);
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
        let metrics = Arc::new(Metrics::new());
        let (states, one, two) = (RouteStates::new(metrics.clone()), Key::new("ns", "one"), Key::new("ns", "two"));
        assert!(states.set(&one, Some(RouteState::Waiting)));
        assert!(states.set(&two, Some(RouteState::Waiting)));
        assert_eq!(counted(&metrics, "waiting").as_deref(), Some("2"));
        assert!(states.set(&one, Some(RouteState::InPlace)));
        assert!(!states.set(&one, Some(RouteState::InPlace)));
        assert_eq!(counted(&metrics, "waiting").as_deref(), Some("1"));
        assert_eq!(counted(&metrics, "in_place").as_deref(), Some("1"));
        assert!(states.set(&one, None));
        assert!(!states.set(&one, None));
        assert_eq!(counted(&metrics, "in_place").as_deref(), Some("0"));
        assert!(states.set(&one, Some(RouteState::Failed)));
        drop(states);
        assert_eq!(counted(&metrics, "failed").as_deref(), Some("0"));
        assert_eq!(counted(&metrics, "waiting").as_deref(), Some("0"));
    }
}
