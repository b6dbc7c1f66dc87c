//! Ties the parts together. No part knows another one that it is not handed here.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::cli::Invocation;
use crate::client::Access;
use crate::cluster_check::ClusterCheck;
use crate::config::{Fault, Listen, Settings, settings};
use crate::health::{self, Readiness};
use crate::inventory;
use crate::lookup::ClusterLookup;
use crate::metrics::{self, Metrics};
use crate::offline::{
    self,
    command::{Migrate, Outcome, Validate},
};
use crate::reconcile;
use crate::serve::{self, Drain, DrainState, Limits, Server};
use crate::shutdown::{self, Grace, Process};
use crate::stores::{Stores, Watched};
use crate::telemetry;
use crate::tls::{self, Certificate};

/// Wrong settings, which a restart does not mend.
pub const EXIT_SETTINGS: u8 = 2;

/// Threads for reviews: one that computes for long keeps nobody waiting. All else mostly waits, and is done by one thread:
/// handing it from thread to thread would cost a fifth of its CPU time.
const REVIEW_THREADS: usize = 2;
/// Connections of kubelets and scrapers.
const FEW_CONNECTIONS: usize = 64;

/// Does what was asked for; the answer is that of the process.
pub fn start(invocation: Invocation) -> ExitCode {
    let done = match invocation {
        Invocation::Run(settings) => return run(*settings),
        Invocation::Validate(validate) => validate_files(*validate).map(Outcome::into),
        Invocation::Render(render) => {
            let (mut input, mut output, mut errors) = (io::stdin().lock(), io::stdout().lock(), io::stderr().lock());
            offline::render::run(&render, &mut input, &mut output, &mut errors).map(Outcome::into)
        }
        Invocation::Migrate(migrate) => check_migration(*migrate),
        Invocation::Print(text) => print(&text).map(|()| ExitCode::SUCCESS),
        Invocation::Crds { dir } => write_crds(dir.as_deref()).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is wrong with the settings, a line for each fault.
pub fn refuse(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        eprintln!("error: {fault}");
    }
    ExitCode::from(EXIT_SETTINGS)
}

/// Whether to colour what is printed, see <https://no-color.org>.
fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
}

/// From files, or from the cluster: the only command beside a run that asks one.
fn check_migration(mut migrate: Migrate) -> io::Result<ExitCode> {
    migrate.telling.colours = wants_colours();
    let mut stored = Vec::new();
    if let Some(kubeconfig) = &migrate.cluster {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        use_ring();
        let read = runtime.block_on(async {
            let access = Access::configure(kubeconfig.as_deref()).await.map_err(|fault| vec![fault])?;
            let client = access.client().map_err(|fault| vec![fault])?;
            Ok::<_, Vec<Fault>>(inventory::read(&client).await)
        });
        stored = match read {
            Ok(Ok(sources)) => sources,
            Ok(Err(why)) => {
                eprintln!("error: {why}");
                return Ok(Outcome::Unreadable.into());
            }
            Err(faults) => return Ok(refuse(&faults)),
        };
    }
    offline::command::run_migrate(&migrate, stored, &mut io::stdin().lock(), &mut io::stdout().lock())
        .map(Outcome::into)
}

/// The one provider of cryptography.
fn use_ring() {
    // Two libraries that each bring a default would make the first handshake panic. An error means it is set already.
    let _ = ring::default_provider().install_default();
}

