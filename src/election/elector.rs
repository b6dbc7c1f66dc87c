//! The elector of a replica: waits for the Lease, renews it, releases it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::leadership::Leadership;
use super::observed::{Holder, Observed, released};
use crate::client::{CallError, causes, within};
use crate::config::LeaseTimes;
use crate::metrics::Metrics;
use crate::rbac::AccessRule;

/// The pause after somebody else wrote the Lease at the same time.
const CONFLICT: Duration = Duration::from_millis(100);
/// How often the Lease is written at once, where somebody else wrote it meanwhile.
const TRIES: usize = 5;
/// How long the release may take: the process exits.
const RELEASE: Duration = Duration::from_secs(2);
/// What an elector needs, in the namespace of the Lease.
const LEASES: AccessRule =
    AccessRule { group: "coordination.k8s.io", resource: "leases", verbs: &["get", "watch", "create", "update"] };

/// Takes part in the election of a leader.
pub struct Elector {
    leases: Api<Lease>,
    name: &'static str,
    /// This process in the Lease: the name of its host, which is that of its pod, and a number of its own.
    identity: String,
    times: LeaseTimes,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    /// The Lease as it was read last.
    observed: Option<Observed>,
    /// Whether it may have changed since, unseen.
    is_stale: bool,
    /// What happens to it.
    watch: Option<BoxStream<'static, kube::Result<WatchEvent<Lease>>>>,
    /// The trouble that was reported last, while it lasts, and with what.
    trouble: Option<(Attempt, String)>,
}

/// What is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Attempt {
    Read,
    Acquire,
    Renew,
}

impl Attempt {
    fn failed(self) -> &'static str {
        match self {
            Self::Read => "the Lease cannot be read",
            Self::Acquire => "the Lease cannot be acquired",
            Self::Renew => "the Lease cannot be renewed",
        }
    }
}

/// What a request about the Lease led to.
enum Outcome {
    /// It is ours.
    Held,
    /// Somebody else wrote it meanwhile: it has to be read again.
    Conflict,
}

/// The watch has ended.
struct WatchEnded;

/// Why a term ended.
enum End {
    /// Another one is named in the Lease.
    Replaced(String),
    /// It could not be renewed in time.
    Expired,
}

impl Elector {
    /// For the Lease `namespace/name`. `client` must be one whose writes are not guarded by `leadership`.
    pub fn new(
        client: Client,
        (namespace, name): (&str, &'static str),
        times: LeaseTimes,
        leadership: Leadership,
        metrics: Arc<Metrics>,
    ) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        metrics.leads(name, false);
        Self {
            leases: Api::namespaced(client, namespace),
            name,
            identity: format!("{}_{}", host.trim(), uuid::Uuid::new_v4()),
            times,
            leadership,
            metrics,
            observed: None,
            is_stale: true,
            watch: None,
            trouble: None,
        }
    }

    /// Waits until this replica is the leader. Dropping the future loses nothing, but may leave a Lease that names this replica.
    pub(super) async fn acquire(&mut self) {
        loop {
            let now = Instant::now();
            let Some(observed) = self.observed.as_ref().filter(|_| !self.is_stale) else {
                if let Err(error) = self.read().await {
                    self.report(Attempt::Read, &error);
                    sleep(self.times.retry_period).await;
                }
                continue;
            };
            let free = observed.free_from(&self.identity, self.times.duration);
            if free > now {
                self.wait_until(free).await;
                continue;
            }
            match self.write().await {
                Ok(Outcome::Held) => {
                    self.leadership.extend(now + self.times.renew_deadline);
                    self.metrics.leads(self.name, true);
                    tracing::info!(lease = self.name, identity = self.identity, "this replica is the leader now");
                    return;
                }
                Ok(Outcome::Conflict) => sleep(CONFLICT).await,
                Err(error) => {
                    self.report(Attempt::Acquire, &error);
                    sleep(self.times.retry_period).await;
                }
            }
        }
    }

    /// Waits until the Lease changes, or is free as it is. Where it is not watched, it is polled; a watch that says nothing while a
    /// leader should renew may be dead, and is not trusted.
    async fn wait_until(&mut self, free: Instant) {
        self.ensure_watch().await;
        let retry = self.times.retry_period;
        let poll = free.min(Instant::now() + if self.watch.is_some() { 2 * retry } else { retry });
        tokio::select! {
            () = sleep_until(poll) => self.is_stale = poll < free,
            change = self.changed() => if let Ok(lease) = change { self.observe(lease) },
        }
    }

