//! C1 and C2 through the server: rotation under load, and pairs that cannot be served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use certs::{Ca, Issued};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use tokio_rustls::TlsConnector;
use workspaces_controller::metrics::Metrics;
use workspaces_controller::serve::ServerLimits;
use workspaces_controller::tls;

use crate::client::{DAY, TestServer, Tls, connect, exchange, leaf, new_ca};
use crate::{exactly, within};

const ROTATIONS: usize = 10;

/// A Secret volume as the kubelet fills it: `tls.crt` -> `..data/tls.crt`, `..data` -> a directory never written again.
struct Volume {
    dir: TempDir,
    version: usize,
}

impl Volume {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
        }
        Self { dir, version: 0 }
    }

    fn publish(&mut self, fill: impl FnOnce(&Path)) {
        let old = self.dir.path().join(format!("..{}", self.version));
        self.version += 1;
        let name = format!("..{}", self.version);
        let new = self.dir.path().join(&name);
        fs::create_dir(&new).unwrap();
        fill(&new);
        symlink(&name, self.dir.path().join("..data_tmp")).unwrap();
        fs::rename(self.dir.path().join("..data_tmp"), self.dir.path().join("..data")).unwrap();
        let _ = fs::remove_dir_all(old);
    }

    fn publish_pair(&mut self, issued: &Issued) {
        self.publish(|dir| write(dir, &issued.chain_pem, &issued.key_pem));
    }
}

fn write(dir: &Path, certificate: &str, key: &str) {
    fs::write(dir.join("tls.crt"), certificate).unwrap();
    fs::write(dir.join("tls.key"), key).unwrap();
}

/// Puts something into a new version of a volume.
type Fill<'a> = Box<dyn Fn(&Path) + 'a>;

