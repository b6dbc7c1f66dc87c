//! The certificate that the process makes itself: a CA and a server certificate of it, in a Secret that all replicas share, and
//! the CA in the `caBundle`s of the webhook configuration.
//!
//! Every replica runs the same loop, with or without leader election, since every replica serves the webhook. There is no
//! agreement between them. Of several that write at the same time one wins: the Secret is created, or patched in the version that
//! was seen, and so is the configuration; the others take what is there. What makes that safe is the order of the writes, which
//! [`certs::Schedule`] says:
//!
//! - A certificate of a new CA is issued once the CA has been in `caBundle` for a minute, so an API server that calls trusts it.
//! - An old CA stays in `caBundle` until the last certificate that it can have signed has expired. Nobody has to report what it
//!   serves, and no replica can be too late: one that cannot read the Secret for days goes on serving what is trusted, and is
//!   ready for as long as that has not expired. Losing the API server makes no replica unready, or all of them would be in the
//!   moment in which it is back and calls them.
//! - Before `caBundle` is changed the Secret is read again: a replica whose watch is late must not take a new CA back.
//!
//! A Secret that is deleted or cannot be read any longer is made again, with a new CA beside those that are trusted. Replicas
//! serve what they have until the new one has been trusted for a minute. What somebody else put there is left alone.

mod configuration;
mod objects;
mod offer;
mod secret;
mod trust;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{Bundle, Material, MaterialPem, Published, Serving, Step, TrustedCa};
use kube::Client;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::Certificate;
use crate::config::SelfManaged;
use crate::metrics::Metrics;
use crate::stores::slim::Slim as _;
use configuration::{Called, injector};
use objects::{Objects, Written};
use offer::{Offer, OfferedPair};
use secret::Content;
use trust::Trust;

/// Between two looks at what only the time changes.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After a request that failed, and while something is under way.
const RETRY: Duration = Duration::from_secs(1);
/// Between two writes of the configuration, should somebody else write there again and again.
const WRITE_PAUSE: Duration = Duration::from_millis(500);
/// How long after a write the watch may take to deliver what came of it.
const WATCH_DELAY: Duration = Duration::from_secs(2);

/// The resource of the configuration, in metrics.
const CONFIGURATIONS: &str = "validatingwebhookconfigurations";
/// The cause of its writes, in metrics.
const CAUSE: &str = "certificate";

const FOREIGN: &str = "it was not made by this controller and is left alone: delete it, or name another one with \
                       --dynamic-serving-secret-name";
const NO_CONFIGURATION: &str =
    "it does not exist: install it, or name another one with --validating-webhook-configuration-name";

/// The certificate authority of this replica: its loop, and what it has seen.
pub struct Authority {
    settings: SelfManaged,
    /// Whether an API server has to trust the certificate: where webhooks are served.
    publishes: bool,
    objects: Arc<Objects>,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
    certificate: Certificate,
    pair: OfferedPair,
    trust: Trust,
    /// What the Secret held when it was read last, and its version.
    content: Option<(Box<str>, Arc<Content>)>,
    /// What is served.
    serving: Option<(Serving, Offer)>,
    published: Published,
    secret_write: Option<Attempt>,
    configuration_write: Option<Attempt>,
    /// Why the Secret could not be written the last time.
    failure: Option<String>,
    /// Until the next look, unless something changes.
    pause: Duration,
}

/// A write of an object.
struct Attempt {
    /// The version that it was to replace; empty where there was no object.
    version: Box<str>,
    at: Instant,
    /// Whether it was another version by then.
    conflicted: bool,
}

