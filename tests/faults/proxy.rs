//! An HTTPS proxy between a process and the API server, which makes faults: answers of its own, answers that never come, watches that
//! are late, end, repeat themselves or say nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use certs::{Ca, FileSource, Reloader, Resolver};
use futures::StreamExt as _;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use workspaces_controller::client::Access;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;
type Decide = Arc<dyn Fn(&Request<()>) -> Treatment + Send + Sync>;

/// What is done with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treatment {
    Forward,
    /// Answered with this status by the proxy; the API server does not learn of it.
    Answer(u16),
    /// Never answered; the API server does not learn of it.
    Swallow,
}

/// What is done with the events of every watch, also of those that are open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Events {
    Forward,
    /// Each is late by so much.
    Late(Duration),
    /// Each comes twice.
    Twice,
    /// None comes, and nothing else either.
    Silence,
}

/// How every watch that is open ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// In the middle of an event.
    Cut,
    /// With an ERROR event: it is too old.
    Expired,
}

/// A running proxy. It ends with the test.
pub struct Proxy {
    address: SocketAddr,
    ca_file: PathBuf,
    state: Arc<State>,
    _runtime: Runtime,
}

struct State {
    upstream: Client,
    decide: Mutex<Decide>,
    events: watch::Sender<Events>,
    /// How often the watches were ended, and how the last time.
    ends: watch::Sender<(usize, End)>,
    /// How often each resource was listed, also as the beginning of a watch, and also where the proxy refused that.
    lists: Mutex<BTreeMap<String, usize>>,
}

impl Proxy {
    /// For the user of that kubeconfig.
    pub fn start(kubeconfig: &Path) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (now, day) = (SystemTime::now(), Duration::from_hours(24));
        let ca = Ca::issue("proxy", now, day).unwrap();
        let leaf = ca.issue_leaf(&["127.0.0.1".into()], now, day).unwrap();
        let dir = kubeconfig.with_extension("proxy");
        std::fs::create_dir_all(&dir).unwrap();
        let ca_file = dir.join("ca.crt");
        for (file, text) in [("ca.crt", ca.cert_pem()), ("tls.crt", leaf.chain_pem), ("tls.key", leaf.key_pem)] {
            std::fs::write(dir.join(file), text).unwrap();
        }
        let resolver = Arc::new(Resolver::new());
        Reloader::new(FileSource::new(&dir), Arc::clone(&resolver)).poll(now);
        let acceptor =
            TlsAcceptor::from(Arc::new(certs::server_config(resolver, &[certs::ALPN_HTTP_1_1], None).unwrap()));
        let (state, address) = runtime.block_on(async {
            let upstream = Access::configure(Some(kubeconfig)).await.unwrap().client().unwrap();
            let decide: Decide = Arc::new(|_| Treatment::Forward);
            let events = watch::Sender::new(Events::Forward);
            let ends = watch::Sender::new((0, End::Cut));
            let state = Arc::new(State { upstream, decide: Mutex::new(decide), events, ends, lists: Mutex::default() });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
            (state, address)
        });
        Self { address, ca_file, state, _runtime: runtime }
    }

    /// That kubeconfig, with the proxy in place of the API server.
    pub fn kubeconfig(&self, original: &Path) -> PathBuf {
        let text = std::fs::read_to_string(original).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let server = format!("https://{}", self.address);
        config["clusters"][0]["cluster"] = json!({"server": server, "certificate-authority": self.ca_file});
        let path = original.with_extension("through-proxy");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// From now on every request is treated so.
    pub fn treat(&self, decide: impl Fn(&Request<()>) -> Treatment + Send + Sync + 'static) {
        *self.state.decide.lock().unwrap() = Arc::new(decide);
    }

    /// From now on the events of every watch are treated so.
    pub fn events(&self, events: Events) {
        self.state.events.send_replace(events);
    }

    /// How often each resource of all namespaces was listed since this was asked last.
    pub fn take_lists(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.state.lists.lock().unwrap())
    }

    /// Ends every watch that is open.
    pub fn end_watches(&self, end: End) {
        self.state.ends.send_modify(|(times, last)| (*times, *last) = (*times + 1, end));
    }
}

/// Whether it starts a watch.
pub fn is_watch(request: &Request<()>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"))
}

