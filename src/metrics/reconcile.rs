//! Reconciles and their queues, by controller, under the names of controller-runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::register::{HistogramFamily, counters, gauges, histograms};

/// Bounds in seconds of a reconcile: from one without a write to one that waits for a slow API server.
const RECONCILE_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Bounds in seconds of the time in the queue: from none to that of a start with thousands of objects.
const QUEUE_SECONDS: [f64; 8] = [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// A controller of this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Controller {
    /// Reconciles Workspaces.
    Workspace,
    /// Keeps the status and the finalizer of WorkspaceKinds.
    WorkspaceKind,
    /// Deletes the VirtualServices of Workspaces that are being deleted or gone.
    RouteCleanup,
    /// Reconciles the VirtualService of each Workspace, and nothing else.
    Route,
}

/// The result of one reconcile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReconcileResult {
    /// Done until something changes.
    Success,
    /// Failed, and retried after a back-off.
    Error,
    /// To be run again at once.
    Requeue,
    /// To be run again at a known time.
    RequeueAfter,
}

/// The value of the label `controller`.
#[derive(Clone, Copy, Debug, Eq, EncodeLabelValue, Hash, Ord, PartialEq, PartialOrd)]
#[allow(non_camel_case_types)] // the label value is the name of the variant
enum ControllerName {
    workspace,
    workspacekind,
    routecleanup,
    route,
}