impl Authority {
    /// Nothing is read yet. `publishes` where webhooks are served: else no API server has to trust the certificate.
    pub fn new(client: Client, settings: SelfManaged, publishes: bool, metrics: Arc<Metrics>) -> Self {
        let changed = Arc::new(Notify::new());
        let pair = OfferedPair::default();
        Self {
            objects: Arc::new(Objects::new(client, &settings, &changed)),
            changed,
            certificate: Certificate::new(pair.clone(), Arc::clone(&metrics)),
            pair,
            trust: Trust::new(publishes, Arc::clone(&metrics)),
            metrics,
            settings,
            publishes,
            content: None,
            serving: None,
            published: Published::default(),
            secret_write: None,
            configuration_write: None,
            failure: None,
            pause: RETRY,
        }
    }

    /// What is served.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A check for readiness: a certificate is served that has not expired, and the API server trusts its CA.
    pub fn check(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let (is_valid, trust) = (self.certificate.check(), self.trust.clone());
        move || is_valid().and_then(|()| trust.check())
    }

    /// Makes, serves and publishes for as long as the process runs.
    pub async fn keep(mut self) {
        let (objects, publishes) = (Arc::clone(&self.objects), self.publishes);
        let configuration = async {
            if publishes {
                objects.keep_configuration().await;
            }
        };
        let work = async {
            loop {
                self.step().await;
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep(self.pause) => {}
                }
            }
        };
        tokio::join!(objects.keep_secret(), configuration, work);
    }

    /// One look at both objects, and what follows from it.
    async fn step(&mut self) {
        let now = SystemTime::now();
        self.pause = LONGEST_PAUSE.min(self.settings.schedule.settle() / 2);
        self.observe(now);
        let mut obstacle = None;
        match self.content() {
            // It is being read for the first time.
            Err(None) => {}
            Err(Some(reason)) => self.without(&reason),
            Ok((version, content)) => match &*content {
                Content::Material(material) => {
                    let unknown = self.unknown_issuer(material, now);
                    self.serve(material, now);
                    let renewed = if let Some(issuer) = unknown {
                        let done = "added the CA of the certificate that is served: the Secret had forgotten it";
                        self.write(&version, material.trust_too(&issuer), done).await
                    } else {
                        obstacle = self.publish(material, &version).await.err();
                        self.renew(material, &version, now).await
                    };
                    self.report(renewed);
                }
                Content::Foreign => self.without(&FOREIGN),
                Content::Unusable(_) | Content::Empty => {
                    if let Err(reason) = self.make(&version, &content, now).await {
                        self.without(&reason);
                    }
                }
            },
        }
        self.pause = if obstacle.is_some() { self.pause.min(RETRY) } else { self.pause };
        self.trust.observe(self.is_trusted(), obstacle);
    }

    /// What the API server trusts now.
    fn observe(&mut self, now: SystemTime) {
        let Ok(configuration) = self.objects.known_configuration() else { return };
        let called = configuration.as_deref().map(|found| Called::of(found, &self.settings.names));
        let trusted = called.and_then(Result::ok).map(|called| called.trusted());
        self.published.observe(trusted.unwrap_or_default(), now);
    }

    /// Whether the API server trusts what is served, if it has to.
    fn is_trusted(&self) -> bool {
        !self.publishes || self.serving.as_ref().is_some_and(|(serving, _)| self.published.contains(&serving.issuer))
    }

    /// What the Secret holds, and its version, which is empty where there is none; else perhaps why that is not known.
    fn content(&mut self) -> Result<(Box<str>, Arc<Content>), Option<String>> {
        let Some(secret) = self.objects.known_secret()? else { return Ok(("".into(), Arc::new(Content::Empty))) };
        let version = &secret.identity().version;
        match &self.content {
            Some((seen, content)) if seen == version => Ok((version.clone(), Arc::clone(content))),
            _ => {
                let content = Arc::new(Content::of(&secret));
                self.content = Some((version.clone(), Arc::clone(&content)));
                Ok((version.clone(), content))
            }
        }
    }

    /// There is nothing new to serve, for this reason: what is served stays.
    fn without(&mut self, reason: &dyn Display) {
        self.pair.set(Err(format!("Secret {}: {reason}", self.settings.secret_key())));
        self.certificate.poll();
        self.pause = self.pause.min(RETRY);
    }

    /// Serves this material, or still what was served before.
    fn serve(&mut self, material: &Material, now: SystemTime) {
        self.metrics.certificate_ca_expires(material.ca().not_after());
        let published = self.publishes.then_some(&self.published);
        let served = self.serving.as_ref().map(|(serving, _)| serving);
        let takes = self.settings.schedule.is_to_be_served(material, served, published, now);
        let offer = match &self.serving {
            Some((_, before)) if !takes => before.clone(),
            _ => Offer::of(material, &self.settings.secret_key()),
        };
        self.pair.set(Ok(offer.clone()));
        if self.certificate.poll() && takes {
            let serving = Serving { issuer: material.leaf_issuer().clone(), not_after: material.leaf_not_after() };
            self.serving = Some((serving, offer));
        }
    }

    /// The CA of the certificate that is served and trusted, if this material does not know it: an older one was restored, say from a
    /// backup. Replicas serve certificates of that CA, so it must not be taken out of `caBundle` yet.
    fn unknown_issuer(&self, material: &Material, now: SystemTime) -> Option<TrustedCa> {
        let (serving, _) = self.serving.as_ref().filter(|_| self.publishes)?;
        let is_in_use = now <= serving.not_after && self.published.contains(&serving.issuer);
        (is_in_use && !material.trusted().contains(&serving.issuer)).then(|| serving.issuer.clone())
    }

    /// Puts the CAs into the configuration. The error is what is in the way.
    async fn publish(&mut self, material: &Material, secret_version: &str) -> Result<(), String> {
        if !self.publishes {
            return Ok(());
        }
        let failed =
            |reason: &dyn Display| format!("ValidatingWebhookConfiguration {}: {reason}", self.settings.configuration);
        let configuration = match self.objects.known_configuration() {
            Ok(found) => found.ok_or_else(|| failed(&NO_CONFIGURATION))?,
            Err(None) => return Ok(()),
            Err(Some(reason)) => return Err(failed(&reason)),
        };
        injector(&configuration).map_err(|error| failed(&error))?;
        let called = Called::of(&configuration, &self.settings.names).map_err(|error| failed(&error))?;
        if called.is_published(material.trusted_pem()) {
            return Ok(());
        }
        self.pause = self.pause.min(RETRY);
        let version = &configuration.identity().version;
        if let Some((last, wait)) = self.configuration_write.as_ref().and_then(|last| Some((last, last.wait(version)?)))
        {
            if last.is_undone_in(version) {
                self.metrics.write_contested(CONFIGURATIONS);
            }
            self.pause = self.pause.min(wait);
            return Ok(());
        }
        // The watch of the Secret may be late, and that of the configuration show what another replica has published since.
        let stored = self.objects.read_secret().await.map_err(|error| failed(&error))?;
        if stored.is_none_or(|stored| &*stored.identity().version != secret_version) {
            return Ok(());
        }
        let written = self.objects.patch_configuration(called.patch(material.trusted_pem())).await;
        let written = written.map_err(|error| failed(&error))?;
        if Attempt::conclude(&mut self.configuration_write, version, written).map_err(|error| failed(&error))? {
            self.metrics.written(CONFIGURATIONS, CAUSE);
            tracing::info!(
                configuration = self.settings.configuration,
                cas = material.trusted().certificates().len(),
                "wrote the CAs of the certificate into caBundle"
            );
        }
        Ok(())
    }

    /// Does what the schedule says.
    async fn renew(&mut self, material: &Material, version: &str, now: SystemTime) -> Result<(), String> {
        let SelfManaged { schedule, names, .. } = &self.settings;
        let published = self.publishes.then_some(&self.published);
        let step = schedule.next(material, published, names, now);
        let (pem, done) = match step {
            Step::Keep => return Ok(()),
            Step::RenewLeaf => {
                let names = schedule.names_to_issue(material, names, now);
                (material.renew_leaf(&names, schedule, now), "issued a new certificate")
            }
            Step::RotateCa => (material.rotate_ca(schedule, now), "added a new CA, which signs once it is trusted"),
            Step::DropOldCas => {
                (Ok(material.drop_old_cas()), "dropped the old CA, all certificates of it have expired")
            }
        };
        let pem = pem.map_err(|error| error.to_string())?;
        self.write(version, pem, done).await
    }

    /// Makes a CA and a certificate, where the Secret has none.
    async fn make(&mut self, version: &str, content: &Content, now: SystemTime) -> Result<(), String> {
        self.pause = self.pause.min(RETRY);
        let mut trusted = Bundle::default();
        if self.publishes {
            match self.objects.known_configuration() {
                Err(None) => return Ok(()),
                Err(Some(reason)) => return Err(reason),
                // What is trusted now is served by somebody, perhaps.
                Ok(_) => {
                    let configuration = self.objects.read_configuration().await?;
                    let called = configuration.as_ref().and_then(|found| Called::of(found, &self.settings.names).ok());
                    trusted = called.map(|called| called.trusted()).unwrap_or_default();
                }
            }
        }
        if let Some((serving, _)) = &self.serving {
            trusted = trusted.add(&serving.issuer, now);
        }
        let SelfManaged { schedule, names, .. } = &self.settings;
        let material = Material::issue(&trusted, names, schedule, now).map_err(|error| error.to_string())?;
        let done = match content {
            Content::Unusable(reason) => format!("made a CA and a certificate, those there cannot be used ({reason})"),
            _ => "made a CA and a certificate".to_owned(),
        };
        self.write(version, material.pem(), &done).await
    }

    async fn write(&mut self, version: &str, pem: MaterialPem, done: &str) -> Result<(), String> {
        self.pause = self.pause.min(RETRY);
        if self.secret_write.as_ref().is_some_and(|last| last.wait(version).is_some()) {
            return Ok(());
        }
        let written = self.objects.write_secret(Some(version).filter(|version| !version.is_empty()), pem).await?;
        if Attempt::conclude(&mut self.secret_write, version, written)? {
            self.metrics.written("secrets", CAUSE);
            tracing::info!(secret = self.settings.secret_key(), "{done}");
        }
        Ok(())
    }

    /// Reports once that the Secret cannot be written. What is served stays, and is tried to be renewed again.
    fn report(&mut self, renewed: Result<(), String>) {
        let failure = renewed.err();
        if failure != self.failure {
            let secret = self.settings.secret_key();
            if let Some(reason) = &failure {
                tracing::error!(secret, "the certificate cannot be renewed, will retry: {reason}");
            } else {
                tracing::info!(secret, "the certificate can be renewed again");
            }
        }
        self.failure = failure;
    }
}

impl Attempt {
    /// For how long an object of this version is not to be written again: the watch has not delivered yet what came of the last
    /// write, or that was a moment ago.
    fn wait(&self, version: &str) -> Option<Duration> {
        let pause = if &*self.version == version && !self.conflicted { WATCH_DELAY } else { WRITE_PAUSE };
        pause.checked_sub(self.at.elapsed()).filter(|wait| !wait.is_zero())
    }

    /// Whether somebody else has changed what was written, by this version.
    fn is_undone_in(&self, version: &str) -> bool {
        !self.conflicted && &*self.version != version
    }

    /// Whether it was written. An error where it conflicts for the second time although it is still this version.
    fn conclude(last: &mut Option<Self>, version: &str, written: Written) -> Result<bool, String> {
        let is_repeated = last.as_ref().is_some_and(|last| last.conflicted && &*last.version == version);
        let conflict = match written {
            Written::Done => None,
            Written::Conflict(text) => Some(text),
        };
        *last = Some(Self { version: version.into(), at: Instant::now(), conflicted: conflict.is_some() });
        match conflict {
            None => Ok(true),
            Some(text) if is_repeated => Err(text),
            Some(_) => Ok(false),
        }
    }
}
