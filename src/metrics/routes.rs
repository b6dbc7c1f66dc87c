//! VirtualServices that could break the gateway.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::register::counter;

/// The series of all routes.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    unsafe_stored: Counter,
}

impl RouteMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let unsafe_stored = counter(
            registry,
            "workspaces_unsafe_virtual_services_stored",
            "VirtualServices found stored with other headers than were applied, which Envoy may refuse",
        );
        Self { unsafe_stored }
    }

    pub(super) fn unsafe_stored(&self) {
        self.unsafe_stored.inc();
    }
}