/// Whether it changes something. Reviews of access do not.
pub fn is_write(request: &Request<()>) -> bool {
    request.method() != Method::GET && !request.uri().path().ends_with("accessreviews")
}

/// The resource of which all objects are listed, also as the beginning of a watch.
fn listed(request: &Request<()>) -> Option<String> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let is_list =
        if is_watch(request) { query.contains("sendInitialEvents=true") } else { request.method() == Method::GET };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (["api", _, resource] | ["apis", _, _, resource]) = parts.as_slice() else { return None };
    is_list.then(|| (*resource).to_owned())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| serve(Arc::clone(&state), request));
            // The client may close it at any time.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let head = Request::from_parts(parts.clone(), ());
    if let Some(resource) = listed(&head) {
        *state.lists.lock().unwrap().entry(resource).or_default() += 1;
    }
    let decide = Arc::clone(&state.decide.lock().unwrap());
    match decide(&head) {
        Treatment::Forward => {}
        Treatment::Answer(code) => return Ok(status(code)),
        Treatment::Swallow => return std::future::pending().await,
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut forwarded = Request::builder().method(parts.method).uri(parts.uri.path_and_query().unwrap().as_str());
    for name in ["content-type", "accept"] {
        if let Some(value) = parts.headers.get(name) {
            forwarded = forwarded.header(name, value);
        }
    }
    let Ok(answer) = state.upstream.send(forwarded.body(Body::from(body.to_vec())).unwrap()).await else {
        return Ok(status(502));
    };
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove("transfer-encoding");
    if !is_watch(&head) || !parts.status.is_success() {
        return Ok(Response::from_parts(parts, body.map_err(BoxError::from).boxed_unsync()));
    }
    let (sender, receiver) = mpsc::channel(1024);
    tokio::spawn(pass_events(body, sender, state.events.subscribe(), state.ends.subscribe()));
    let frames = futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
}

fn status(code: u16) -> Response<AnyBody> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        _ => "ServiceUnavailable",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                      "message": "made by the proxy", "reason": reason, "code": code});
    let body = Full::from(body.to_string()).map_err(|never| match never {});
    Response::builder().status(code).header("content-type", "application/json").body(body.boxed_unsync()).unwrap()
}

/// Passes the lines of a watch on, in one queue with its end: nothing comes after that. Dropping the sender ends it; an error in it
/// breaks it.
async fn pass_events(
    body: Body,
    sender: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
    mut events: watch::Receiver<Events>,
    mut ends: watch::Receiver<(usize, End)>,
) {
    let mut data = body.into_data_stream();
    let (queue, mut queued) = mpsc::channel::<(Instant, Result<Bytes, BoxError>)>(4096);
    let client = sender.clone();
    tokio::spawn(async move {
        while let Some((due, line)) = queued.recv().await {
            sleep_until(due).await;
            if client.send(line.map(Frame::data)).await.is_err() {
                return;
            }
        }
    });
    let mut partial = Vec::new();
    loop {
        let now = *events.borrow_and_update();
        let chunk = tokio::select! {
            _ = events.changed() => continue,
            Ok(()) = ends.changed() => {
                let how = ends.borrow().1;
                return end(how, &queue).await;
            }
            () = sender.closed() => return,
            chunk = data.next(), if now != Events::Silence => chunk,
        };
        let Some(Ok(chunk)) = chunk else { return };
        partial.extend_from_slice(&chunk);
        while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = partial.drain(..=end).collect();
            let late = if let Events::Late(by) = now { by } else { Duration::ZERO };
            let line = if now == Events::Twice { line.repeat(2) } else { line };
            if queue.send((Instant::now() + late, Ok(line.into()))).await.is_err() {
                return;
            }
        }
    }
}

async fn end(how: End, queue: &mpsc::Sender<(Instant, Result<Bytes, BoxError>)>) {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                      "message": "too old resource version", "reason": "Expired", "code": 410}});
    let (last, error) = match how {
        End::Expired => (format!("{gone}\n"), None),
        End::Cut => (r#"{"type":"MODIFIED","object":{"apiVersion":"kubefl"#.to_owned(), Some("cut")),
    };
    let lines = [Ok(last.into())].into_iter().chain(error.map(|error| Err(error.into())));
    for line in lines {
        drop(queue.send((Instant::now(), line)).await);
    }
}