#[derive(Clone, Copy, Debug, Eq, EncodeLabelValue, Hash, PartialEq)]
#[allow(non_camel_case_types)] // the label value is the name of the variant
enum ResultName {
    success,
    error,
    requeue,
    requeue_after,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct ControllerLabels {
    controller: ControllerName,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct ReconcileLabels {
    controller: ControllerName,
    result: ResultName,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct QueueLabels {
    name: ControllerName,
    controller: ControllerName,
}

/// When the object is, or was, due that has waited longest in each queue. Its age is that of the scrape: a gauge that is set
/// would stand still with a queue that does.
#[derive(Clone, Debug, Default)]
struct OldestWaiting(Arc<Mutex<BTreeMap<ControllerName, Option<Instant>>>>);

impl OldestWaiting {
    fn set(&self, controller: ControllerName, due: Option<Instant>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(controller, due);
    }
}

impl Collector for OldestWaiting {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "How long the object has been due that waits longest for a reconcile";
        let name = "workqueue_longest_waiting_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (name, due) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = QueueLabels { name: *name, controller: *name };
            let age = due.map_or(Duration::ZERO, |due| due.elapsed());
            ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The series of all controllers.
#[derive(Debug)]
pub(super) struct ReconcileMetrics {
    reconciles: Family<ReconcileLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    panics: Family<ControllerLabels, Counter>,
    seconds: HistogramFamily<ControllerLabels>,
    max_concurrent: Family<ControllerLabels, Gauge>,
    active_workers: Family<ControllerLabels, Gauge>,
    queue_depth: Family<QueueLabels, Gauge>,
    queue_adds: Family<QueueLabels, Counter>,
    queue_retries: Family<QueueLabels, Counter>,
    queue_seconds: HistogramFamily<QueueLabels>,
    queue_oldest: OldestWaiting,
}

impl ReconcileMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let queue_oldest = OldestWaiting::default();
        registry.register_collector(Box::new(queue_oldest.clone()));
        Self {
            reconciles: counters(registry, "controller_runtime_reconcile", "Reconciles by result"),
            errors: counters(registry, "controller_runtime_reconcile_errors", "Reconciles that failed"),
            panics: counters(registry, "controller_runtime_reconcile_panics", "Reconciles that panicked"),
            seconds: histograms(registry, "controller_runtime_reconcile_time_seconds", "Time of one reconcile", || {
                Histogram::new(RECONCILE_SECONDS)
            }),
            max_concurrent: gauges(
                registry,
                "controller_runtime_max_concurrent_reconciles",
                "Reconciles that may run at the same time",
            ),
            active_workers: gauges(registry, "controller_runtime_active_workers", "Reconciles running now"),
            queue_depth: gauges(registry, "workqueue_depth", "Objects waiting for a reconcile"),
            queue_adds: counters(registry, "workqueue_adds", "Objects put into the queue"),
            queue_retries: counters(registry, "workqueue_retries", "Objects put back into the queue after a failure"),
            queue_seconds: histograms(
                registry,
                "workqueue_queue_duration_seconds",
                "How long an object was due before its reconcile began",
                || Histogram::new(QUEUE_SECONDS),
            ),
            queue_oldest,
        }
    }

    pub(super) fn announce(&self, controller: Controller, max_concurrent: usize) {
        let labels = controller.labels();
        self.max_concurrent.get_or_create(&labels).set(i64::try_from(max_concurrent).unwrap_or(i64::MAX));
        drop(self.active_workers.get_or_create(&labels));
        drop(self.errors.get_or_create(&labels));
        drop(self.panics.get_or_create(&labels));
        drop(self.seconds.get_or_create(&labels));
        for result in [ResultName::success, ResultName::error, ResultName::requeue, ResultName::requeue_after] {
            drop(self.reconciles.get_or_create(&ReconcileLabels { controller: labels.controller, result }));
        }
        let queue = controller.queue_labels();
        drop(self.queue_depth.get_or_create(&queue));
        drop(self.queue_adds.get_or_create(&queue));
        drop(self.queue_retries.get_or_create(&queue));
        drop(self.queue_seconds.get_or_create(&queue));
        self.queue_oldest.set(labels.controller, None);
    }

    pub(super) fn stopped(&self, controller: Controller) {
        self.active_workers.get_or_create(&controller.labels()).set(0);
        self.set_queue_depth(controller, 0);
        self.set_queue_oldest(controller, None);
    }

    pub(super) fn started(&self, controller: Controller) {
        self.active_workers.get_or_create(&controller.labels()).inc();
    }

    pub(super) fn finished(&self, controller: Controller, result: ReconcileResult, duration: Duration) {
        let labels = controller.labels();
        self.active_workers.get_or_create(&labels).dec();
        self.seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        if result == ReconcileResult::Error {
            self.errors.get_or_create(&labels).inc();
        }
        let labels = ReconcileLabels { controller: labels.controller, result: result.name() };
        self.reconciles.get_or_create(&labels).inc();
    }

    pub(super) fn panicked(&self, controller: Controller) {
        self.panics.get_or_create(&controller.labels()).inc();
    }

    pub(super) fn queue_added(&self, controller: Controller) {
        self.queue_adds.get_or_create(&controller.queue_labels()).inc();
    }

    pub(super) fn queue_retried(&self, controller: Controller) {
        self.queue_retries.get_or_create(&controller.queue_labels()).inc();
    }

    pub(super) fn queue_waited(&self, controller: Controller, waited: Duration) {
        self.queue_seconds.get_or_create(&controller.queue_labels()).observe(waited.as_secs_f64());
    }

    pub(super) fn set_queue_oldest(&self, controller: Controller, due: Option<Instant>) {
        self.queue_oldest.set(controller.name(), due);
    }

    pub(super) fn set_queue_depth(&self, controller: Controller, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&controller.queue_labels()).set(depth);
    }
}

impl Controller {
    /// Its name, as in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::WorkspaceKind => "workspacekind",
            Self::RouteCleanup => "routecleanup",
            Self::Route => "route",
        }
    }

    fn name(self) -> ControllerName {
        match self {
            Self::Workspace => ControllerName::workspace,
            Self::WorkspaceKind => ControllerName::workspacekind,
            Self::RouteCleanup => ControllerName::routecleanup,
            Self::Route => ControllerName::route,
        }
    }

    fn labels(self) -> ControllerLabels {
        ControllerLabels { controller: self.name() }
    }

    fn queue_labels(self) -> QueueLabels {
        QueueLabels { name: self.name(), controller: self.name() }
    }
}

impl ReconcileResult {
    fn name(self) -> ResultName {
        match self {
            Self::Success => ResultName::success,
            Self::Error => ResultName::error,
            Self::Requeue => ResultName::requeue,
            Self::RequeueAfter => ResultName::requeue_after,
        }
    }
}
