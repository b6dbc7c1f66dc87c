//! What the process counts, under the names that dashboards for controller-runtime know.
//!
//! Labels are closed sets (controllers, results, webhook paths), never names of objects: the number of series does not
//! grow with the cluster.

mod process;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds in seconds of a reconcile: from one without a write to one that waits for a slow API server.
const RECONCILE_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Bounds in seconds of a review: an API server waits for at most 30, usually 5.
const REVIEW_SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// How many file descriptors this process may open; `None` where that is unlimited or unknown.
pub fn max_descriptors() -> Option<usize> {
    process::max_descriptors()
}

/// A loop of this process; the value of the label `controller`.
#[derive(Clone, Copy, Debug, Eq, EncodeLabelValue, Hash, PartialEq)]
#[allow(non_camel_case_types)] // the label value is the name of the variant
enum ControllerName {
    workspace,
    workspacekind,
    routecleanup,
}

/// A loop of this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Controller {
    /// Makes Workspaces real.
    Workspace,
    /// Keeps the status and the finalizer of WorkspaceKinds.
    WorkspaceKind,
    /// Deletes the VirtualServices of Workspaces that are being deleted or gone.
    RouteCleanup,
}

/// How one reconcile ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReconcileResult {
    /// Done until something changes.
    Success,
    /// Failed, and tried again after a back-off.
    Error,
    /// To be run again at once.
    Requeue,
    /// To be run again at a known time.
    RequeueAfter,
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

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct WebhookLabels {
    webhook: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct WebhookCodeLabels {
    webhook: &'static str,
    code: u16,
}

type HistogramFamily<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Every series of the process. Shared by reference; each method is cheap and does not wait.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_errors: Family<ControllerLabels, Counter>,
    reconcile_seconds: HistogramFamily<ControllerLabels>,
    reconcile_panics: Family<ControllerLabels, Counter>,
    max_concurrent: Family<ControllerLabels, Gauge>,
    active_workers: Family<ControllerLabels, Gauge>,
    queue_depth: Family<QueueLabels, Gauge>,
    queue_adds: Family<QueueLabels, Counter>,
    queue_retries: Family<QueueLabels, Counter>,
    reviews: Family<WebhookCodeLabels, Counter>,
    review_seconds: HistogramFamily<WebhookLabels>,
    reviews_in_flight: Family<WebhookLabels, Gauge>,
    certificate_reads: Counter,
    certificate_read_errors: Counter,
    certificate_read_ok: Gauge,
    certificate_expiry: Gauge,
    connections: Gauge,
    connections_refused: Counter,
    unsafe_routes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let build =
            Info::new(vec![("version", env!("CARGO_PKG_VERSION")), ("rust_version", env!("CARGO_PKG_RUST_VERSION"))]);
        registry.register("workspaces_build", "The running build", build);
        registry.register_collector(Box::new(process::ProcessCollector::new()));
        Self {
            reconciles: counters(&mut registry, "controller_runtime_reconcile", "Reconciles by result"),
            reconcile_errors: counters(&mut registry, "controller_runtime_reconcile_errors", "Reconciles that failed"),
            reconcile_panics: counters(
                &mut registry,
                "controller_runtime_reconcile_panics",
                "Reconciles that panicked",
            ),
            reconcile_seconds: histograms(
                &mut registry,
                "controller_runtime_reconcile_time_seconds",
                "Time of one reconcile",
                || Histogram::new(RECONCILE_SECONDS),
            ),
            max_concurrent: gauges(
                &mut registry,
                "controller_runtime_max_concurrent_reconciles",
                "Reconciles that may run at the same time",
            ),
            active_workers: gauges(&mut registry, "controller_runtime_active_workers", "Reconciles running now"),
            queue_depth: gauges(&mut registry, "workqueue_depth", "Objects waiting for a reconcile"),
            queue_adds: counters(&mut registry, "workqueue_adds", "Objects put into the queue"),
            queue_retries: counters(
                &mut registry,
                "workqueue_retries",
                "Objects put back into the queue after a failure",
            ),
            reviews: counters(
                &mut registry,
                "controller_runtime_webhook_requests",
                "Admission requests by HTTP status",
            ),
            review_seconds: histograms(
                &mut registry,
                "controller_runtime_webhook_latency_seconds",
                "Time of one admission request",
                || Histogram::new(REVIEW_SECONDS),
            ),
            reviews_in_flight: gauges(
                &mut registry,
                "controller_runtime_webhook_requests_in_flight",
                "Admission requests being answered now",
            ),
            certificate_reads: counter(
                &mut registry,
                "certwatcher_read_certificate",
                "Readings of the certificate files",
            ),
            certificate_read_errors: counter(
                &mut registry,
                "certwatcher_read_certificate_errors",
                "Readings of the certificate files that found no pair to serve",
            ),
            certificate_read_ok: gauge(
                &mut registry,
                "workspaces_certificate_last_read_successful",
                "Whether the last reading of the certificate files was good (1) or the older pair had to stay (0)",
            ),
            certificate_expiry: gauge(
                &mut registry,
                "workspaces_certificate_expiry_timestamp_seconds",
                "When the served certificate expires, in seconds since 1970; 0 while none is served",
            ),
            connections: gauge(&mut registry, "workspaces_server_connections", "Open connections of all listeners"),
            connections_refused: counter(
                &mut registry,
                "workspaces_server_connection_faults",
                "Connections ended by the server: failed handshakes, time-outs, broken requests",
            ),
            unsafe_routes: counter(
                &mut registry,
                "workspaces_unsafe_virtual_services_stored",
                "VirtualServices found stored with other headers than were applied, which Envoy may refuse",
            ),
            registry,
        }
    }

    /// Shows the series of a loop before its first reconcile.
    pub fn announce_controller(&self, controller: Controller, max_concurrent: usize) {
        let labels = controller.labels();
        self.max_concurrent.get_or_create(&labels).set(i64::try_from(max_concurrent).unwrap_or(i64::MAX));
        drop(self.active_workers.get_or_create(&labels));
        drop(self.reconcile_errors.get_or_create(&labels));
        drop(self.reconcile_panics.get_or_create(&labels));
        drop(self.reconcile_seconds.get_or_create(&labels));
        for result in [ResultName::success, ResultName::error, ResultName::requeue, ResultName::requeue_after] {
            drop(self.reconciles.get_or_create(&ReconcileLabels { controller: labels.controller, result }));
        }
        let queue = controller.queue_labels();
        drop(self.queue_depth.get_or_create(&queue));
        drop(self.queue_adds.get_or_create(&queue));
        drop(self.queue_retries.get_or_create(&queue));
    }

    /// A worker begins a reconcile; [`Metrics::reconcile_finished`] must follow, also after a panic.
    pub fn reconcile_started(&self, controller: Controller) {
        self.active_workers.get_or_create(&controller.labels()).inc();
    }

    /// A worker has ended a reconcile that took `duration`.
    pub fn reconcile_finished(&self, controller: Controller, result: ReconcileResult, duration: Duration) {
        let labels = controller.labels();
        self.active_workers.get_or_create(&labels).dec();
        self.reconcile_seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        if result == ReconcileResult::Error {
            self.reconcile_errors.get_or_create(&labels).inc();
        }
        let labels = ReconcileLabels { controller: labels.controller, result: result.name() };
        self.reconciles.get_or_create(&labels).inc();
    }

    /// A reconcile panicked. It also counts as an error, through [`Metrics::reconcile_finished`].
    pub fn reconcile_panicked(&self, controller: Controller) {
        self.reconcile_panics.get_or_create(&controller.labels()).inc();
    }

    /// An object was put into the queue.
    pub fn queue_added(&self, controller: Controller) {
        self.queue_adds.get_or_create(&controller.queue_labels()).inc();
    }

    /// An object was put back into the queue after a failure.
    pub fn queue_retried(&self, controller: Controller) {
        self.queue_retries.get_or_create(&controller.queue_labels()).inc();
    }

    /// How many objects wait now.
    pub fn set_queue_depth(&self, controller: Controller, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&controller.queue_labels()).set(depth);
    }

    /// Shows the series of a webhook path before its first request.
    pub fn announce_webhook(&self, path: &'static str) {
        let labels = WebhookLabels { webhook: path };
        drop(self.reviews_in_flight.get_or_create(&labels));
        drop(self.review_seconds.get_or_create(&labels));
        drop(self.reviews.get_or_create(&WebhookCodeLabels { webhook: path, code: 200 }));
    }

    /// The certificate files were read; `good` when what is served matches them.
    pub fn certificate_read(&self, good: bool) {
        self.certificate_reads.inc();
        if !good {
            self.certificate_read_errors.inc();
        }
        self.certificate_read_ok.set(good.into());
    }

    /// When the served certificate expires.
    pub fn certificate_expires(&self, not_after: SystemTime) {
        let seconds = not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self) -> InFlight {
        self.connections.inc();
        InFlight(self.connections.clone())
    }

    /// A VirtualService was found whose stored headers are not what was applied, and unsafe.
    pub fn unsafe_route_stored(&self) {
        self.unsafe_routes.inc();
    }

    /// The server ended a connection because of what the client did, or did not do.
    pub fn connection_fault(&self) {
        self.connections_refused.inc();
    }

    /// All series as text of the type [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What admission reports about its requests.
