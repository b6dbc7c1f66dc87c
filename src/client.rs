//! The client of the API server: credentials, timeouts and user agent.

mod guard;
mod pages;

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Uri};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::api::{DeleteParams, Preconditions};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use serde_json::{Value, json};
use tower::layer::util::Stack;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::timeout::ResponseBodyTimeoutLayer;

use crate::config::{SettingError, settings};
use guard::GuardLayer;

pub use guard::{NotLeader, WriteGuard};
pub use pages::{for_each, list_all};

/// For the connection and its TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// From a request to the headers of its response, also for the start of a watch.
const RESPONSE: Duration = Duration::from_secs(15);
/// Between two chunks of a response. Watches give up a little earlier, to be resumed.
const SILENCE: Duration = Duration::from_secs(90);
/// The most that a connection reads at once: two TLS records. The room stays for as long as the connection, and without a limit
/// the long list that each watch begins with makes it 400 KiB.
const READ_BUFFER: usize = 32 << 10;
/// How long the kernel goes on delivering what the other side does not acknowledge. A write must not arrive when the network is back
/// and somebody else is the leader.
const UNDELIVERED: Duration = Duration::from_secs(10);
/// How long a connection without a request is kept.
const IDLE: Duration = Duration::from_secs(90);
/// For one request, with all of its response. Shorter than [`RESPONSE`], so that the loop goes on with others.
const REQUEST: Duration = Duration::from_secs(10);

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was none in time. What was to be written may have been.
    #[error("the API server did not answer in time")]
    TimedOut,
    /// The API server refused it, or could not be reached, or its answer could not be read.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl CallError {
    /// Whether the API server answered that there is no such object; not that it does not serve the resource.
    pub fn is_object_missing(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 404 && names_object(status))
    }
}

/// The answer to a request, if it comes within ten seconds.
pub async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    within(REQUEST, request).await
}

/// The answer to a request, if it comes within `limit`.
pub async fn within<T>(limit: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// The configuration of a client. Nothing is sent yet, so an unreachable API server is not an error here.
pub struct Access {
    config: Config,
    /// The setting that errors in the configuration name.
    setting: SettingError,
}

impl Access {
    /// Reads the kubeconfig, or the service account of the pod.
    pub async fn configure(kubeconfig: Option<&Path>) -> Result<Self, SettingError> {
        let name = settings::KUBECONFIG.full_name();
        let value = kubeconfig.map(|path| path.to_string_lossy().into_owned());
        let setting = SettingError { name: name.clone(), value, rule: String::new() };
        let mut config = match kubeconfig {
            Some(paths) => from_files(paths).await.map_err(|rule| SettingError { rule, ..setting.clone() })?,
            None => Config::incluster().map_err(|error| {
                let rule = format!(
                    "not set, and not running in a pod with a service account ({error}): set a kubeconfig file"
                );
                SettingError { name, value: None, rule }
            })?,
        };
        if config.proxy_url.is_some() {
            // It may hold a password.
            let rule = "asks for a proxy (proxy-url, or the variable HTTPS_PROXY), which is not supported".to_owned();
            return Err(SettingError { rule, ..setting });
        }
        config.connect_timeout = Some(CONNECT);
        // Every caller has its own backoff; the built-in one would retry each failing call up to 15 times.
        config.default_retry = false;
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_static(concat!("workspaces-controller/", env!("CARGO_PKG_VERSION")))));
        Ok(Self { config, setting })
    }

    /// Where the API server is.
    pub fn url(&self) -> Uri {
        self.config.cluster_url.clone()
    }

    /// A client with connections of its own, which run on the runtime that it is created in.
    pub fn client(&self) -> Result<Client, SettingError> {
        self.build(None, UNDELIVERED)
    }

    /// A client that writes only until the guard says. What it sent at the last moment is delivered within `undelivered`, or not at
    /// all.
    pub fn guarded_client(&self, guard: WriteGuard, undelivered: Duration) -> Result<Client, SettingError> {
        self.build(Some(guard), undelivered.min(UNDELIVERED))
    }

    fn build(&self, guard: Option<WriteGuard>, undelivered: Duration) -> Result<Client, SettingError> {
        build(&self.config, IDLE, guard, undelivered).map_err(|error| SettingError {
            rule: format!("cannot be used: {}", causes(&error)),
            ..self.setting.clone()
        })
    }
}

/// As kube builds its clients, but with bounded buffers, and without what is not used here: retries, proxies, compression and
/// log lines.
fn build(config: &Config, idle: Duration, guard: Option<WriteGuard>, undelivered: Duration) -> kube::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_tcp_user_timeout(Some(undelivered));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    let connections: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        // Without a timer only those that are about to be used again are looked at.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle)
        .http1_max_buf_size(READ_BUFFER)
        .build(connector);
    #[cfg(feature = "otel")]
    let connections = crate::telemetry::traces::TracedRequests(connections);
    let service = ServiceBuilder::new()
        .option_layer(guard.map(GuardLayer))
        .layer(in_due_time())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// The limits of each response. They are not those of the connection, whose timer would wake the process once more for each read.
fn in_due_time() -> Stack<ResponseBodyTimeoutLayer, TimeoutLayer> {
    Stack::new(ResponseBodyTimeoutLayer::new(SILENCE), TimeoutLayer::new(RESPONSE))
}

