//! The reconcile loop inside the test: stores and loop as the process runs them, as a user of their own.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::Cluster;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use workspaces_controller::cli::{self, Invocation};
use workspaces_controller::client::Access;
use workspaces_controller::config::{Environment, Settings};
use workspaces_controller::metrics::Metrics;
use workspaces_controller::reconcile::{self, RoutesOfAnother};
use workspaces_controller::stores::{Stores, Watched};

/// The user that the loop acts as, so that the audit log distinguishes its writes.
pub const USER: &str = "reconcile";

/// A running loop. It ends when stopped, or with the test.
pub struct Loop {
    runtime: Option<Runtime>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RoutesOfAnother>>,
    metrics: Arc<Metrics>,
}

pub fn settings(args: &[&str]) -> Settings {
    let line = std::iter::once("workspaces-controller").chain(args.iter().copied()).map(OsString::from);
    match cli::parse(line, &Environment::from_iter(Vec::<(OsString, OsString)>::new())) {
        Ok(Invocation::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

/// After how many writes a loop can write no more, as a process that is killed then.
pub struct WriteLimit {
    allowed: usize,
    done: AtomicUsize,
}

impl WriteLimit {
    pub fn new(allowed: usize) -> Arc<Self> {
        Arc::new(Self { allowed, done: AtomicUsize::new(0) })
    }

    /// Whether all that were allowed have been answered.
    pub fn is_reached(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.allowed
    }
}

/// Sends a request; writes one at a time, and none beyond the limit.
async fn send_limited(
    client: Client,
    limit: Option<Arc<WriteLimit>>,
    turn: Arc<Mutex<()>>,
    request: Request<Body>,
) -> kube::Result<Response<Body>> {
    let is_review = request.uri().path().ends_with("accessreviews");
    let Some(limit) = limit.filter(|_| request.method() != Method::GET && !is_review) else {
        return client.send(request).await;
    };
    let _turn = turn.lock().await;
    if limit.is_reached() {
        std::future::pending::<()>().await;
    }
    let answer = client.send(request).await;
    limit.done.fetch_add(1, Ordering::SeqCst);
    answer
}

/// As a proxy that knows nothing of the path.
fn not_found() -> Response<Body> {
    Response::builder().status(404).body(Body::from(b"404 page not found\n".to_vec())).unwrap()
}

impl Loop {
    pub fn start(cluster: &Cluster, args: &[&str]) -> Self {
        Self::start_limited(cluster, args, None)
    }

    /// One that can write only so often.
    pub fn start_limited(cluster: &Cluster, args: &[&str], limit: Option<Arc<WriteLimit>>) -> Self {
        let turn = Arc::default();
        Self::start_sending(cluster, args, move |client, request| {
            send_limited(client, limit.clone(), Arc::clone(&turn), request)
        })
    }

    /// One behind a proxy that answers the requests which `is_lost` is true of.
    pub fn start_behind_proxy(
        cluster: &Cluster,
        args: &[&str],
        is_lost: impl Fn(&Request<Body>) -> bool + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start_sending(cluster, args, move |client, request| {
            let is_lost = is_lost(&request);
            async move { if is_lost { Ok(not_found()) } else { client.send(request).await } }
        })
    }

    /// One whose requests are sent by `send`.
    pub fn start_sending<F>(
        cluster: &Cluster,
        args: &[&str],
        send: impl Fn(Client, Request<Body>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = kube::Result<Response<Body>>> + Send + 'static,
    {
        // Another test of this process may have been faster.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let kubeconfig = cluster.kubeconfig(USER).unwrap();
        let settings = Arc::new(settings(args));
        let metrics = Arc::new(Metrics::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = runtime.spawn({
            let metrics = metrics.clone();
            async move {
                let service = Access::configure(Some(&kubeconfig)).await.unwrap().client().unwrap();
                let client = Client::new(tower::service_fn(move |request| send(service.clone(), request)), "default");
                let watched = Watched { notebooks: false, ..Watched::under(&settings) };
                let (stores, tasks) = Stores::start(&client, watched);
                let counted = stores.clone();
                metrics.count_workspaces(move || counted.workspace_counts());
                for (_, watch) in tasks {
                    tokio::spawn(watch);
                }
                reconcile::run(client, stores, settings, metrics, async { drop(stopped.await) }).await
            }
        });
        Self { runtime: Some(runtime), stop, ended, metrics }
    }

    /// How many reconciles of Workspaces there were, whatever their result.
    pub fn reconciles(&self) -> u64 {
        self.reconciles_by("workspace")
    }

    /// How many reconciles there were by that controller, whatever their result.
    pub fn reconciles_by(&self, controller: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let of_controller = format!("controller_runtime_reconcile_total{{controller=\"{controller}\",");
        let samples = text.lines().filter(|line| line.starts_with(&of_controller));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The samples of a metric, with their labels.
    pub fn samples(&self, name: &str) -> Vec<(String, u64)> {
        let text = self.metrics.encode().unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
        lines.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> String {
        let text = self.metrics.encode().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Why it does not start.
    pub fn refusal(mut self) -> RoutesOfAnother {
        let runtime = self.runtime.take().unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_mins(1), self.ended).await });
        runtime.shutdown_background();
        ended.unwrap().unwrap().unwrap_err()
    }

    /// Ends it as a kill does: nothing more is done.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Stops the loop and its watches.
    pub fn stop(mut self) {
        let runtime = self.runtime.take().unwrap();
        self.stop.send(()).unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), self.ended).await });
        ended.unwrap().unwrap().unwrap();
        runtime.shutdown_background();
    }
}
