//! Leader election, under the name of client-go.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::gauges;

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct LeaseLabels {
    name: &'static str,
}

/// The series of leader election: none without it.
#[derive(Debug)]
pub(super) struct LeaderElectionMetrics {
    leads: Family<LeaseLabels, Gauge>,
}

impl LeaderElectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Whether this replica is the leader (1) or another one may be (0)";
        Self { leads: gauges(registry, "leader_election_master_status", help) }
    }

    pub(super) fn leads(&self, lease: &'static str, leads: bool) {
        self.leads.get_or_create(&LeaseLabels { name: lease }).set(leads.into());
    }
}