impl webhook::Observer for Metrics {
    fn started(&self, path: &'static str) {
        self.reviews_in_flight.get_or_create(&WebhookLabels { webhook: path }).inc();
    }

    fn finished(&self, path: &'static str, code: u16, duration: Duration) {
        let labels = WebhookLabels { webhook: path };
        self.reviews_in_flight.get_or_create(&labels).dec();
        self.review_seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        self.reviews.get_or_create(&WebhookCodeLabels { webhook: path, code }).inc();
    }
}

/// Counts something down when dropped, so that a cancelled or panicking task is counted down too.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Controller {
    fn name(self) -> ControllerName {
        match self {
            Self::Workspace => ControllerName::workspace,
            Self::WorkspaceKind => ControllerName::workspacekind,
            Self::RouteCleanup => ControllerName::routecleanup,
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

// The library appends `_total` to counters and `_info` to infos itself.

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let metric = Counter::default();
    registry.register(name, help, metric.clone());
    metric
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let metric = Gauge::default();
    registry.register(name, help, metric.clone());
    metric
}

/// What a label set has to be able to do.
trait Labels: Clone + std::hash::Hash + Eq + EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static {}
impl<T: Clone + std::hash::Hash + Eq + EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static> Labels for T {}

fn counters<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn gauges<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Gauge> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn histograms<L: Labels>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    new: fn() -> Histogram,
) -> HistogramFamily<L> {
    let family = Family::new_with_constructor(new);
    registry.register(name, help, family.clone());
    family
}

#[cfg(test)]
mod tests;
