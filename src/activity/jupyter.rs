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
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::Timestamp;
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
    let status: ServerStatus = get(server, "api/status").await?;
    let kernels: Vec<Kernel> = get(server, "api/kernels").await?;
    let terminals = match get(server, "api/terminals").await {
        // As a server answers that has none.
        Err(RequestError { cause: Cause::Status(StatusCode::NOT_FOUND, _), .. }) => Vec::new(),
        terminals => terminals?,
    };
    Ok(newest(&status, &kernels, &terminals))
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

async fn get<T: DeserializeOwned>(server: &JupyterServer, path: &'static str) -> Result<T, RequestError> {
    fetch(server, path).await.map_err(|cause| RequestError { path, cause })
}

/// Over a connection of its own: the next probe is minutes away, and the server may keep none open.
async fn fetch<T: DeserializeOwned>(server: &JupyterServer, path: &str) -> Result<T, Cause> {
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
        read(response, &server.base_path).await
    });
    let body = match select(answer, connection).await {
        Either::Left((body, _)) => body?,
        // The last of the answer may still have to be taken from the connection, whose error says more.
        Either::Right((ended, answer)) => match (answer.await, ended) {
            (Err(_), Err(error)) => return Err(error.into()),
            (body, _) => body?,
        },
    };
    serde_json::from_slice(&body).map_err(|_| Cause::Undecodable)
}

async fn read(response: Response<Incoming>, base_path: &str) -> Result<Bytes, Cause> {
    if response.status() != StatusCode::OK {
        return Err(Cause::Status(response.status(), base_path.to_owned()));
    }
    match Limited::new(response.into_body(), BODY_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Cause::TooLong),
        Err(error) => Err(error.downcast::<hyper::Error>().map_or(Cause::Closed, |error| (*error).into())),
    }
}

#[cfg(test)]
mod tests;
