//! Envoy as Istio's stock ingress gateway: all of its configuration comes from istiod.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::get_plain;
use crate::cluster::free_port;
use crate::error::write;
use crate::istiod::NAMESPACE;
use crate::supervised::{Program, Supervised};
use crate::{Cluster, Istiod, Result, Tools};

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running gateway. It is killed when this value is dropped or this process exits, whichever comes first.
#[derive(Debug)]
pub struct Envoy {
    process: Mutex<Supervised>,
    admin: u16,
}

impl Envoy {
    /// Starts a gateway with the label `istio: ingressgateway`, which istiod knows by `address`, and waits until it has its first
    /// configuration. `environment` is all that it has besides PATH and HOME.
    pub fn start(cluster: &Cluster, istiod: &Istiod, address: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let admin = free_port()?;
        let bootstrap = cluster.dir().join("envoy.json");
        write(&bootstrap, bootstrap_config(istiod.grpc, admin, address).to_string())?;
        // Each worker learns of a push for itself, so of one alone two requests in a row see the older and the newer one in order.
        let args = ["--config-path", &bootstrap.to_string_lossy(), "--log-level", "error", "--concurrency", "1"];
        let mut args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        // Several of them on one machine share no memory.
        args.push("--disable-hot-restart".to_owned());
        let process = Supervised::start(&Program {
            name: "envoy",
            path: &Tools::envoy()?,
            args,
            env: environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            dir: cluster.dir(),
        })?;
        let envoy = Self { process: Mutex::new(process), admin };
        cluster.wait_for("Envoy to be ready", START_TIMEOUT, || {
            if let Err(dead) = envoy.process().must_run() {
                return Ok(Err(dead));
            }
            match get_plain(&format!("http://127.0.0.1:{admin}/ready")) {
                Ok((200, _)) => Ok(Ok(())),
                Ok((status, body)) => Err(format!("/ready: {status} {body}")),
                Err(error) => Err(error.to_string()),
            }
        })??;
        Ok(envoy)
    }

    /// The counters and gauges whose names match a regular expression.
    pub fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let (_, text) = get_plain(&format!("http://127.0.0.1:{}/stats?filter={filter}", self.admin))?;
        let pair = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// How many pieces of configuration it has rejected: listeners, routes, clusters and endpoints.
    pub fn rejects(&self) -> Result<u64> {
        Ok(self.stats("update_rejected$")?.values().sum())
    }

    fn process(&self) -> MutexGuard<'_, Supervised> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As Istio's own bootstrap, without what concerns certificates and tracing.
fn bootstrap_config(istiod: u16, admin: u16, address: &str) -> Value {
    let local = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let ads = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    json!({
        "node": {
            "id": format!("router~{address}~istio-ingressgateway.{NAMESPACE}~{NAMESPACE}.svc.cluster.local"),
            "cluster": format!("istio-ingressgateway.{NAMESPACE}"),
            "metadata": {"LABELS": {"istio": "ingressgateway"}, "NAMESPACE": NAMESPACE},
        },
        "admin": {"address": local(admin)},
        "dynamic_resources": {
            "lds_config": ads,
            "cds_config": ads,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options":
                {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {
                "cluster_name": "xds-grpc",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": local(istiod)}}]}],
            },
        }]},
    })
}
