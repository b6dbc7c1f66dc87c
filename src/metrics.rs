//! What the process counts, under the names that dashboards for controller-runtime know.
//!
//! This file has the registry, its encoding and the methods for the rest of the program; each subject registers its own
//! series. Labels are closed sets (controllers, results, webhook paths), but for WorkspaceKinds and their options, never
//! names of namespaces or Workspaces: the number of series does not grow with these.

mod activity;
mod admission;
mod certificates;
mod connections;
mod leader_election;
mod per_minute;
mod process;
mod reconcile;
mod register;
mod routes;
mod workspaces;
mod writes;

use std::time::{Duration, SystemTime};

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

pub use connections::InFlight;
pub use per_minute::MINUTES;
pub use reconcile::{Controller, ReconcileResult};
pub use routes::RouteState;
pub use workspaces::{OptionUsers, WorkspaceCounts};

use activity::ActivityMetrics;
use admission::AdmissionMetrics;
use certificates::CertificateMetrics;
use connections::ConnectionMetrics;
use leader_election::LeaderElectionMetrics;
use per_minute::PerMinute;
use process::ProcessCollector;
use reconcile::ReconcileMetrics;
use routes::RouteMetrics;
use workspaces::WorkspaceCollector;
use writes::WriteMetrics;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many file descriptors this process may open; `None` where that is unlimited or unknown.
pub fn max_descriptors() -> Option<usize> {
    process::max_descriptors()
}

/// Every series of the process. Shared by reference; each method is cheap and does not wait.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconcile: ReconcileMetrics,
    admission: AdmissionMetrics,
    certificates: CertificateMetrics,
    connections: ConnectionMetrics,
    leader_election: LeaderElectionMetrics,
    routes: RouteMetrics,
    writes: WriteMetrics,
    activity: ActivityMetrics,
    workspaces: WorkspaceCollector,
    writes_per_minute: PerMinute,
    errors_per_minute: PerMinute,
    reviews_per_minute: PerMinute,
}

