//! From facts to what a page shows. Pure.

use serde::Serialize;

use super::facts::StatusFacts;
use super::filter::Filter;
use super::kinds::{KindsView, kinds};
use super::problems::{Problem, problems};
use super::refusals::{LastRefusal, RefusedBy};
use super::text::{LONG, OURS, SHORT, distance, shown, written};
use super::workspaces::{WorkspacesView, workspaces};
use crate::metrics::LastHour;

/// What a page shows; as JSON, `/status.json`. Times are RFC 3339, in whole seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The time of the facts.
    pub now: String,
    /// What needs attention, errors first; empty while everything is fine.
    pub problems: Vec<Problem>,
    /// The process.
    pub process: ProcessView,
    /// Who leads.
    pub leadership: LeadershipView,
    /// The certificate; absent where none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
    /// The checks of readiness.
    pub readiness: Vec<CheckRow>,
    /// The stores.
    pub caches: Vec<CacheRow>,
    /// Which Workspaces were asked for.
    pub filter: Filter,
    /// The Workspaces.
    pub workspaces: WorkspacesView,
    /// The WorkspaceKinds.
    pub kinds: KindsView,
    /// The last refusal by each rule, the newest first.
    pub refusals: Vec<RefusalRow>,
    /// What happened in each of the last sixty minutes, the oldest first; the last one is under way.
    pub per_minute: PerMinuteView,
}

/// The process.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessView {
    /// Its version.
    pub version: &'static str,
    /// When it started.
    pub started: String,
    /// What it does.
    pub mode: &'static str,
    /// The label selector of the namespaces that it reconciles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<String>,
    /// Whether it reconciles.
    pub reconciles: bool,
    /// Whether it makes the statuses of Workspaces.
    pub writes_statuses: bool,
    /// Whether it serves the webhooks.
    pub admits: bool,
}

/// Who leads.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadershipView {
    /// `off`, `leader`, `standby`, `none` or, before the Lease has been read, `unknown`.
    pub role: &'static str,
    /// The Lease.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lease: String,
    /// Who holds it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub holder: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// The certificate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// When the one that is served expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// How far that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Why the last reading was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A check of readiness.
#[derive(Clone, Debug, Serialize)]
pub struct CheckRow {
    /// Its name.
    pub name: &'static str,
    /// Whether it passes.
    pub ready: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A store.
#[derive(Clone, Debug, Serialize)]
pub struct CacheRow {
    /// The resource.
    pub resource: &'static str,
    /// How far it is.
    pub progress: &'static str,
    /// How many objects it has.
    pub objects: usize,
    /// When the API server last sent something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,
    /// Since when its watch has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// The last refusal by a rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalRow {
    /// The code of the rule, or that of the answer.
    pub rule: String,
    /// The name of the rule, or what the code means.
    pub title: &'static str,
    /// How many objects it has refused since the process started.
    pub count: u64,
    /// When it last did.
    pub at: String,
    /// The kind of that object.
    pub kind: &'static str,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The operation.
    pub operation: String,
    /// The first fields with a fault.
    pub fields: Vec<String>,
    /// How many more there were.
    pub more_fields: usize,
}

/// What happened in each minute.
#[derive(Clone, Debug, Serialize)]
pub struct PerMinuteView {
    /// Objects written or deleted.
    pub writes: Vec<u32>,
    /// Reconciles that failed.
    pub errors: Vec<u32>,
    /// Admission requests.
    pub reviews: Vec<u32>,
}

/// What a page shows of `facts` to whom asks with `filter`.
pub fn view(facts: &StatusFacts, filter: Filter) -> StatusView {
    let (workspaces, kinds) = (workspaces(facts, &filter), kinds(facts));
    let LastHour { writes, errors, reviews } = facts.last_hour.clone();
    StatusView {
        now: written(facts.now),
        problems: problems(facts, &workspaces, &kinds),
        process: process(facts),
        leadership: leadership(facts),
        certificate: certificate(facts),
        readiness: facts.readiness.iter().map(|(name, result)| check(name, result)).collect(),
        caches: facts.caches.iter().map(cache).collect(),
        filter,
        workspaces,
        kinds,
        refusals: facts.refusals.iter().map(refusal).collect(),
        per_minute: PerMinuteView { writes, errors, reviews },
    }
}

fn process(facts: &StatusFacts) -> ProcessView {
    let process = &facts.process;
    ProcessView {
        version: process.version,
        started: written(process.started),
        mode: process.mode,
        namespace_selector: process.selector.as_ref().map(|selector| shown(selector, LONG)),
        reconciles: process.reconciles,
        writes_statuses: process.writes_statuses,
        admits: process.admits,
    }
}

fn leadership(facts: &StatusFacts) -> LeadershipView {
    let Some(leadership) = &facts.leadership else {
        return LeadershipView { role: "off", lease: String::new(), holder: String::new(), since: None };
    };
    let role = match (leadership.is_leader, leadership.holder.is_empty()) {
        (true, _) => "leader",
        (false, false) => "standby",
        (false, true) if leadership.since.is_some() => "none",
        (false, true) => "unknown",
    };
    let (lease, holder) = (shown(&leadership.lease, SHORT), shown(&leadership.holder, SHORT));
    LeadershipView { role, lease, holder, since: leadership.since.map(written) }
}

fn certificate(facts: &StatusFacts) -> Option<CertificateView> {
    let certificate = facts.certificate.as_ref()?;
    let served = certificate.served.as_ref();
    Some(CertificateView {
        not_after: served.map(|served| written(served.not_after)),
        left: served.filter(|served| served.not_after > facts.now).map(|served| distance(served.not_after, facts.now)),
        serial: served.map(|served| served.serial.clone()),
        error: certificate.error.as_ref().map(|error| shown(error, OURS)),
    })
}

fn check(name: &'static str, result: &Result<(), String>) -> CheckRow {
    let reason = result.as_ref().err().map(|reason| shown(reason, OURS)).unwrap_or_default();
    CheckRow { name, ready: result.is_ok(), reason }
}

fn cache(cache: &super::facts::CacheFacts) -> CacheRow {
    let (failing, error) = match &cache.failing {
        Some((since, error)) => (Some(written(*since)), shown(error, LONG)),
        None => (None, String::new()),
    };
    let heard = cache.heard.map(written);
    CacheRow { resource: cache.resource, progress: cache.progress, objects: cache.objects, heard, failing, error }
}

fn refusal(last: &LastRefusal) -> RefusalRow {
    let (rule, title) = match last.by {
        RefusedBy::Rule(rule) => (rule.code().to_owned(), rule.id()),
        RefusedBy::Code(400) => ("400".to_owned(), "the review does not decode"),
        RefusedBy::Code(503) => ("503".to_owned(), "a fact could not be looked up in time"),
        RefusedBy::Code(code) => (code.to_string(), "an error of the controller or its installation"),
    };
    RefusalRow {
        rule,
        title,
        count: last.count,
        at: written(last.at),
        kind: last.kind,
        namespace: shown(&last.namespace, SHORT),
        name: shown(&last.name, SHORT),
        operation: shown(&last.operation, SHORT),
        fields: last.fields.iter().map(|field| shown(field, SHORT)).collect(),
        more_fields: last.more_fields,
    }
}
