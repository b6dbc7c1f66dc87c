//! The listeners of the process: binds them and serves a router on each.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::rustls::ServerConfig;

use crate::config::{Listen, SettingError, Settings, settings};
use crate::metrics::{self, Metrics};
use crate::serve::{self, Drain, Server, ServerLimits};
use crate::shutdown::Process;
use crate::tls::ListenerTls;

/// Connections of kubelets and scrapers.
const FEW_CONNECTIONS: usize = 64;

/// What is served on each listener.
pub(super) struct Routers {
    pub admission: Router,
    pub health: Router,
    pub metrics: Router,
    pub status: Router,
}

/// The enabled listeners, with their local addresses.
pub(super) struct Listeners {
    webhook: Option<(TcpListener, SocketAddr)>,
    health: Option<(TcpListener, SocketAddr)>,
    metrics: Option<(TcpListener, SocketAddr)>,
    status: Option<(TcpListener, SocketAddr)>,
    /// The runtime that serves the webhook.
    reviews: Handle,
}

impl Listeners {
    pub(super) fn bind(settings: &Settings, reviews: &Handle) -> Result<Self, Vec<SettingError>> {
        let mut errors = Vec::new();
        let mut bind = |setting: &settings::Setting, address: Option<Listen>| {
            let address = address?;
            serve::bind(address)
                .map_err(|error| {
                    let rule = format!(
                        "cannot listen there ({error}): choose another address, or stop the process that uses it"
                    );
                    errors.push(SettingError { name: setting.name(), value: Some(address.to_string()), rule });
                })
                .ok()
        };
        let webhook_address = settings.enable_webhooks.then_some(settings.webhook_address);
        let webhook = {
            // The runtime in which it is bound accepts its connections.
            let _entered = reviews.enter();
            bind(&settings::WEBHOOK_BIND_ADDRESS, webhook_address)
        };
        let listeners = Self {
            webhook,
            health: bind(&settings::HEALTH_PROBE_BIND_ADDRESS, settings.health_address),
            metrics: bind(&settings::METRICS_BIND_ADDRESS, settings.metrics_address),
            status: bind(&settings::STATUS_BIND_ADDRESS, settings.status_address),
            reviews: reviews.clone(),
        };
        if errors.is_empty() { Ok(listeners) } else { Err(errors) }
    }

    pub(super) fn serve(
        self,
        settings: &Settings,
        process: &mut Process,
        tls: Option<&ListenerTls>,
        metrics: &Arc<Metrics>,
        routers: Routers,
    ) {
        let address = |bound: &Option<(TcpListener, SocketAddr)>| {
            bound.as_ref().map_or("off".to_owned(), |(_, at)| at.to_string())
        };
        tracing::info!(
            webhook_address = address(&self.webhook),
            health_address = address(&self.health),
            metrics_address = address(&self.metrics),
            status_address = address(&self.status),
            "listening"
        );
        let limits = ServerLimits::default().within_descriptors(metrics::max_descriptors());
        // Probes and scrapes are served until the process exits: they show how the shutdown proceeds.
        let few = ServerLimits { connections: limits.connections.min(FEW_CONNECTIONS), ..limits };
        let server = |name, listener, tls: Option<&Arc<ServerConfig>>, router, limits, drain: &Drain| {
            let (tls, metrics, drain) = (tls.cloned(), Arc::clone(metrics), drain.clone());
            Server { name, listener, tls, router, limits, metrics, drain }.run()
        };
        if let Some((listener, _)) = self.webhook {
            let server =
                server("webhook", listener, tls.map(|tls| &tls.webhook), routers.admission, limits, &process.drain);
            process.draining.spawn_on("webhook server", server, &self.reviews);
        }
        let no_drain = Drain::default();
        if let Some((listener, _)) = self.health {
            process.steady.spawn("health server", server("health", listener, None, routers.health, few, &no_drain));
        }
        if let Some((listener, _)) = self.metrics {
            let tls = tls.filter(|_| settings.metrics_secure).map(|tls| &tls.others);
            process.steady.spawn("metrics server", server("metrics", listener, tls, routers.metrics, few, &no_drain));
        }
        if let Some((listener, _)) = self.status {
            let tls = tls.filter(|_| settings.status_is_public()).map(|tls| &tls.others);
            process.steady.spawn("status server", server("status", listener, tls, routers.status, few, &no_drain));
        }
    }
}
