//! VirtualServices that could break the gateway; and what became of each route, where that stands in no status.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{counter, gauges};

/// What became of the route of a Workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteState {
    /// It is as desired.
    InPlace,
    /// There is no Service yet that it could lead to.
    Waiting,
    /// It would be unsafe, or there is no port to route to.
    Refused,
    /// The Workspace or its kind cannot be rendered.
    Unrendered,
    /// The Go controller writes it, or another client undoes what is written.
    OfAnother,
    /// It could not be written.
    Failed,
}

impl RouteState {
    /// The value of the label `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InPlace => "in_place",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Unrendered => "unrendered",
            Self::OfAnother => "of_another",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct StateLabels {
    state: &'static str,
}

/// The series of all routes.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    unsafe_stored: Counter,
    states: Family<StateLabels, Gauge>,
}

impl RouteMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let unsafe_stored = counter(
            registry,
            "workspaces_unsafe_virtual_services_stored",
            "VirtualServices found stored with other headers than were applied, which Envoy may refuse",
        );
        let states = gauges(registry, "workspaces_routes", "Workspaces by what became of their route");
        Self { unsafe_stored, states }
    }

    pub(super) fn changed(&self, before: Option<RouteState>, after: Option<RouteState>) {
        let of = |state: RouteState| self.states.get_or_create(&StateLabels { state: state.as_str() });
        if let Some(before) = before {
            of(before).dec();
        }
        if let Some(after) = after {
            of(after).inc();
        }
    }

    pub(super) fn unsafe_stored(&self) {
        self.unsafe_stored.inc();
    }
}
