//! A server inside the test, and clients that can behave badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use certs::{Ca, FileSource, Issued, Reloader, Resolver};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use workspaces_controller::metrics::Metrics;
use workspaces_controller::serve::{self, Drain, Server, ServerLimits};

pub type Tls = TlsStream<TcpStream>;

pub const DAY: Duration = Duration::from_hours(24);

/// A running server; it is dropped with the test's runtime.
pub struct TestServer {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
    pub task: JoinHandle<()>,
    connector: TlsConnector,
}

pub fn new_ca() -> Ca {
    Ca::issue("test ca", SystemTime::now(), 10 * DAY).unwrap()
}

pub fn leaf(ca: &Ca, validity: Duration) -> Issued {
    ca.issue_leaf(&["127.0.0.1".into()], SystemTime::now(), validity).unwrap()
}

/// Trusts that CA alone.
pub fn connector(ca_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

pub async fn connect(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<Tls> {
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::from(address.ip()), stream).await
}

impl TestServer {
    /// Serves over TLS with a certificate of its own.
    pub fn start(router: Router, limits: ServerLimits) -> Self {
        let ca = new_ca();
        let issued = leaf(&ca, DAY);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tls.crt"), &issued.chain_pem).unwrap();
        std::fs::write(dir.path().join("tls.key"), &issued.key_pem).unwrap();
        let resolver = Arc::new(Resolver::new());
        Reloader::new(FileSource::new(dir.path()), Arc::clone(&resolver)).poll(SystemTime::now());
        let tls = Arc::new(certs::server_config(resolver, &[certs::ALPN_HTTP_1_1], None).unwrap());
        Self::start_with(router, limits, tls, &ca.cert_pem())
    }

    pub fn start_with(router: Router, limits: ServerLimits, tls: Arc<ServerConfig>, ca_pem: &str) -> Self {
        let (listener, address) = serve::bind("127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let drain = Drain::default();
        let server = Server {
            name: "test",
            listener,
            tls: Some(tls),
            router,
            limits,
            metrics: Arc::clone(&metrics),
            drain: drain.clone(),
        };
        Self { address, metrics, drain, task: tokio::spawn(server.run()), connector: connector(ca_pem) }
    }

    pub async fn connect(&self) -> std::io::Result<Tls> {
        connect(&self.connector, self.address).await
    }

    /// What tasks need to connect.
    pub fn way(&self) -> (TlsConnector, SocketAddr) {
        (self.connector.clone(), self.address)
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// Whether the server will close the connection after it.
    pub fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nconnection: close")
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A request with a body, as text.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends a whole request and reads the response.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> std::io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    read_answer(stream).await
}

/// Reads a response with a Content-Length.
pub async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|value| value.trim().to_owned()))
        .map_or(0, |value| value.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = String::from_utf8(bytes[head_end..head_end + length].to_vec()).unwrap();
    Ok(Answer { status, head, body })
}

/// How long until the server has closed the connection, whatever it sends before.
pub async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S, since: Instant) -> Duration {
    let mut discarded = [0; 4096];
    while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    since.elapsed()
}
