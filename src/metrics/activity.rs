//! Activity probes, and what follows from them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::register::{HistogramFamily, counter, counters, gauge, histograms};

/// Bounds in seconds of a probe: from an answer at once to a script that takes all of its time.
const PROBE_SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0];

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct ResultLabels {
    probe: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct ProbeLabels {
    probe: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct PauseLabels {
    kind: String,
    rule: String,
    dry_run: &'static str,
}

/// The series of activity.
#[derive(Debug)]
pub(super) struct ActivityMetrics {
    probes: Family<ResultLabels, Counter>,
    seconds: HistogramFamily<ProbeLabels>,
    pauses: Family<PauseLabels, Counter>,
    withheld: Gauge,
    unknown: Counter,
}

impl ActivityMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            probes: counters(
                registry,
                "workspaces_activity_probes",
                "Activity probes, by how the kind configures them and by result",
            ),
            seconds: histograms(
                registry,
                "workspaces_activity_probe_duration_seconds",
                "How long activity probes took",
                || Histogram::new(PROBE_SECONDS),
            ),
            pauses: counters(
                registry,
                "workspaces_idle_pauses",
                "Workspaces paused for being idle, by the rule that decided; in a dry run, Workspaces that would be",
            ),
            withheld: gauge(
                registry,
                "workspaces_idle_pauses_withheld",
                "Workspaces that would be paused now, but for --dry-run-pausing",
            ),
            unknown: counter(
                registry,
                "workspaces_activity_unknown",
                "Probes that found nobody active so long after the last success that the Workspace counts as active until then",
            ),
        }
    }

    pub(super) fn probed(&self, probe: &'static str, result: &'static str, took: Duration) {
        self.probes.get_or_create(&ResultLabels { probe, result }).inc();
        self.seconds.get_or_create(&ProbeLabels { probe }).observe(took.as_secs_f64());
    }

    pub(super) fn paused(&self, kind: &str, rule: String, is_dry_run: bool) {
        let dry_run = if is_dry_run { "true" } else { "false" };
        self.pauses.get_or_create(&PauseLabels { kind: kind.to_owned(), rule, dry_run }).inc();
    }

    pub(super) fn unknown(&self) {
        self.unknown.inc();
    }

    pub(super) fn withheld(&self, workspaces: usize) {
        self.withheld.set(i64::try_from(workspaces).unwrap_or(i64::MAX));
    }
}
