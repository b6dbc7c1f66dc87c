//! The running process: its runtimes, and the wiring of its parts. No part knows another one that it is not given here.

mod listeners;
mod memory;
mod status;

use std::sync::Arc;

use axum::Router;
use futures::FutureExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::runtime::{Builder, Handle};

use crate::api::lookup::ClusterLookup;
use crate::api::readiness::CacheReadiness;
use crate::api::rights::report_missing;
use crate::client::Access;
use crate::config::{SettingError, Settings, settings};
use crate::election::{self, Elector, Leadership};
use crate::http::health::Readiness;
use crate::metrics::Metrics;
use crate::reconcile;
use crate::serve::{Drain, DrainState};
use crate::shutdown::{self, Grace, Process};
use crate::status_page::{AdmissionObserver, LastRefusals, StatusSources};
use crate::stores::{Stores, Watched};
use crate::telemetry::Telemetry;
use crate::tls::{self, clients::ClientAuthorities};

use listeners::Listeners;

/// Threads for reviews, so that one expensive review does not block the others. Everything else is mostly IO and runs
/// on one thread: moving it between threads would cost a fifth of its CPU time.
const REVIEW_THREADS: usize = 2;

/// Why a run did not end with an orderly shutdown.
#[derive(Debug)]
pub enum RunError {
    /// The settings are wrong; nothing has been logged about it.
    Settings(Vec<SettingError>),
    /// Something failed, and the error has been logged.
    Failed,
}

/// Runs until a signal stops the process, or until a part of it fails.
pub fn run(settings: Settings) -> Result<(), RunError> {
    tls::install_crypto_provider();
    let telemetry = Telemetry::start(&settings.log);
    settings.log();
    let result = run_on_runtimes(settings);
    telemetry.end();
    result
}

