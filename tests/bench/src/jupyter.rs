//! Jupyter servers on the addresses of pods: in use, or hanging.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cluster::Cluster;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::Result;

/// Servers on a port of each pod of a namespace, and when each probe began that came. They end with it.
pub struct Servers {
    _runtime: Runtime,
    probes: Arc<Mutex<Vec<Instant>>>,
    hanging: Arc<AtomicUsize>,
}

impl Servers {
    /// One for each pod. Those that hang take requests and answer none.
    pub fn start(cluster: &Cluster, namespace: &str, port: u16, hang: bool) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (probes, hanging) = (Arc::default(), Arc::default());
        let list = cluster.api().get(&format!("/api/v1/namespaces/{namespace}/pods"))?.ok()?;
        for pod in list["items"].as_array().into_iter().flatten() {
            let ip: IpAddr = pod["status"]["podIP"].as_str().unwrap_or_default().parse()?;
            let listener = runtime.block_on(TcpListener::bind((ip, port)))?;
            runtime.spawn(listen(listener, Arc::clone(&probes), hang.then(|| Arc::clone(&hanging))));
        }
        Ok(Self { _runtime: runtime, probes, hanging })
    }

    /// How many probes hang at this moment.
    pub fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Relaxed)
    }

    /// When the probes began that came since the last call.
    pub fn take_probes(&self) -> Vec<Instant> {
        self.probes.lock().map(|mut probes| std::mem::take(&mut *probes)).unwrap_or_default()
    }
}

async fn listen(listener: TcpListener, probes: Arc<Mutex<Vec<Instant>>>, hanging: Option<Arc<AtomicUsize>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (probes, hanging) = (Arc::clone(&probes), hanging.clone());
        tokio::spawn(async move {
            // A client that has gone is nothing to measure.
            drop(respond(stream, &probes, hanging.as_deref()).await);
        });
    }
}

async fn respond(
    mut stream: TcpStream,
    probes: &Mutex<Vec<Instant>>,
    hanging: Option<&AtomicUsize>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let body = if head.contains("/api/status") {
        if let Ok(mut probes) = probes.lock() {
            probes.push(Instant::now());
        }
        r#"{"last_activity": "2999-01-01T00:00:00.000000Z", "kernels": 0}"#
    } else {
        "[]"
    };
    if let Some(hanging) = hanging {
        hanging.fetch_add(1, Ordering::Relaxed);
        // Until the client has had enough.
        let ended = stream.read_u8().await;
        hanging.fetch_sub(1, Ordering::Relaxed);
        ended?;
    }
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}

/// Lets the Jupyter server of a kind listen on that port.
pub fn listen_on(kind: &mut Value, port: u16) {
    kind["spec"]["podTemplate"]["options"]["imageConfig"]["values"][0]["spec"]["ports"][0]["port"] = port.into();
}

/// The `activityProbe` that asks it so often.
pub fn probe_every(seconds: u32) -> Value {
    json!({
        "probeIntervalSeconds": seconds, "minProbeIntervalSeconds": seconds,
        "jupyter": {"lastActivity": true, "portId": "jupyterlab"},
    })
}