/// What happened in each of the last [`MINUTES`] minutes, the oldest first; the last one is under way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LastHour {
    /// Objects written or deleted.
    pub writes: Vec<u32>,
    /// Reconciles that failed.
    pub errors: Vec<u32>,
    /// Admission requests.
    pub reviews: Vec<u32>,
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
        registry.register_collector(Box::new(ProcessCollector::new()));
        let workspaces = WorkspaceCollector::default();
        registry.register_collector(Box::new(workspaces.clone()));
        // The order of the output.
        Self {
            reconcile: ReconcileMetrics::register(&mut registry),
            admission: AdmissionMetrics::register(&mut registry),
            certificates: CertificateMetrics::register(&mut registry),
            connections: ConnectionMetrics::register(&mut registry),
            leader_election: LeaderElectionMetrics::register(&mut registry),
            routes: RouteMetrics::register(&mut registry),
            writes: WriteMetrics::register(&mut registry),
            activity: ActivityMetrics::register(&mut registry),
            workspaces,
            writes_per_minute: PerMinute::new(),
            errors_per_minute: PerMinute::new(),
            reviews_per_minute: PerMinute::new(),
            registry,
        }
    }

    /// All series as text of the type [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Shows the series of a controller before its first reconcile.
    pub fn announce_controller(&self, controller: Controller, max_concurrent: usize) {
        self.reconcile.announce(controller, max_concurrent);
    }

    /// A controller has stopped, with what it was doing and what waited.
    pub fn controller_stopped(&self, controller: Controller) {
        self.reconcile.stopped(controller);
    }

    /// A worker begins a reconcile; [`Metrics::reconcile_finished`] must follow, also after a panic.
    pub fn reconcile_started(&self, controller: Controller) {
        self.reconcile.started(controller);
    }

    /// A worker has finished a reconcile that took `duration`.
    pub fn reconcile_finished(&self, controller: Controller, result: ReconcileResult, duration: Duration) {
        self.reconcile.finished(controller, result, duration);
        if result == ReconcileResult::Error {
            self.errors_per_minute.add();
        }
    }

    /// A reconcile panicked. It also counts as an error, through [`Metrics::reconcile_finished`].
    pub fn reconcile_panicked(&self, controller: Controller) {
        self.reconcile.panicked(controller);
    }

    /// An object was put into the queue.
    pub fn queue_added(&self, controller: Controller) {
        self.reconcile.queue_added(controller);
    }

    /// An object was put back into the queue after a failure.
    pub fn queue_retried(&self, controller: Controller) {
        self.reconcile.queue_retried(controller);
    }

    /// How many objects wait now.
    pub fn set_queue_depth(&self, controller: Controller, depth: usize) {
        self.reconcile.set_queue_depth(controller, depth);
    }

    /// An object of the queue is reconciled now, this long after it was due.
    pub fn queue_waited(&self, controller: Controller, waited: Duration) {
        self.reconcile.queue_waited(controller, waited);
    }

    /// Since when the object waits that has been due longest; none where none is due. A time to come is when one will be.
    pub fn set_queue_oldest(&self, controller: Controller, due: Option<Instant>) {
        self.reconcile.set_queue_oldest(controller, due);
    }

    /// An object, or a part of one such as `workspaces/status`, was written or deleted; `cause`: why it was reconciled. Both
    /// are of a closed set.
    pub fn written(&self, resource: &'static str, cause: &'static str) {
        self.writes.written(resource, cause);
        self.writes_per_minute.add();
    }

    /// An activity probe took so long. How the kind configures it, and its result (`success`, `failure` or `timeout`), are each of
    /// a closed set.
    pub fn activity_probed(&self, probe: &'static str, result: &'static str, took: Duration) {
        self.activity.probed(probe, result, took);
    }

    /// A Workspace of that kind was paused for being idle, by that rule, or would have been but for a dry run.
    pub fn idle_paused(&self, kind: &str, rule: &impl ToString, is_dry_run: bool) {
        self.activity.paused(kind, rule.to_string(), is_dry_run);
    }

    /// A probe found nobody active, so long after the last success that the Workspace counts as active until then.
    pub fn activity_unknown(&self) {
        self.activity.unknown();
    }

    /// So many Workspaces would be paused now, but for a dry run.
    pub fn pauses_withheld(&self, workspaces: usize) {
        self.activity.withheld(workspaces);
    }

    /// A write was put off because another client had changed the same fields again at once.
    pub fn write_contested(&self, resource: &'static str) {
        self.writes.contested(resource);
    }

    /// Writes, errors and reviews of the last hour, by minute.
    pub fn last_hour(&self) -> LastHour {
        LastHour {
            writes: self.writes_per_minute.last_hour(),
            errors: self.errors_per_minute.last_hour(),
            reviews: self.reviews_per_minute.last_hour(),
        }
    }

    /// Counts the Workspaces with `count`, at each [`Metrics::encode`].
    pub fn count_workspaces(&self, count: impl Fn() -> WorkspaceCounts + Send + Sync + 'static) {
        self.workspaces.count_with(Box::new(count));
    }

    /// A VirtualService was found whose stored headers are not what was applied, and unsafe.
    pub fn unsafe_route_stored(&self) {
        self.routes.unsafe_stored();
    }

    /// What became of the route of a Workspace is another thing than before; none where there is no such Workspace.
    pub fn route_state_changed(&self, before: Option<RouteState>, after: Option<RouteState>) {
        self.routes.changed(before, after);
    }

    /// Shows the series of a webhook path before its first request.
    pub fn announce_webhook(&self, path: &'static str) {
        self.admission.announce(path);
    }

    /// The source of the certificate was read; `valid` if its pair is served.
    pub fn certificate_read(&self, valid: bool) {
        self.certificates.read(valid);
    }

    /// When the served certificate expires.
    pub fn certificate_expires(&self, not_after: SystemTime) {
        self.certificates.expires(not_after);
    }

    /// Whether this replica is the leader by the Lease of that name, one of a closed set.
    pub fn leads(&self, lease: &'static str, leads: bool) {
        self.leader_election.leads(lease, leads);
    }

    /// When the CA of the certificate expires, where the process made it.
    pub fn certificate_ca_expires(&self, not_after: SystemTime) {
        self.certificates.ca_expires(not_after);
    }

    /// Whether the API server trusts the certificate, where the process made it.
    pub fn certificate_trusted(&self, is_trusted: bool) {
        self.certificates.trusted(is_trusted);
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self) -> InFlight {
        self.connections.opened()
    }

    /// The server closed a connection because of what the client did, or did not do.
    pub fn connection_fault(&self) {
        self.connections.fault();
    }
}

/// What admission reports about its requests.
impl webhook::Observer for Metrics {
    fn started(&self, path: &'static str) {
        self.admission.started(path);
    }

    fn finished(&self, path: &'static str, code: u16, duration: Duration) {
        self.admission.finished(path, code, duration);
        self.reviews_per_minute.add();
    }
}

#[cfg(test)]
mod tests;