/// A server that follows a volume, and its certificate's checks.
struct Following {
    ca: Ca,
    volume: Volume,
    server: TestServer,
    metrics: Arc<Metrics>,
    ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Following {
    fn start(validity: Duration) -> Self {
        let ca = new_ca();
        let mut volume = Volume::new();
        volume.publish_pair(&leaf(&ca, validity));
        let metrics = Arc::new(Metrics::new());
        let mut certificate = tls::files::certificate(volume.dir.path(), Arc::clone(&metrics));
        certificate.poll();
        let ready = Box::new(certificate.check());
        let tls = certificate.server_config().unwrap();
        let server = TestServer::start_with(
            Router::new().route("/", get(|| async { "ok" })),
            ServerLimits::default(),
            tls,
            &ca.cert_pem(),
        );
        tokio::spawn(certificate.keep(tls::files::POLL_EVERY));
        Self { ca, volume, server, metrics, ready }
    }

    async fn served(&self) -> Vec<u8> {
        leaf_of(&self.server.connect().await.unwrap())
    }

    /// How long until another certificate than `old` is served.
    async fn replaced(&self, old: &[u8]) -> Duration {
        let began = Instant::now();
        while self.served().await == old {
            assert!(began.elapsed() < Duration::from_secs(10), "never replaced");
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.encode().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).parse().unwrap()
    }
}

fn leaf_of(stream: &Tls) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// One request on a new connection; the certificate that was served.
async fn visit(connector: &TlsConnector, address: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(connector, address).await?;
    let answer = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    assert_eq!(answer.status, 200);
    Ok(leaf_of(&stream))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_ten_rotations_at_100_requests_a_second() {
    let mut following = Following::start(DAY);
    let (connector, address) = following.server.way();
    let (seen, mut visits) = mpsc::unbounded_channel();
    let load = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            let (connector, seen) = (connector.clone(), seen.clone());
            tokio::spawn(async move {
                let _ = seen.send(visit(&connector, address).await);
            });
        }
    });
    let (mut requests, mut failed, mut slowest) = (0, Vec::new(), Duration::ZERO);
    let mut last = following.served().await;
    for _ in 0..ROTATIONS {
        following.volume.publish_pair(&leaf(&following.ca, DAY));
        let swapped = Instant::now();
        let mut took = None;
        // A second for each rotation, so that requests meet both sides of it.
        while swapped.elapsed() < Duration::from_secs(1) || took.is_none() {
            assert!(swapped.elapsed() < Duration::from_secs(10), "never replaced");
            let Some(visit) = visits.recv().await else { panic!("the load has ended") };
            requests += 1;
            match visit {
                Ok(certificate) if certificate != last && took.is_none() => {
                    took = Some(swapped.elapsed());
                    last = certificate;
                }
                Ok(_) => {}
                Err(error) => failed.push(error),
            }
        }
        slowest = slowest.max(took.unwrap());
    }
    load.abort();
    assert!(requests > 500, "{requests} requests");
    println!("C1 pass {requests} requests on new connections during {ROTATIONS} rotations");
    exactly("C1", &format!("requests that failed {failed:?}"), failed.len(), 0);
    within("C1", "slowest swap to its serial being served", slowest, Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_a_bad_pair_is_not_served_and_shows() {
    let mut following = Following::start(DAY);
    let good = leaf(&following.ca, DAY);
    let other = leaf(&following.ca, DAY);
    let expired = following
        .ca
        .issue_leaf(
            &["127.0.0.1".into()],
            std::time::SystemTime::now() - Duration::from_mins(1),
            Duration::from_secs(1),
        )
        .unwrap();
    let half = &good.chain_pem[..good.chain_pem.len() / 3];
    let bad: [(&str, Fill<'_>); 6] = [
        ("empty", Box::new(|dir| write(dir, "", ""))),
        ("cut", Box::new(|dir| write(dir, half, &good.key_pem))),
        ("mismatched", Box::new(|dir| write(dir, &good.chain_pem, &other.key_pem))),
        ("expired", Box::new(|dir| write(dir, &expired.chain_pem, &expired.key_pem))),
        ("a directory", Box::new(|dir| fs::create_dir(dir.join("tls.crt")).unwrap())),
        ("a dangling link", Box::new(|dir| symlink("nowhere", dir.join("tls.crt")).unwrap())),
    ];
    let mut slowest = Duration::ZERO;
    for (what, fill) in bad {
        let before = following.served().await;
        let errors = following.metric("certwatcher_read_certificate_errors_total");
        following.volume.publish(fill);
        let began = Instant::now();
        while following.metric("workspaces_certificate_last_read_successful") > 0.0 {
            assert!(began.elapsed() < Duration::from_secs(10), "{what}: no metric says so");
            sleep(Duration::from_millis(10)).await;
        }
        assert!(following.metric("certwatcher_read_certificate_errors_total") > errors, "{what}");
        assert_eq!(following.served().await, before, "{what}: the old pair is out of service");
        assert_eq!((following.ready)(), Ok(()), "{what}: the old pair is still good");
        following.volume.publish_pair(&leaf(&following.ca, DAY));
        slowest = slowest.max(following.replaced(&before).await);
        assert!(following.metric("workspaces_certificate_last_read_successful") > 0.0, "{what}");
    }
    exactly("C2", "kinds of bad pairs kept out of service and shown in metrics", 6, 6);
    within("C2", "slowest repair", slowest, Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_readiness_says_when_the_served_pair_has_expired() {
    let mut following = Following::start(Duration::from_secs(3));
    assert_eq!((following.ready)(), Ok(()));
    let expiry = following.metric("workspaces_certificate_expiry_timestamp_seconds");
    assert!(expiry > 1.0e9, "{expiry}");
    following.volume.publish(|dir| write(dir, "", ""));
    let began = Instant::now();
    let reason = loop {
        if let Err(reason) = (following.ready)() {
            break reason;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still ready");
        sleep(Duration::from_millis(20)).await;
    };
    assert!(reason.starts_with("the served TLS certificate expired at 20"), "{reason}");
    assert!(reason.contains("tls.crt: empty"), "{reason}");
    following.volume.publish_pair(&leaf(&following.ca, DAY));
    let repaired = Instant::now();
    while (following.ready)().is_err() {
        assert!(repaired.elapsed() < Duration::from_secs(10), "not ready again");
        sleep(Duration::from_millis(20)).await;
    }
    within("C2", "ready again after the repair of an expired pair", repaired.elapsed(), Duration::from_secs(1));
}
