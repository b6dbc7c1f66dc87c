//! Which Workspaces a page shows, from the query of its URL.

use crds::workspace::WorkspaceState;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::text::{SHORT, shown};

/// The state that stands for all Workspaces that are not fine.
pub(super) const NOT_FINE: &str = "notFine";

/// The states that can be asked for.
pub(super) const STATES: [(WorkspaceState, &str); 6] = [
    (WorkspaceState::Error, "Error"),
    (WorkspaceState::Pending, "Pending"),
    (WorkspaceState::Terminating, "Terminating"),
    (WorkspaceState::Unknown, "Unknown"),
    (WorkspaceState::Running, "Running"),
    (WorkspaceState::Paused, "Paused"),
];

/// The name of a state.
pub(super) fn state_name(state: WorkspaceState) -> &'static str {
    STATES.iter().find(|(of, _)| *of == state).map_or("Unknown", |(_, name)| name)
}

/// What a Workspace has to be like to be shown; empty texts ask for nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Filter {
    /// Its namespace.
    pub namespace: String,
    /// The name of its kind.
    pub kind: String,
    /// Its state, or `notFine`.
    pub state: String,
    /// The reason for which it is not fine.
    pub reason: String,
}

impl Filter {
    /// That of a query such as `namespace=team-a&state=Error`. Of each parameter the last one counts; unknown ones do not.
    pub fn of_query(query: &str) -> Self {
        let mut filter = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = shown(percent_decode_str(&value).decode_utf8_lossy().trim(), SHORT);
            match name {
                "namespace" => filter.namespace = value,
                "kind" => filter.kind = value,
                "state" => filter.state = value,
                "reason" => filter.reason = value,
                _ => {}
            }
        }
        filter
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_leniently() {
        let filter = |namespace: &str, kind: &str, state: &str, reason: &str| {
            let [namespace, kind, state, reason] = [namespace, kind, state, reason].map(str::to_owned);
            Filter { namespace, kind, state, reason }
        };
        let cases = [
            ("", filter("", "", "", "")),
            ("namespace=&kind=&state=", filter("", "", "", "")),
            ("namespace=team-a&state=Error&x=y&&=&kind", filter("team-a", "", "Error", "")),
            ("namespace=a&namespace=b", filter("b", "", "", "")),
            ("kind=%3Cscript%3E&reason=%E2%80%AE%ff", filter("", "<script>", "", "\\u{202e}\u{fffd}")),
            ("namespace=+team%20a+", filter("team a", "", "", "")),
        ];
        for (query, expected) in cases {
            assert_eq!(Filter::of_query(query), expected, "{query}");
        }
        assert_eq!(Filter::of_query(&format!("kind={}", "k".repeat(30_000))).kind.chars().count(), SHORT + 1);
    }
}
