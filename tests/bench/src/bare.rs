//! Clients that do nothing else: one sends the writes of a script, the lower bound of the cost of a Workspace, and one lists
//! what the product lists, the lower bound of a start.
//!
//! Each line of a script is `RESOURCE NAME [SUBRESOURCE]`. The body is that of the object in the namespace of the
//! measurement, without the fields set by the API server, and is sent to another namespace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// Sends the writes and prints the CPU time that took, and the time until the pods run that come of them.
pub fn repeat(kubeconfig: &str, script: &str) -> Result<()> {
    let script = std::fs::read_to_string(script)?;
    run(kubeconfig, async |client| {
        let writes = prepare(&client, &script).await?;
        let pid = i32::try_from(std::process::id())?;
        let (before, began) = (cpu_seconds(pid)?, Instant::now());
        stream::iter(writes.iter().map(Ok)).try_for_each_concurrent(AT_ONCE, |write| send(&client, write)).await?;
        let cpu_seconds = cpu_seconds(pid)? - before;
        wait_ready(&client, writes.iter().filter(|write| write.resource.kind == "StatefulSet").count()).await?;
        println!("{}", json!({"cpu_seconds": cpu_seconds, "seconds": began.elapsed().as_secs_f64()}));
        Ok(())
    })
}

/// Lists and decodes what the product lists: children of which only metadata is used as metadata.
pub fn list(kubeconfig: &str) -> Result<()> {
    run(kubeconfig, async |client| {
        let [accounts, services, sets, routes, workspaces] = KINDS.map(resource);
        let pods = resource(("pods", "", "v1", "Pod"));
        let kinds = resource(("workspacekinds", "kubeflow.org", "v1beta1", "WorkspaceKind"));
        let whole = [workspaces, kinds, sets, pods].map(|resource| list_pages(&client, resource, false));
        let metadata = [accounts, services, routes].map(|resource| list_pages(&client, resource, true));
        futures::try_join!(futures::future::try_join_all(whole), futures::future::try_join_all(metadata))?;
        Ok(())
    })
}

async fn list_pages(client: &Client, resource: ApiResource, metadata: bool) -> Result<()> {
    const PAGE: u32 = 500;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut params = ListParams::default().limit(PAGE);
    if resource.group != "kubeflow.org" {
        params = params.labels("notebooks.kubeflow.org/workspace-name");
    }
    loop {
        let next = if metadata {
            std::hint::black_box(api.list_metadata(&params).await?).metadata.continue_
        } else {
            std::hint::black_box(api.list(&params).await?).metadata.continue_
        };
        match next.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}

/// Waits until so many sets have their pod.
async fn wait_ready(client: &Client, wanted: usize) -> Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource(KINDS[2]));
    loop {
        let sets = api.list(&ListParams::default()).await?;
        if sets.iter().filter(|set| set.data["status"]["readyReplicas"] == 1).count() >= wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs a client, as parallel as the product is.
fn run(kubeconfig: &str, client: impl AsyncFnOnce(Client) -> Result<()>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        rustls::crypto::ring::default_provider().install_default().map_err(|_| "two TLS providers")?;
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
        client(Client::try_from(config)?).await
    })
}

/// Plural, group, version and kind of what the product writes.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("serviceaccounts", "", "v1", "ServiceAccount"),
    ("services", "", "v1", "Service"),
    ("statefulsets", "apps", "v1", "StatefulSet"),
    ("virtualservices", "networking.istio.io", "v1", "VirtualService"),
    ("workspaces", "kubeflow.org", "v1beta1", "Workspace"),
];

fn resource((plural, group, version, kind): (&str, &str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
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
    let mut objects = BTreeMap::new();
    for kind in KINDS {
        let (plural, resource) = (kind.0, resource(kind));
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
