//! Writes to the API server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::register::counters;

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct WriteLabels {
    resource: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct ResourceLabels {
    resource: &'static str,
}

/// The series of all writes.
#[derive(Debug)]
pub(super) struct WriteMetrics {
    writes: Family<WriteLabels, Counter>,
    contested: Family<ResourceLabels, Counter>,
}

impl WriteMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            writes: counters(
                registry,
                "workspaces_writes",
                "Objects written or deleted on the API server, by resource and by why they were reconciled",
            ),
            contested: counters(
                registry,
                "workspaces_contested_writes",
                "Writes put off because another client had changed the same fields again at once",
            ),
        }
    }

    pub(super) fn written(&self, resource: &'static str, cause: &'static str) {
        self.writes.get_or_create(&WriteLabels { resource, cause }).inc();
    }

    pub(super) fn contested(&self, resource: &'static str) {
        self.contested.get_or_create(&ResourceLabels { resource }).inc();
    }
}
