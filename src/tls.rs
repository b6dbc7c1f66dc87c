//! Keeps the served certificate in step with its source, and reports how that goes.

pub mod clients;
pub mod files;
pub mod self_managed;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{ClientVerifier, NotReady, PairSource, ReloadOutcome, Reloader, Resolver, ServingState};
use kube::Client;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::{CertificateSource, Settings};
use crate::http::health::ReadinessCheck;
use crate::metrics::Metrics;
use self_managed::Authority;

/// Makes ring the crypto provider of the whole process.
pub fn install_crypto_provider() {
    // Two libraries with a default of their own would make the first handshake panic. An error means that it is set
    // already.
    let _ = ring::default_provider().install_default();
}

/// TLS of the listeners, with the same certificate.
pub struct ListenerTls {
    /// Of the webhook, which may demand certificates of its clients.
    pub webhook: Arc<ServerConfig>,
    /// Of all others.
    pub others: Arc<ServerConfig>,
}

/// The certificate of the process, of whichever source.
pub struct ServedCertificate {
    /// TLS of the listeners.
    pub listeners: ListenerTls,
    /// Whether a request of the API server can succeed.
    pub check: ReadinessCheck,
    /// What is served, and why the last reading was refused.
    pub serving: Box<dyn Fn() -> Arc<ServingState> + Send + Sync>,
    /// Keeps it current. Never returns.
    pub keep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The certificate of the source that the settings name. `client` must be one that may write without being the leader.
pub fn served(
    settings: &Settings,
    client: &Client,
    metrics: &Arc<Metrics>,
    clients: Option<Arc<ClientVerifier>>,
) -> Result<ServedCertificate, rustls::Error> {
    match &settings.certificate {
        CertificateSource::Files(dir) => {
            let mut certificate = files::certificate(dir, Arc::clone(metrics));
            certificate.poll();
            Ok(ServedCertificate {
                listeners: certificate.listeners(clients)?,
                check: Box::new(certificate.check()),
                serving: Box::new(certificate.serving()),
                keep: Box::pin(certificate.keep(files::POLL_EVERY)),
            })
        }
        CertificateSource::SelfManaged(managed) => {
            let (publishes, metrics) = (settings.enable_webhooks, Arc::clone(metrics));
            let authority = Authority::new(client.clone(), managed.clone(), publishes, metrics);
            Ok(ServedCertificate {
                listeners: authority.certificate().listeners(clients)?,
                check: Box::new(authority.check()),
                serving: Box::new(authority.certificate().serving()),
                keep: Box::pin(authority.keep()),
            })
        }
    }
}

/// A certificate and its source.
pub struct Certificate {
    resolver: Arc<Resolver>,
    reloader: Reloader,
    metrics: Arc<Metrics>,
    /// Whether it has been logged that the served one has expired.
    is_expired: bool,
}

impl Certificate {
    /// Nothing is read yet.
    pub fn new(source: impl PairSource + 'static, metrics: Arc<Metrics>) -> Self {
        let resolver = Arc::new(Resolver::new());
        let reloader = Reloader::new(source, Arc::clone(&resolver));
        Self { resolver, reloader, metrics, is_expired: false }
    }

    /// TLS for HTTP/1.1, with the certificate that is current at each handshake.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.server_config_for(None)
    }

    fn listeners(&self, clients: Option<Arc<ClientVerifier>>) -> Result<ListenerTls, rustls::Error> {
        Ok(ListenerTls { webhook: self.server_config_for(clients)?, others: self.server_config()? })
    }

    fn server_config_for(&self, clients: Option<Arc<ClientVerifier>>) -> Result<Arc<ServerConfig>, rustls::Error> {
        certs::server_config(Arc::clone(&self.resolver), &[certs::ALPN_HTTP_1_1], clients).map(Arc::new)
    }

    /// A check for readiness: a certificate is served and has not expired.
    pub fn check(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let resolver = Arc::clone(&self.resolver);
        move || match resolver.current().not_ready(SystemTime::now()) {
            Some(reason) => Err(reason.to_string()),
            None => Ok(()),
        }
    }

    /// Reads what is served, and why the last reading was refused.
    pub fn serving(&self) -> impl Fn() -> Arc<ServingState> + Send + Sync + use<> {
        let resolver = Arc::clone(&self.resolver);
        move || resolver.current()
    }

    /// Reads the source once; whether its pair is served. Blocks as long as the source does.
    pub fn poll(&mut self) -> bool {
        let is_served = self.read();
        let expired = self.resolver.current().not_ready(SystemTime::now());
        let expired = expired.filter(|reason| matches!(reason, NotReady::Expired { .. }));
        if let (Some(reason), false) = (&expired, self.is_expired) {
            tracing::error!("not ready: {reason}: renew it; it is read again within seconds");
        }
        self.is_expired = expired.is_some();
        is_served
    }

    fn read(&mut self) -> bool {
        match self.reloader.poll(SystemTime::now()) {
            ReloadOutcome::Unchanged => {
                self.metrics.certificate_read(true);
                true
            }
            ReloadOutcome::Replaced { serial } => {
                self.metrics.certificate_read(true);
                if let Some(served) = &self.resolver.current().served {
                    self.metrics.certificate_expires(served.not_after);
                }
                tracing::info!(serial, "serving a new certificate");
                true
            }
            ReloadOutcome::Kept { error, repeated } => {
                self.metrics.certificate_read(false);
                if !repeated {
                    if self.resolver.current().served.is_some() {
                        tracing::error!("no new certificate could be loaded, the older one stays in service: {error}");
                    } else {
                        tracing::error!("no certificate to serve, not ready until there is one: {error}");
                    }
                }
                false
            }
        }
    }

    /// Reads the source again and again, for as long as the process runs.
    pub async fn keep(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.poll();
        }
    }
}
