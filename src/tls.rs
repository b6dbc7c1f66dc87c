//! Keeps the served certificate in step with its source, and reports how that goes.

pub mod files;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{PairSource, ReloadOutcome, Reloader, Resolver, ServingState};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::metrics::Metrics;

/// Makes ring the crypto provider of the whole process.
pub fn install_crypto_provider() {
    // Two libraries with a default of their own would make the first handshake panic. An error means that it is set
    // already.
    let _ = ring::default_provider().install_default();
}

/// The certificate of the process.
pub struct Certificate {
    resolver: Arc<Resolver>,
    reloader: Reloader,
    metrics: Arc<Metrics>,
    poll_every: Duration,
}

impl Certificate {
    /// Nothing is read yet; [`Certificate::keep`] reads every `poll_every`.
    pub fn new(source: impl PairSource + 'static, poll_every: Duration, metrics: Arc<Metrics>) -> Self {
        let resolver = Arc::new(Resolver::new());
        let reloader = Reloader::new(source, Arc::clone(&resolver));
        Self { resolver, reloader, metrics, poll_every }
    }

    /// TLS for HTTP/1.1, with the certificate that is current at each handshake.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        certs::server_config(Arc::clone(&self.resolver), &[certs::ALPN_HTTP_1_1]).map(Arc::new)
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

    /// Reads the source once. Blocks as long as the source does.
    pub fn poll(&mut self) {
        match self.reloader.poll(SystemTime::now()) {
            ReloadOutcome::Unchanged => self.metrics.certificate_read(true),
            ReloadOutcome::Replaced { serial } => {
                self.metrics.certificate_read(true);
                if let Some(served) = &self.resolver.current().served {
                    self.metrics.certificate_expires(served.not_after);
                }
                tracing::info!(serial, "serving a new certificate");
            }
            ReloadOutcome::Kept { error, repeated } => {
                self.metrics.certificate_read(false);
                if repeated {
                    return;
                }
                if self.resolver.current().served.is_some() {
                    tracing::error!("no new certificate could be loaded, the older one stays in service: {error}");
                } else {
                    tracing::error!("no certificate to serve, not ready until there is one: {error}");
                }
            }
        }
    }

    /// Reads the source for as long as the process runs.
    pub async fn keep(mut self) {
        let mut ticks = interval(self.poll_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.poll();
        }
    }
}
