//! Where the facts come from. The only part of the page that asks other parts of the process, and that has a clock.

use std::sync::Arc;

use certs::ServingState;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::facts::{CacheFacts, CertificateFacts, LeadershipFacts, ProcessFacts, ServedCertificate, StatusFacts};
use super::refusals::LastRefusals;
use crate::config::Settings;
use crate::election::Leadership;
use crate::http::health::Readiness;
use crate::metrics::Metrics;
use crate::stores::Stores;
use crate::stores::caches::CacheState;
use crate::stores::collection::Progress;
use crate::stores::workspace::StoredWorkspace;

/// The certificate at this moment.
pub type ReadCertificate = Box<dyn Fn() -> Arc<ServingState> + Send + Sync>;

/// What knows the facts.
pub struct StatusSources {
    /// The settings.
    pub settings: Arc<Settings>,
    /// When the process started.
    pub started: Timestamp,
    /// Who leads; none while leader election is off.
    pub leadership: Option<Leadership>,
    /// The certificate; none where none is needed.
    pub certificate: Option<ReadCertificate>,
    /// The checks of readiness.
    pub readiness: Arc<Readiness>,
    /// What is known of the cluster.
    pub stores: Stores,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// The last refusals.
    pub refusals: Arc<LastRefusals>,
}

impl StatusSources {
    /// The facts of this moment. Objects are shared, not copied: that takes less than a millisecond for thousands of them.
    pub fn facts(&self) -> StatusFacts {
        let now = Timestamp::now();
        let (workspaces, elsewhere) = self.workspaces();
        let routing = &self.settings.routing;
        let routes = routing.use_istio && self.settings.mode.duties().routes;
        StatusFacts {
            now,
            process: self.process(),
            leadership: self.leadership.as_ref().map(|leadership| self.who_leads(leadership)),
            certificate: self.certificate.as_ref().map(|read| certificate(&read())),
            readiness: self.readiness.results(),
            caches: self.stores.caches().into_iter().map(|state| cache(state, now)).collect(),
            workspaces,
            elsewhere,
            kinds: self.stores.kinds().all(),
            paths: routes.then(|| routing.paths.clone()),
            refusals: self.refusals.all(),
            last_hour: self.metrics.last_hour(),
        }
    }

    fn process(&self) -> ProcessFacts {
        let settings = &self.settings;
        ProcessFacts {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            mode: settings.mode.as_str(),
            selector: settings.mode.selector().map(str::to_owned),
            reconciles: settings.enable_reconcile,
            writes_statuses: settings.enable_reconcile && settings.mode.duties().workspaces,
            admits: settings.enable_webhooks,
        }
    }

    fn who_leads(&self, leadership: &Leadership) -> LeadershipFacts {
        let (state, now) = (leadership.state(), Instant::now());
        let expired = state.expired_for(now);
        let (namespace, name) =
            (self.settings.namespace.as_deref().unwrap_or_default(), self.settings.mode.lease_name());
        LeadershipFacts {
            lease: format!("{namespace}/{name}"),
            is_leader: state.is_leader(now),
            // Whoever let it expire leads no longer.
            since: expired.map_or(state.since, |ago| Some(Timestamp::now() - ago)),
            holder: state.holder.filter(|_| expired.is_none()).unwrap_or_default(),
            program: state.program,
            trouble: state.trouble,
        }
    }

    fn workspaces(&self) -> (Vec<Arc<StoredWorkspace>>, usize) {
        let mut workspaces = self.stores.workspaces().all();
        if self.settings.mode.selector().is_none() {
            return (workspaces, 0);
        }
        let all = workspaces.len();
        workspaces.retain(|workspace| self.stores.is_reconciled(workspace.identity.key.namespace()));
        let elsewhere = all - workspaces.len();
        (workspaces, elsewhere)
    }
}

fn certificate(state: &ServingState) -> CertificateFacts {
    let time = |time| Timestamp::try_from(time).unwrap_or_default();
    let served = state.served.as_ref().map(|served| ServedCertificate {
        not_before: time(served.not_before),
        not_after: time(served.not_after),
        serial: served.serial.clone(),
    });
    CertificateFacts { served, error: state.last_error.as_ref().map(ToString::to_string) }
}

fn cache(state: CacheState, now: Timestamp) -> CacheFacts {
    let at = |instant: Instant| {
        let ago = SignedDuration::try_from(instant.elapsed()).unwrap_or(SignedDuration::ZERO);
        now.checked_sub(ago).unwrap_or(now)
    };
    let progress = match state.progress {
        Progress::Listing => "listing",
        Progress::NotInstalled => "not installed",
        Progress::Forbidden => "not allowed",
        Progress::Synced => "synced",
    };
    let failing = state.freshness.failing.map(|(since, error)| (at(since), error.into()));
    let heard = state.freshness.heard.map(at);
    let CacheState { resource, objects, is_missed, .. } = state;
    CacheFacts { resource, progress, objects, heard, failing, is_missed }
}