fn run_on_runtimes(settings: Settings) -> Result<(), RunError> {
    let reviews = Builder::new_multi_thread().worker_threads(REVIEW_THREADS).thread_name("review").enable_all().build();
    let runtimes = reviews.and_then(|reviews| Ok((Builder::new_current_thread().enable_all().build()?, reviews)));
    let (runtime, reviews) = runtimes.map_err(|error| failed(&format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(async {
        let signals = shutdown::signals().map_err(|error| failed(&format!("cannot listen for signals: {error}")))?;
        let process = wire(settings, reviews.handle()).await.map_err(RunError::Settings)?;
        process.run(signals, Grace::default()).await.map_err(|stop| failed(&stop.to_string()))
    });
    if result.is_ok() {
        tracing::info!("shutdown complete");
    }
    // Blocking tasks must not delay the exit.
    reviews.shutdown_background();
    runtime.shutdown_background();
    result
}

fn failed(reason: &str) -> RunError {
    tracing::error!("{reason}");
    RunError::Failed
}

/// Starts every part that the settings enable.
async fn wire(settings: Settings, reviews: &Handle) -> Result<Process, Vec<SettingError>> {
    let settings = Arc::new(settings);
    let metrics = Arc::new(Metrics::new());
    let access = Access::configure(settings.kubeconfig.as_deref()).await.map_err(|error| vec![error])?;
    let client = access.client().map_err(|error| vec![error])?;
    let listeners = Listeners::bind(&settings, reviews)?;
    let mut process = Process::default();
    let mut readiness = Readiness::default();

    let mut serving = None;
    let clients = settings.webhook_clients.as_ref().filter(|_| settings.enable_webhooks).map(ClientAuthorities::read);
    if let Some(clients) = clients.clone() {
        readiness = readiness.and("clients", clients.check());
        process.steady.spawn("CAs of clients", clients.keep());
    }
    let clients = clients.map(|clients| clients.verifier());
    let tls = if settings.needs_certificate() {
        let served =
            tls::served(&settings, &client, &metrics, clients).map_err(|error| vec![tls_error(&settings, &error)])?;
        readiness = readiness.and("certificate", served.check);
        serving = Some(served.serving);
        process.steady.spawn("certificate", served.keep);
        Some(served.listeners)
    } else {
        None
    };

    let (stores, are_current) = start_stores(&access, &client, &settings, &metrics, &mut process);
    readiness = readiness.and("caches", are_current);
    process.steady.spawn("memory", memory::return_free());
    process.steady.spawn("rights", report_missing(client.clone(), Arc::clone(&settings)));

    let leadership = Leadership::default();
    if settings.enable_reconcile {
        reconcile(&access, client, &stores, &settings, &metrics, &leadership, &mut process)?;
    }

    readiness = readiness.and("listener", is_serving(process.drain.clone()));
    let lookups = {
        let _entered = reviews.enter();
        access.client().map_err(|error| vec![error])?
    };
    let refusals = Arc::new(LastRefusals::default());
    let admission = admission(&settings, lookups, stores.clone(), &metrics, &refusals);
    let readiness = Arc::new(readiness);
    let sources = StatusSources {
        settings: Arc::clone(&settings),
        started: Timestamp::now(),
        leadership: (settings.leader_elect && settings.enable_reconcile).then_some(leadership),
        certificate: serving,
        readiness: Arc::clone(&readiness),
        stores,
        metrics: Arc::clone(&metrics),
        refusals,
    };
    let routers = status::routers(&settings, &access, admission, readiness, sources).map_err(|error| vec![error])?;
    listeners.serve(&settings, &mut process, tls.as_ref(), &metrics, routers);
    Ok(process)
}

/// Starts the caches; also a check that they are current.
fn start_stores(
    access: &Access,
    client: &Client,
    settings: &Settings,
    metrics: &Metrics,
    process: &mut Process,
) -> (Stores, impl Fn() -> Result<(), String> + Send + Sync + use<>) {
    let (stores, tasks) = Stores::start(client, Watched::under(settings));
    let counted = stores.clone();
    metrics.count_workspaces(move || counted.workspace_counts());
    for (name, watch) in tasks {
        process.steady.spawn(name, watch);
    }
    let caches = CacheReadiness::default();
    let are_current = caches.check(stores.clone());
    process.steady.spawn("cache readiness", caches.keep(client.clone(), access.url(), stores.clone()));
    (stores, are_current)
}

/// A check that the process has not been asked to stop.
fn is_serving(drain: Drain) -> impl Fn() -> Result<(), String> + Send + Sync {
    move || match drain.state() {
        DrainState::Serving => Ok(()),
        DrainState::Announced | DrainState::Closing => Err("shutting down".to_owned()),
    }
}

/// Starts what reconciles: at once, or when this replica is the leader.
fn reconcile(
    access: &Access,
    client: Client,
    stores: &Stores,
    settings: &Arc<Settings>,
    metrics: &Arc<Metrics>,
    leadership: &Leadership,
    process: &mut Process,
) -> Result<(), Vec<SettingError>> {
    let drain = process.drain.clone();
    let announced = async move { drain.reached(DrainState::Announced).await }.shared();
    let reconcile = {
        let (stores, settings, metrics) = (stores.clone(), Arc::clone(settings), Arc::clone(metrics));
        let announced = announced.clone();
        move |client| reconcile::run(client, stores.clone(), settings.clone(), metrics.clone(), announced.clone())
    };
    let Some(namespace) = settings.namespace.as_deref().filter(|_| settings.leader_elect) else {
        process.draining.spawn_refusing("reconcile", reconcile(client));
        return Ok(());
    };
    let lease = (namespace, settings.mode.lease_name());
    let elector = Elector::new(client, lease, settings.lease_times, leadership.clone(), Arc::clone(metrics));
    let guard = leadership.clone();
    let undelivered = settings.lease_times.undelivered();
    let guarded = access.guarded_client(Arc::new(move || guard.until()), undelivered).map_err(|error| vec![error])?;
    stores.set_idle(true);
    let listed = stores.clone();
    let ready = async move { listed.wait_synced().await };
    let work = move || reconcile(guarded.clone());
    process.draining.spawn_refusing("reconcile", election::run(elector, ready, work, announced));
    Ok(())
}

fn tls_error(settings: &Settings, error: &dyn std::error::Error) -> SettingError {
    SettingError {
        name: settings::WEBHOOK_CERT_SOURCE.name(),
        value: Some(settings.certificate.as_str().to_owned()),
        rule: format!("TLS cannot be set up: {error}"),
    }
}

fn admission(
    settings: &Settings,
    client: kube::Client,
    stores: Stores,
    metrics: &Arc<Metrics>,
    refusals: &Arc<LastRefusals>,
) -> Router {
    if settings.enable_webhooks {
        for registration in &webhook::REGISTRATIONS {
            metrics.announce_webhook(registration.path);
        }
    }
    let lookup = ClusterLookup::new(client, stores);
    let observer = AdmissionObserver { metrics: Arc::clone(metrics), refusals: Arc::clone(refusals) };
    let router = webhook::router(Arc::new(lookup), Arc::new(settings.policy.clone()), Arc::new(observer));
    #[cfg(feature = "otel")]
    let router = crate::telemetry::traces::continue_trace(router);
    router
}
