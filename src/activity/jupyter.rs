//! Queries the API of a Jupyter server, without credentials, for what it knows of its use.
//!
//! A kernel that computes is activity now, however long ago it last sent something: the server sets `last_activity` only when
//! a message comes. A server that does not say what its kernels do is not idle: the probe fails.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use crds::ports::ConnectPaths;
use crds::workspace_kind::{PodTemplate, ProxiedPort};
use futures::future::{Either, select};
use http::header::{ACCEPT, CONNECTION, DATE, HOST, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::probe;
use super::report::{Found, ProbeFailure, ProbeReport};

/// For a whole probe; as long as the Go controller waits.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const BODY_MAX: usize = 1 << 20;
/// The longest head of an answer, and what is read at once.
const BUFFER: usize = 32 << 10;
/// Asks Jupyter not to count the request as activity. Otherwise each probe would find the one before it.
const UNTRACKED: &str = "?no_track_activity=1";
const AGENT: &str = concat!("workspaces-controller/", env!("CARGO_PKG_VERSION"));

/// A Jupyter server in a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JupyterServer {
    /// The address of the pod.
    pub ip: IpAddr,
    /// The port that the server listens on.
    pub port: u16,
    /// The path that the server is below, with both slashes: [`base_path`].
    pub base_path: String,
}

/// The path that the server on a port of the Workspace is below, with both slashes: that of the port, unless Istio removes it.
pub fn base_path(
    template: &PodTemplate,
    port_id: &str,
    paths: &ConnectPaths,
    namespace: &str,
    workspace: &str,
) -> String {
    if template.proxied_port(port_id).is_some_and(ProxiedPort::removes_path_prefix) {
        return "/".to_owned();
    }
    paths.path(template.dialect(), namespace, workspace, port_id)
}

/// When the server, its kernels or its terminals were last active.
pub async fn probe(server: &JupyterServer, limit: Duration) -> ProbeReport {
    let activity = async {
        let failed = |error: RequestError| ProbeFailure::Failed(format!("Jupyter probe failed: {error}"));
        activity(server).await.map_err(failed)
    };
    probe::within(limit, activity).await
}

async fn activity(server: &JupyterServer) -> Result<Found, RequestError> {
    let (status, behind): (ServerStatus, _) = get(server, "api/status").await?;
    let (kernels, _): (Vec<Kernel>, _) = get(server, "api/kernels").await?;
    let terminals = match get(server, "api/terminals").await {
        // As a server answers that has none.
        Err(RequestError { cause: Cause::Status(StatusCode::NOT_FOUND, _), .. }) => Vec::new(),
        terminals => terminals?.0,
    };
    Ok(match newest(&status, &kernels, &terminals) {
        Found::LastActive(time) => Found::LastActive(time.saturating_add(behind).unwrap_or(Timestamp::MAX)),
        found => found,
    })
}

/// How far the clock of a server is behind that of this process, if it says what time it has: its times are too old by that.
/// Not more exact than the header, and nothing where it is ahead: a time in the future is clamped elsewhere.
fn clock_behind(headers: &HeaderMap, now: Timestamp) -> SignedDuration {
    const EXACT: SignedDuration = SignedDuration::from_secs(2);
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    date.map(|date| now.duration_since(date)).filter(|behind| *behind > EXACT).unwrap_or_default()
}

/// The server. What it says of its activity includes that of its kernels and terminals, but those that have ended.
#[derive(Debug, Deserialize)]
struct ServerStatus {
    last_activity: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Kernel {
    execution_state: String,
    last_activity: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Terminal {
    last_activity: Option<Timestamp>,
}

fn newest(status: &ServerStatus, kernels: &[Kernel], terminals: &[Terminal]) -> Found {
    if kernels.iter().any(|kernel| matches!(&*kernel.execution_state, "busy" | "starting")) {
        return Found::ActiveNow;
    }
    let kernels = kernels.iter().filter_map(|kernel| kernel.last_activity);
    let terminals = terminals.iter().filter_map(|terminal| terminal.last_activity);
    Found::LastActive(kernels.chain(terminals).fold(status.last_activity, Timestamp::max))
}

/// A request that has no answer which can be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
struct RequestError {
    path: &'static str,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    /// The connection failed: refused, reset, unreachable.
    #[error("{0}")]
    Connection(io::ErrorKind),
    #[error("the connection was closed before the answer was complete")]
    Closed,
    #[error("the answer is not HTTP/1")]
    Protocol,
    #[error("{0}{hint}", hint = hint(*.0, .1))]
    Status(StatusCode, String),
    #[error("the answer has more than 1 MiB")]
    TooLong,
    #[error("the answer is not one of a Jupyter server")]
    Undecodable,
}

/// What to do about a status, in parentheses.
fn hint(status: StatusCode, base_path: &str) -> String {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            " (is a token or a password set? the probe has none)".to_owned()
        }
        StatusCode::NOT_FOUND => format!(" (is the base URL of the server {base_path}?)"),
        status if status.is_redirection() => " (redirects are not followed)".to_owned(),
        _ => String::new(),
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.kind())
    }
}

impl From<hyper::Error> for Cause {
    fn from(error: hyper::Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            match cause.downcast_ref::<io::Error>() {
                Some(io) if io.kind() != io::ErrorKind::UnexpectedEof => return Self::Connection(io.kind()),
                _ => source = cause.source(),
            }
        }
        if error.is_parse() { Self::Protocol } else { Self::Closed }
    }
}

/// What is at the path, and how far the clock of the server is behind.
async fn get<T: DeserializeOwned>(
    server: &JupyterServer,
    path: &'static str,
) -> Result<(T, SignedDuration), RequestError> {
    fetch(server, path).await.map_err(|cause| RequestError { path, cause })
}

/// Over a connection of its own: the next probe is minutes away, and the server may keep none open.
async fn fetch<T: DeserializeOwned>(server: &JupyterServer, path: &str) -> Result<(T, SignedDuration), Cause> {
    let address = SocketAddr::new(server.ip, server.port);
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(stream).await?;
    let request = Request::get(format!("{}{path}{UNTRACKED}", server.base_path))
        .header(HOST, address.to_string())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Cause::Protocol)?;
    let answer = std::pin::pin!(async {
        let response = sender.send_request(request).await?;
        let behind = clock_behind(response.headers(), Timestamp::now());
        Ok::<_, Cause>((read(response, &server.base_path).await?, behind))
    });
    let (body, behind) = match select(answer, connection).await {
        Either::Left((answered, _)) => answered?,
        // The last of the answer may still have to be taken from the connection, whose error says more.
        Either::Right((ended, answer)) => match (answer.await, ended) {
            (Err(_), Err(error)) => return Err(error.into()),
            (answered, _) => answered?,
        },
    };
    let decoded = serde_json::from_slice(&body).map_err(|_| Cause::Undecodable)?;
    Ok((decoded, behind))
}

/// The body, copied together: kept as it comes, each of its chunks would take more than the one byte that it may have.
async fn read(response: Response<Incoming>, base_path: &str) -> Result<Vec<u8>, Cause> {
    if response.status() != StatusCode::OK {
        return Err(Cause::Status(response.status(), base_path.to_owned()));
    }
    let (mut body, mut read) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if read.len() + data.len() > BODY_MAX {
            return Err(Cause::TooLong);
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