/// As kubectl reads `KUBECONFIG`: several files separated by colons, the first one wins.
async fn from_files(paths: &Path) -> Result<Config, String> {
    let mut merged = Kubeconfig::default();
    for path in std::env::split_paths(paths) {
        let read = Kubeconfig::read_from(&path).map_err(|error| format!("cannot be read: {}", causes(&error)))?;
        merged = merged.merge(read).map_err(|error| format!("cannot be merged: {}", causes(&error)))?;
    }
    let config = Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default()).await;
    config.map_err(|error| format!("is not complete: {}", causes(&error)))
}

/// Whether a `Status` is about an object (one that is not found, for example), not about a resource that is not served.
pub fn names_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// The parameters of a delete that fails (409) if the name belongs to an object with another uid by now.
pub fn delete_only(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// The JSON patch that removes that finalizer, at this index of the object with that uid, and no other that may have its place by now.
pub fn finalizer_removal(uid: &str, index: usize, finalizer: &str) -> Value {
    let path = format!("/metadata/finalizers/{index}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": path, "value": finalizer},
        {"op": "remove", "path": path},
    ])
}

/// An error with its causes on one line, without repetitions. What the API server answered is all there is to say of a request.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = answer(error).map_or_else(|| error.to_string(), str::to_owned);
    let mut next = if answer(error).is_some() { None } else { error.source() };
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text += ": ";
            text += &more;
        }
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The message of the API server, where that is the error: the error itself repeats it in several forms.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let error = match error.downcast_ref() {
        Some(CallError::Api(error)) => Some(error),
        Some(CallError::TimedOut) => None,
        None => error.downcast_ref(),
    };
    match error? {
        kube::Error::Api(status) if !status.message.is_empty() => Some(&status.message),
        _ => None,
    }
}

/// The root cause of an error: the message of the system or the peer, without the context that the layers above added.
pub fn root_cause(error: &dyn Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// Whether the API server may answer otherwise a moment later: it is overloaded, or cannot serve anybody.
pub fn is_transient(status: &Status) -> bool {
    matches!(status.code, 429 | 500..)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_missing_or_broken_kubeconfig_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = Access::configure(Some(&missing)).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("--kubeconfig (KUBECONFIG)={missing:?}: cannot be read: ")), "{error}");
        assert_eq!(error.lines().count(), 1);

        let broken = dir.path().join("broken");
        std::fs::write(&broken, "clusters: [").unwrap();
        let error = Access::configure(Some(&broken)).await.err().unwrap().to_string();
        assert!(error.starts_with("--kubeconfig (KUBECONFIG)="), "{error}");
        assert_eq!(error.lines().count(), 1);

        let empty = dir.path().join("empty");
        std::fs::write(&empty, "apiVersion: v1\nkind: Config\n").unwrap();
        let error = Access::configure(Some(&empty)).await.err().unwrap().to_string();
        assert!(error.contains("is not complete: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[tokio::test]
    async fn a_proxy_is_refused_without_its_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kubeconfig = "
            current-context: c
            contexts: [{name: c, context: {cluster: c, user: u}}]
            clusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443', proxy-url: 'http://user:secret@proxy:3128'}}]
            users: [{name: u, user: {token: t}}]";
        std::fs::write(&file, kubeconfig).unwrap();
        let error = Access::configure(Some(file.path())).await.err().unwrap().to_string();
        let expected = format!(
            "--kubeconfig (KUBECONFIG)={:?}: asks for a proxy (proxy-url, or the variable HTTPS_PROXY), which is not supported",
            file.path()
        );
        assert_eq!(error, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_stops_coming_is_given_up() {
        let service = tower::service_fn(|request: http::Request<Body>| async move {
            if request.uri().path() == "/unanswered" {
                std::future::pending::<()>().await;
            }
            let part = Ok::<_, Infallible>(Frame::data(Bytes::from("{")));
            Ok::<_, BoxError>(http::Response::new(StreamBody::new(stream::iter([part]).chain(stream::pending()))))
        });
        let service = ServiceBuilder::new().layer(in_due_time()).map_err(BoxError::from).service(service);
        let client = Client::new(service, "default");
        for (path, seconds) in [("/unanswered", RESPONSE), ("/unfinished", SILENCE)] {
            let began = Instant::now();
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap_err();
            assert_eq!(began.elapsed().as_secs(), seconds.as_secs(), "{path}");
        }
    }

    /// Serves one request after the other on each connection; counts those that are open.
    async fn serve(listener: TcpListener, open: Arc<AtomicUsize>) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.fetch_add(1, Ordering::SeqCst);
            let open = open.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await);
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    #[tokio::test]
    async fn connections_that_a_burst_needed_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let open = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, open.clone()));
        let client = build(&config, Duration::from_millis(200), None, UNDELIVERED).unwrap();
        let get = || client.request_text(http::Request::get("/").body(Vec::new()).unwrap());
        for answer in futures::future::join_all((0..10).map(|_| get())).await {
            assert_eq!(answer.unwrap(), "{}");
        }
        assert!(open.load(Ordering::SeqCst) > 1);
        // One goes on being used.
        tokio::time::timeout(Duration::from_secs(30), async {
            while open.load(Ordering::SeqCst) > 1 {
                get().await.unwrap();
            }
        })
        .await
        .unwrap();
    }

    #[test]
    fn causes_are_not_repeated() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(inner);
        assert_eq!(causes(&outer), "connection refused");
    }

    #[test]
    fn what_the_api_server_answered_is_said_once() {
        let refused = || kube::Error::Api(Status::failure("pods is\nforbidden", "Forbidden").with_code(403).boxed());
        assert_eq!(causes(&refused()), "pods is forbidden");
        assert_eq!(causes(&CallError::from(refused())), "pods is forbidden");
        assert_eq!(causes(&CallError::TimedOut), "the API server did not answer in time");
    }
}
