//! A client that sends the writes of a script and does nothing else: the lower bound of the cost of a Workspace.
//!
//! Each line is `RESOURCE NAME [SUBRESOURCE]`. The body is that of the object in the namespace of the
//! measurement, without the fields set by the API server, and is sent to another namespace.

use std::collections::BTreeMap;

use futures::{TryStreamExt, stream};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::Result;
use crate::process::cpu_seconds;

/// Where the writes go.
pub const NAMESPACE: &str = "bench-bare";

const FROM: &str = "bench";
/// Concurrent requests.
pub const AT_ONCE: usize = 10;

/// Sends the writes and prints the CPU time that took.
pub fn repeat(kubeconfig: &str, script: &str) -> Result<()> {
    let script = std::fs::read_to_string(script)?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        rustls::crypto::ring::default_provider().install_default().map_err(|_| "two TLS providers")?;
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let writes = prepare(&client, &script).await?;
        let pid = i32::try_from(std::process::id())?;
        let before = cpu_seconds(pid)?;
        stream::iter(writes.iter().map(Ok)).try_for_each_concurrent(AT_ONCE, |write| send(&client, write)).await?;
        println!("{}", json!({"cpu_seconds": cpu_seconds(pid)? - before}));
        Ok(())
    })
}

struct Write {
    resource: ApiResource,
    name: String,
    body: Value,
    status: bool,
}

async fn send(client: &Client, write: &Write) -> Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &write.resource);
    let params = PatchParams::apply("bare").force();
    if write.status {
        api.patch_status(&write.name, &params, &Patch::Apply(&write.body)).await?;
    } else {
        api.patch(&write.name, &params, &Patch::Apply(&write.body)).await?;
    }
    Ok(())
}

/// The bodies, made before the clock runs. Status can only be written to Workspaces that are there.
async fn prepare(client: &Client, script: &str) -> Result<Vec<Write>> {
    let kinds = [
        ("serviceaccounts", "", "v1", "ServiceAccount"),
        ("services", "", "v1", "Service"),
        ("statefulsets", "apps", "v1", "StatefulSet"),
        ("virtualservices", "networking.istio.io", "v1", "VirtualService"),
        ("workspaces", "kubeflow.org", "v1beta1", "Workspace"),
    ];
    let mut objects = BTreeMap::new();
    for (plural, group, version, kind) in kinds {
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), FROM, &resource);
        for object in api.list(&ListParams::default()).await? {
            let name = object.metadata.name.clone().unwrap_or_default();
            let body = stripped(&resource, serde_json::to_value(object)?);
            objects.insert((plural, name), (resource.clone(), body));
        }
    }
    let workspaces: Vec<_> =
        objects.iter().filter(|((plural, _), _)| *plural == "workspaces").map(|(_, object)| object).collect();
    stream::iter(workspaces.into_iter().map(Ok::<_, Box<dyn std::error::Error + Send + Sync>>))
        .try_for_each_concurrent(AT_ONCE, async |(resource, body)| {
            let mut body = body.clone();
            // Nothing may become of it.
            body["spec"]["paused"] = json!(true);
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            send(client, &Write { resource: resource.clone(), name, body, status: false }).await
        })
        .await?;
    let mut writes = Vec::new();
    for line in script.lines() {
        let mut words = line.split_whitespace();
        let (Some(plural), Some(name)) = (words.next(), words.next()) else { continue };
        let status = words.next() == Some("status");
        let Some((_, (resource, body))) = objects.iter().find(|((p, n), _)| *p == plural && n == name) else {
            continue;
        };
        let mut body = body.clone();
        if let Some(body) = body.as_object_mut() {
            body.remove(if status { "spec" } else { "status" });
        }
        writes.push(Write { resource: resource.clone(), name: name.to_owned(), body, status });
    }
    Ok(writes)
}

/// The object as a user would apply it.
fn stripped(resource: &ApiResource, mut object: Value) -> Value {
    let metadata = &object["metadata"];
    let metadata = json!({
        "name": metadata["name"], "namespace": NAMESPACE,
        "labels": metadata["labels"], "annotations": metadata["annotations"],
    });
    object["metadata"] = metadata;
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    if resource.kind == "Service" {
        // Addresses are given once.
        for field in ["clusterIP", "clusterIPs"] {
            object["spec"].as_object_mut().map(|spec| spec.remove(field));
        }
    }
    object
}