    /// Renews the Lease for as long as that is possible: afterwards this replica is not the leader.
    pub(super) async fn renew(&mut self) {
        let end = self.until_lost().await;
        self.leadership.end();
        self.metrics.leads(self.name, false);
        let lease = self.name;
        match end {
            End::Replaced(by) => {
                tracing::error!(lease, by, "this replica is not the leader any more: the Lease names another one");
            }
            End::Expired => {
                let seconds = self.times.renew_deadline.as_secs_f64();
                tracing::error!(lease, "this replica is not the leader any more: no renewal within {seconds} s");
            }
        }
    }

    async fn until_lost(&mut self) -> End {
        let mut next = Instant::now() + self.times.retry_period;
        loop {
            let Some(deadline) = self.leadership.until() else { return End::Expired };
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return End::Expired,
                () = sleep_until(next) => {}
                change = self.changed() => {
                    // What is seen here may be older than what was written last: only the API server knows.
                    let Ok(lease) = change else { continue };
                    if Observed::new(lease, Instant::now()).holder(&self.identity) == Holder::Me {
                        continue;
                    }
                }
            }
            let began = Instant::now();
            let Ok(renewed) = timeout_at(deadline, self.renew_once()).await else { return End::Expired };
            match renewed {
                Ok(None) => {
                    self.leadership.extend(began + self.times.renew_deadline);
                    self.ensure_watch().await;
                }
                Ok(Some(holder)) => return End::Replaced(holder),
                Err(error) => self.report(Attempt::Renew, &error),
            }
            next = began + self.times.retry_period;
        }
    }

    /// Renews the Lease, or returns who is named in it.
    async fn renew_once(&mut self) -> Result<Option<String>, CallError> {
        for _ in 0..TRIES {
            if self.is_stale {
                self.read().await?;
            }
            let holder = self.observed.as_ref().map(|observed| observed.holder(&self.identity));
            if let Some(Holder::Other(holder)) = holder {
                return Ok(Some(holder.to_owned()));
            }
            match self.write().await? {
                Outcome::Held => return Ok(None),
                Outcome::Conflict => {}
            }
        }
        Err(CallError::TimedOut)
    }

    /// Releases the Lease, if it names this replica, so that another one need not wait.
    pub(super) async fn release(&mut self) {
        self.leadership.end();
        self.metrics.leads(self.name, false);
        let released = timeout(RELEASE, self.release_once()).await.unwrap_or(Err(CallError::TimedOut));
        match released {
            Ok(true) => tracing::info!(lease = self.name, "released the Lease: another replica can lead"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                lease = self.name,
                error = causes(&error),
                "the Lease cannot be released: another replica leads when it expires"
            ),
        }
    }

    /// Whether it named this replica.
    async fn release_once(&mut self) -> Result<bool, CallError> {
        for _ in 0..TRIES {
            if self.is_stale {
                self.read().await?;
            }
            let held = self.observed.as_ref().filter(|observed| observed.holder(&self.identity) == Holder::Me);
            let Some(lease) = held.and_then(Observed::lease).cloned() else { return Ok(false) };
            let lease = released(lease, Timestamp::now());
            match self.leases.replace(self.name, &PostParams::default(), &lease).await {
                Ok(_) => return Ok(true),
                // Written by somebody else, or by a renewal whose answer nobody waited for.
                Err(kube::Error::Api(status)) if is_conflict(&status) => self.is_stale = true,
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallError::TimedOut)
    }

    /// Makes this replica the leader of the Lease as it was observed.
    async fn write(&mut self) -> Result<Outcome, CallError> {
        let Some(observed) = &self.observed else { return Ok(Outcome::Conflict) };
        let lease = observed.held_by(&self.identity, self.times.duration, self.name, Timestamp::now());
        // Until there is an answer, for which nobody may wait.
        self.is_stale = true;
        let parameters = PostParams::default();
        let is_new = observed.lease().is_none();
        let written = if is_new {
            within(self.limit(), self.leases.create(&parameters, &lease)).await
        } else {
            within(self.limit(), self.leases.replace(self.name, &parameters, &lease)).await
        };
        match written {
            Ok(lease) => {
                self.observe(Some(lease));
                self.is_stale = false;
                self.recovered(&[Attempt::Read, Attempt::Acquire, Attempt::Renew]);
                Ok(Outcome::Held)
            }
            // Where there is no namespace, nothing can be created.
            Err(CallError::Api(kube::Error::Api(status)))
                if is_conflict(&status) && !(is_new && status.code == 404) =>
            {
                Ok(Outcome::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the Lease and watches it from there.
    async fn read(&mut self) -> Result<(), CallError> {
        let lease = within(self.limit(), self.leases.get_opt(self.name)).await?;
        if self.observed.as_ref().is_some_and(|observed| version(observed.lease()) != version(lease.as_ref())) {
            // The watch did not say so: a new one is started.
            self.watch = None;
        }
        self.observe(lease);
        self.is_stale = false;
        self.recovered(&[Attempt::Read]);
        Ok(())
    }

    fn observe(&mut self, lease: Option<Lease>) {
        let now = Instant::now();
        match &mut self.observed {
            Some(observed) => observed.update(lease, now),
            None => self.observed = Some(Observed::new(lease, now)),
        }
        let Some(observed) = &self.observed else { return };
        let holder = match observed.holder(&self.identity) {
            Holder::Me => Some(self.identity.as_str()),
            Holder::Other(other) => Some(other),
            Holder::Released | Holder::Nobody => None,
        };
        let expires = observed.free_from(&self.identity, self.times.duration);
        self.leadership.set_holder(holder, expires, Timestamp::now());
        self.leadership.set_program(self.name, observed.stranger());
        if expires > now && matches!(observed.holder(&self.identity), Holder::Other(_)) {
            // Another one leads: what this one could not do when nobody did is over.
            self.trouble = self.trouble.take().filter(|(attempt, _)| *attempt == Attempt::Read);
            self.leadership.set_trouble(self.trouble.as_ref().map(|(_, text)| text.clone()));
        }
    }

    /// Watches the Lease from where it was observed. It is no part of a renewal: without a watch the Lease is polled.
    async fn ensure_watch(&mut self) {
        if self.watch.is_some() {
            return;
        }
        let observed = self.observed.as_ref().and_then(Observed::lease);
        let from = observed.and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_else(|| "0".to_owned());
        let parameters = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        match within(self.times.retry_period / 2, self.leases.watch(&parameters, &from)).await {
            Ok(events) => self.watch = Some(events.boxed()),
            Err(error) => tracing::debug!(lease = self.name, error = causes(&error), "the Lease cannot be watched"),
        }
    }

    /// The Lease after its next change; none: it was deleted. Never returns without a watch.
    async fn changed(&mut self) -> Result<Option<Lease>, WatchEnded> {
        let Some(watch) = &mut self.watch else { return pending().await };
        loop {
            match watch.next().await {
                Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => return Ok(Some(lease)),
                Some(Ok(WatchEvent::Deleted(_))) => return Ok(None),
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => {
                    self.watch = None;
                    return Err(WatchEnded);
                }
            }
        }
    }

    /// These are possible again.
    fn recovered(&mut self, attempts: &[Attempt]) {
        if self.trouble.take_if(|(attempt, _)| attempts.contains(attempt)).is_some() {
            self.leadership.set_trouble(None);
            tracing::info!(lease = self.name, "the Lease can be read and written again");
        }
    }

    /// For one request: half the time that all renewals have, so that a second one is possible.
    fn limit(&self) -> Duration {
        self.times.renew_deadline / 2
    }

    /// Reports trouble with the Lease, once while it lasts.
    fn report(&mut self, attempt: Attempt, error: &CallError) {
        let text = format!("{}: {}", attempt.failed(), causes(error));
        let trouble = Some((attempt, text.clone()));
        if self.trouble == trouble {
            return;
        }
        let is_forbidden = matches!(error, CallError::Api(kube::Error::Api(status)) if status.code == 403);
        if is_forbidden {
            tracing::error!(
                lease = self.name,
                "{text}; no leader can be elected, so nothing is reconciled; add to the rules of a Role in the namespace of the \
                 Lease: {LEASES}"
            );
        } else {
            tracing::warn!(lease = self.name, "{text}; will retry");
        }
        self.leadership.set_trouble(trouble.as_ref().map(|(_, text)| text.clone()));
        self.trouble = trouble;
    }
}

fn version(lease: Option<&Lease>) -> Option<&str> {
    lease?.metadata.resource_version.as_deref()
}

/// Whether the Lease was deleted (404), written or created (409) by somebody else.
fn is_conflict(status: &Status) -> bool {
    matches!(status.code, 404 | 409)
}
