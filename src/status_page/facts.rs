//! What a status page follows from: plain values of one moment.

use std::sync::Arc;

use crds::ports::ConnectPaths;
use k8s_openapi::jiff::Timestamp;

use super::refusals::LastRefusal;
use crate::metrics::LastHour;
use crate::stores::kind::StoredKind;
use crate::stores::workspace::StoredWorkspace;

/// What is known at one moment.
#[derive(Clone, Debug)]
pub struct StatusFacts {
    /// The moment.
    pub now: Timestamp,
    /// What runs, and how.
    pub process: ProcessFacts,
    /// Who leads; none while leader election is off.
    pub leadership: Option<LeadershipFacts>,
    /// The certificate; none where none is needed.
    pub certificate: Option<CertificateFacts>,
    /// The checks of readiness, in their order, and the reason of each that fails.
    pub readiness: Vec<(&'static str, Result<(), String>)>,
    /// The stores.
    pub caches: Vec<CacheFacts>,
    /// The Workspaces of the namespaces that are reconciled, in no order.
    pub workspaces: Vec<Arc<StoredWorkspace>>,
    /// How many Workspaces there are in other namespaces.
    pub elsewhere: usize,
    /// The WorkspaceKinds, in no order.
    pub kinds: Vec<Arc<StoredKind>>,
    /// The path prefixes of ports; none where nothing is routed.
    pub paths: Option<ConnectPaths>,
    /// The last refusals of admission, by rule.
    pub refusals: Vec<LastRefusal>,
    /// What happened in each minute.
    pub last_hour: LastHour,
}

/// The process.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts {
    /// Its version.
    pub version: &'static str,
    /// When it started.
    pub started: Timestamp,
    /// What it does, in the words of the log.
    pub mode: &'static str,
    /// The label selector of the namespaces that it reconciles; none for all.
    pub selector: Option<String>,
    /// Whether it reconciles.
    pub reconciles: bool,
    /// Whether it makes the statuses of Workspaces: where another controller does, they say nothing of routes.
    pub writes_statuses: bool,
    /// Whether it serves the webhooks.
    pub admits: bool,
}

/// Who leads.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeadershipFacts {
    /// The Lease, as `namespace/name`.
    pub lease: String,
    /// The identity that holds it; empty while nobody does.
    pub holder: String,
    /// Whether that is this process.
    pub is_leader: bool,
    /// Since when that has been seen; none while the Lease has not been read.
    pub since: Option<Timestamp>,
    /// The program that wrote the Lease last, where it is not this controller.
    pub program: Option<String>,
    /// What this process cannot do about the Lease, and why.
    pub trouble: Option<String>,
}

/// The serving certificate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateFacts {
    /// The pair that is served.
    pub served: Option<ServedCertificate>,
    /// Why the last reading was refused.
    pub error: Option<String>,
}

/// A pair that is served.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServedCertificate {
    /// The first moment of its validity.
    pub not_before: Timestamp,
    /// The last one.
    pub not_after: Timestamp,
    /// Its serial number.
    pub serial: String,
}

/// One store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheFacts {
    /// The resource.
    pub resource: &'static str,
    /// How far it is.
    pub progress: &'static str,
    /// How many objects it has.
    pub objects: usize,
    /// When the API server last sent something.
    pub heard: Option<Timestamp>,
    /// Since when lists and watches have failed, and why.
    pub failing: Option<(Timestamp, String)>,
    /// Whether something does not work because it is not installed or not allowed, though the process is ready.
    pub is_missed: bool,
}
