//! Connections of all listeners.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{counter, gauge};

/// The series of all listeners together.
#[derive(Debug)]
pub(super) struct ConnectionMetrics {
    open: Gauge,
    faults: Counter,
}

/// Counts something down when dropped, so that a cancelled or panicking task is counted down too.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl ConnectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            open: gauge(registry, "workspaces_server_connections", "Open connections of all listeners"),
            faults: counter(
                registry,
                "workspaces_server_connection_faults",
                "Connections ended by the server: failed handshakes, time-outs, broken requests",
            ),
        }
    }

    pub(super) fn opened(&self) -> InFlight {
        self.open.inc();
        InFlight(self.open.clone())
    }

    pub(super) fn fault(&self) {
        self.faults.inc();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
