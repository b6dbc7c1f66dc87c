//! The VirtualService of the demo, compared with the expected one.

use serde_json::{Value, json};

use super::{KIND, WORKSPACE};
use crate::api::Reply;
use crate::{Cluster, Error, Result};

/// Compares the whole specification, and its routes with those that were shown.
pub(super) fn must_fit(cluster: &Cluster, name: &str, shown: &Value) -> Result<()> {
    let path = format!("/apis/networking.istio.io/v1/namespaces/default/virtualservices/{name}");
    let found = cluster.api().get(&path).and_then(Reply::ok)?;
    let expected = specification(name);
    if found["spec"] == expected && *shown == expected["http"] {
        return Ok(());
    }
    Err(Error::Unknown(format!(
        "expected the VirtualService {name} to hold\n{expected}\nbut it holds\n{}\nand shown was\n{shown}",
        found["spec"]
    )))
}

/// The image has one port. Its path is removed (`removePathPrefix`) and passed to RStudio in a header.
fn specification(name: &str) -> Value {
    let prefix = format!("/workspace/default/{WORKSPACE}/{KIND}/");
    json!({
        "gateways": ["kubeflow/kubeflow-gateway"],
        "hosts": ["*"],
        "http": [{
            "match": [{"uri": {"prefix": prefix}}],
            "rewrite": {"uri": "/"},
            "headers": {"request": {"set": {"X-RStudio-Root-Path": prefix}}},
            "route": [{"destination": {"host": format!("{name}.default.svc.cluster.local"), "port": {"number": 8888}}}],
        }],
    })
}