fn validate_files(mut validate: Validate) -> io::Result<Outcome> {
    validate.telling.colours = wants_colours();
    offline::command::run(&validate, &mut io::stdin().lock(), &mut io::stdout().lock())
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

fn write_crds(dir: Option<&Path>) -> io::Result<()> {
    use crds::generate::{WORKSPACE_CRD_FILE, WORKSPACE_KIND_CRD_FILE, workspace_crd_yaml, workspace_kind_crd_yaml};
    let files = [(WORKSPACE_CRD_FILE, workspace_crd_yaml()), (WORKSPACE_KIND_CRD_FILE, workspace_kind_crd_yaml())];
    let Some(dir) = dir else {
        return print(&files.map(|(_, yaml)| yaml).join("---\n"));
    };
    for (name, yaml) in files {
        let path = dir.join(name);
        std::fs::write(&path, yaml).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn run(settings: Settings) -> ExitCode {
    use_ring();
    telemetry::start(&settings.log);
    settings.log();
    let reviews = Builder::new_multi_thread().worker_threads(REVIEW_THREADS).thread_name("review").enable_all().build();
    let runtimes = reviews.and_then(|reviews| Ok((Builder::new_current_thread().enable_all().build()?, reviews)));
    let (runtime, reviews) = match runtimes {
        Ok(runtimes) => runtimes,
        Err(error) => {
            tracing::error!("cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let asks = match shutdown::signals() {
            Ok(asks) => asks,
            Err(error) => {
                tracing::error!("cannot listen for signals: {error}");
                return ExitCode::FAILURE;
            }
        };
        let process = match wire(settings, reviews.handle()).await {
            Ok(process) => process,
            Err(faults) => return refuse(&faults),
        };
        match process.run(asks, Grace::default()).await {
            Ok(()) => {
                tracing::info!("ended");
                ExitCode::SUCCESS
            }
            Err(stop) => {
                tracing::error!("{stop}");
                ExitCode::FAILURE
            }
        }
    });
    // Tasks that block must not hold up the end.
    reviews.shutdown_background();
    runtime.shutdown_background();
    code
}

/// Starts every part that the settings ask for.
async fn wire(settings: Settings, reviews: &Handle) -> Result<Process, Vec<Fault>> {
    let settings = Arc::new(settings);
    let metrics = Arc::new(Metrics::new());
    let access = Access::configure(settings.kubeconfig.as_deref()).await.map_err(|fault| vec![fault])?;
    let client = access.client().map_err(|fault| vec![fault])?;
    let listeners = Listeners::bind(&settings, reviews)?;
    let mut process = Process::default();
    let mut readiness = Readiness::default();

    let tls = if settings.needs_certificate() {
        let mut certificate = Certificate::new(&settings.cert_dir, tls::POLL_EVERY, Arc::clone(&metrics));
        certificate.poll();
        readiness = readiness.and("certificate", certificate.check());
        let config = certificate.server_config().map_err(|error| vec![tls_fault(&settings, &error)])?;
        process.steady.spawn("certificate", certificate.keep());
        Some(config)
    } else {
        None
    };

    let watched = Watched {
        notebooks: settings.enable_webhooks,
        children: settings.enable_reconcile,
        istio: settings.enable_reconcile && settings.routing.use_istio,
    };
    let (stores, tasks) = Stores::start(&client, watched);
    for (name, watch) in tasks {
        process.steady.spawn(name, watch);
    }
    let check = ClusterCheck::default();
    readiness = readiness.and("caches", check.check(stores.clone()));
    process.steady.spawn("cluster check", check.keep(client.clone(), access.url(), stores.clone()));

    if settings.enable_reconcile {
        let drain = process.drain.clone();
        let told = async move { drain.reached(DrainState::Announced).await };
        let reconcile = reconcile::run(client, stores.clone(), Arc::clone(&settings), Arc::clone(&metrics), told);
        process.draining.spawn("reconcile", reconcile);
    }

    let drain = process.drain.clone();
    readiness = readiness.and("listener", move || match drain.state() {
        DrainState::Serving => Ok(()),
        DrainState::Announced | DrainState::Closing => Err("shutting down".to_owned()),
    });
    let lookups = {
        let _entered = reviews.enter();
        access.client().map_err(|fault| vec![fault])?
    };
    let admission = admission(&settings, lookups, stores, &metrics);
    listeners.serve(&settings, &mut process, tls.as_ref(), &metrics, admission, Arc::new(readiness));
    Ok(process)
}

fn tls_fault(settings: &Settings, error: &dyn std::error::Error) -> Fault {
    Fault {
        name: settings::WEBHOOK_CERT_DIR.name(),
        value: Some(settings.cert_dir.to_string_lossy().into_owned()),
        rule: format!("TLS cannot be set up: {error}"),
    }
}

fn admission(settings: &Settings, client: kube::Client, stores: Stores, metrics: &Arc<Metrics>) -> Router {
    if settings.enable_webhooks {
        for registration in &webhook::REGISTRATIONS {
            metrics.announce_webhook(registration.path);
        }
    }
    let lookup = ClusterLookup::new(client, stores);
    webhook::router(
        Arc::new(lookup),
        Arc::new(settings.policy.clone()),
        Arc::clone(metrics) as Arc<dyn webhook::Observer>,
    )
}

/// The listeners that are on, and where they ended up listening.
struct Listeners {
    webhook: Option<(TcpListener, SocketAddr)>,
    health: Option<(TcpListener, SocketAddr)>,
    metrics: Option<(TcpListener, SocketAddr)>,
    /// Serves the webhook.
    reviews: Handle,
}

impl Listeners {
    fn bind(settings: &Settings, reviews: &Handle) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut bind = |setting: &settings::Setting, address: Option<Listen>| {
            let address = address?;
            serve::bind(address)
                .map_err(|error| {
                    let rule =
                        format!("cannot listen there ({error}): choose another address, or end what listens there");
                    faults.push(Fault { name: setting.name(), value: Some(address.to_string()), rule });
                })
                .ok()
        };
        let webhook_address = settings.enable_webhooks.then_some(settings.webhook_address);
        let webhook = {
            // It is told of new connections by the runtime in which it was made.
            let _entered = reviews.enter();
            bind(&settings::WEBHOOK_BIND_ADDRESS, webhook_address)
        };
        let listeners = Self {
            webhook,
            health: bind(&settings::HEALTH_PROBE_BIND_ADDRESS, settings.health_address),
            metrics: bind(&settings::METRICS_BIND_ADDRESS, settings.metrics_address),
            reviews: reviews.clone(),
        };
        if faults.is_empty() { Ok(listeners) } else { Err(faults) }
    }

    fn serve(
        self,
        settings: &Settings,
        process: &mut Process,
        tls: Option<&Arc<ServerConfig>>,
        metrics: &Arc<Metrics>,
        admission: Router,
        readiness: Arc<Readiness>,
    ) {
        let address = |bound: &Option<(TcpListener, SocketAddr)>| {
            bound.as_ref().map_or("off".to_owned(), |(_, at)| at.to_string())
        };
        tracing::info!(
            webhook_address = address(&self.webhook),
            health_address = address(&self.health),
            metrics_address = address(&self.metrics),
            "listening"
        );
        let limits = Limits::default().within_descriptors(metrics::max_descriptors());
        // Probes and scrapes go on to the very end: they tell how it comes.
        let few = Limits { connections: limits.connections.min(FEW_CONNECTIONS), ..limits };
        let server = |name, listener, tls: Option<&Arc<ServerConfig>>, router, limits, drain: &Drain| {
            let (tls, metrics, drain) = (tls.cloned(), Arc::clone(metrics), drain.clone());
            Server { name, listener, tls, router, limits, metrics, drain }.run()
        };
        if let Some((listener, _)) = self.webhook {
            let server = server("webhook", listener, tls, admission, limits, &process.drain);
            process.draining.spawn_on("webhook server", server, &self.reviews);
        }
        let no_drain = Drain::default();
        if let Some((listener, _)) = self.health {
            let router = health::router(readiness);
            process.steady.spawn("health server", server("health", listener, None, router, few, &no_drain));
        }
        if let Some((listener, _)) = self.metrics {
            let router = metrics_router(Arc::clone(metrics));
            let tls = tls.filter(|_| settings.metrics_secure);
            process.steady.spawn("metrics server", server("metrics", listener, tls, router, few, &no_drain));
        }
    }
}

fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let scrape = move || {
        let encoded = metrics.encode();
        async move {
            match encoded {
                Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)),
                Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    };
    Router::new().route("/metrics", get(scrape))
}
