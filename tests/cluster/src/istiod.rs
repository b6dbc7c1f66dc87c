//! istiod, Istio's control plane, on an instance of the control plane: without a certificate authority and without sidecars, for a
//! gateway that asks it over plain gRPC.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::get_plain;
use crate::cluster::free_port;
use crate::controller::sum_samples;
use crate::error::{tail, write};
use crate::supervised::{Program, Supervised};
use crate::{ADMIN, Cluster, Result, Tools};

/// Where istiod believes itself to be installed.
pub(crate) const NAMESPACE: &str = "istio-system";

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Without certificates there is no TLS between proxies and no filter that a gateway without sidecars does not need.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("POD_NAMESPACE", NAMESPACE),
    ("ENABLE_CA_SERVER", "false"),
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
    ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
];

/// A running istiod. It is killed when this value is dropped or this process exits, whichever comes first.
#[derive(Debug)]
pub struct Istiod {
    process: Mutex<Supervised>,
    /// Where gateways ask for their configuration.
    pub(crate) grpc: u16,
    monitoring: u16,
}

impl Istiod {
    /// Starts it and waits until it is ready.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let mesh = cluster.dir().join("mesh.json");
        write(&mesh, r#"{"enableAutoMtls": false, "accessLogFile": ""}"#)?;
        let (grpc, http, monitoring) = (free_port()?, free_port()?, free_port()?);
        let args = vec![
            "discovery".to_owned(),
            format!("--kubeconfig={}", cluster.kubeconfig(ADMIN)?.display()),
            format!("--meshConfig={}", mesh.display()),
            format!("--grpcAddr=127.0.0.1:{grpc}"),
            format!("--httpAddr=127.0.0.1:{http}"),
            format!("--monitoringAddr=127.0.0.1:{monitoring}"),
            "--secureGRPCAddr=".to_owned(),
            "--httpsAddr=".to_owned(),
            "--ctrlz_port=0".to_owned(),
        ];
        let process = Supervised::start(&Program {
            name: "istiod",
            path: &Tools::istiod()?,
            args,
            env: ENVIRONMENT.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            dir: cluster.dir(),
        })?;
        let istiod = Self { process: Mutex::new(process), grpc, monitoring };
        cluster.wait_for("istiod to be ready", START_TIMEOUT, || {
            if let Err(dead) = istiod.process().must_run() {
                return Ok(Err(dead));
            }
            match get_plain(&format!("http://127.0.0.1:{http}/ready")) {
                Ok((200, _)) => Ok(Ok(())),
                Ok((status, body)) => Err(format!("/ready: {status} {body}")),
                Err(error) => Err(error.to_string()),
            }
        })??;
        Ok(istiod)
    }

    /// How many of its pushes a gateway has rejected.
    pub fn rejects(&self) -> Result<f64> {
        let metrics = get_plain(&format!("http://127.0.0.1:{}/metrics", self.monitoring))?.1;
        Ok(sum_samples(&metrics, "pilot_total_xds_rejects", &[]).unwrap_or(0.0))
    }

    /// What it has logged about the pushes that were rejected, at most the last `lines`.
    pub fn rejections(&self, lines: usize) -> Vec<String> {
        let log = tail(self.process().log(), usize::MAX);
        let rejected: Vec<String> = log.lines().filter(|line| line.contains("ACK ERROR")).map(str::to_owned).collect();
        rejected[rejected.len().saturating_sub(lines)..].to_vec()
    }

    fn process(&self) -> MutexGuard<'_, Supervised> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
