//! The Workspaces of the measurements, and what else is on the cluster.

use std::time::{Duration, Instant};

use cluster::{Cluster, ControllerOptions, ControllerProcess};
use serde_json::{Value, json};

use crate::Result;
use crate::bare::AT_ONCE;

/// Where the Workspaces are.
pub const NAMESPACE: &str = "bench";
/// Their kind.
pub const KIND: &str = "lab";
pub const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
/// For anything to happen, or one more of many.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// Creates the kind and the namespaces.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    cluster.api().create(KINDS, &serde_json::to_value(crds::testing::workspace_kind(KIND))?)?.ok()?;
    for namespace in [NAMESPACE, crate::bare::NAMESPACE] {
        create_namespace(cluster, namespace)?;
    }
    Ok(())
}

fn create_namespace(cluster: &Cluster, namespace: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    cluster.api().create("/api/v1/namespaces", &object)?.ok()?;
    Ok(())
}

/// Creates these Workspaces, as many at once as the bare client sends.
pub fn create(cluster: &Cluster, numbers: std::ops::Range<usize>, paused: bool) -> Result<()> {
    let path = format!("/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/workspaces");
    at_once(numbers, |number| {
        let mut workspace = serde_json::to_value(crds::testing::workspace(NAMESPACE, &format!("ws-{number}"), KIND))?;
        workspace["spec"]["paused"] = json!(paused);
        cluster.api().create(&path, &workspace)?.ok()?;
        Ok(())
    })
}

/// Creates so many pods that nobody schedules and so many Services, which belong to no Workspace.
pub fn create_foreign(cluster: &Cluster, count: usize) -> Result<()> {
    const FOREIGN: &str = "bench-foreign";
    create_namespace(cluster, FOREIGN)?;
    let account = format!("/api/v1/namespaces/{FOREIGN}/serviceaccounts/default");
    cluster.wait_for("the namespace's default account", PATIENCE, || {
        cluster.api().get(&account).and_then(cluster::Reply::ok)
    })?;
    at_once(0..count, |number| {
        let (kind, path, spec) = if number % 2 == 0 {
            ("Pod", "pods", json!({"schedulerName": "nobody", "containers": [{"name": "main", "image": "image"}]}))
        } else {
            ("Service", "services", json!({"clusterIP": "None", "selector": {"app": "foreign"}}))
        };
        let metadata = json!({"name": format!("foreign-{number}"), "labels": {"app": "foreign"}});
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec});
        cluster.api().create(&format!("/api/v1/namespaces/{FOREIGN}/{path}"), &object)?.ok()?;
        Ok(())
    })
}

/// Deletes all that is in a namespace.
pub fn renew_namespace(cluster: &Cluster, namespace: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}");
    cluster.api().delete(&path)?.ok()?;
    cluster.wait_for("a namespace to be gone", PATIENCE, || match cluster.api().get(&path) {
        Ok(reply) if reply.status == 404 => Ok(()),
        Ok(reply) => Err(reply.body),
        Err(error) => Err(error.to_string()),
    })?;
    create_namespace(cluster, namespace)
}

pub fn at_once(numbers: std::ops::Range<usize>, create: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..AT_ONCE)
            .map(|writer| {
                let (mut numbers, create) = (numbers.clone().skip(writer).step_by(AT_ONCE), &create);
                scope.spawn(move || numbers.try_for_each(create))
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })
}

/// Waits until so many Workspaces are in the state.
pub fn wait_state(cluster: &Cluster, controller: &ControllerProcess<'_>, state: &str, wanted: usize) -> Result<()> {
    let is_in = |item: &Value| item["status"]["state"] == state;
    wait_count(controller, &format!("Workspaces to be {state}"), wanted, || {
        count(cluster, "/apis/kubeflow.org/v1beta1", "workspaces", is_in)
    })
}

/// Waits until there are so many, as long as there are more each time.
pub fn wait_count(
    controller: &ControllerProcess<'_>,
    what: &str,
    wanted: usize,
    count: impl Fn() -> Result<usize>,
) -> Result<()> {
    let mut last = None;
    loop {
        let began = Instant::now();
        let found = controller.wait_for(what, PATIENCE, || match count() {
            Ok(found) if found == wanted || last != Some(found) => Ok(found),
            Ok(found) => Err(format!("{found} of {wanted}")),
            Err(error) => Err(error.to_string()),
        })?;
        if found == wanted {
            return Ok(());
        }
        last = Some(found);
        // Counting thousands must not be what the API server is busy with.
        std::thread::sleep(4 * began.elapsed());
    }
}

/// How many objects in the namespace of the Workspaces satisfy `wanted`.
pub fn count(cluster: &Cluster, api: &str, plural: &str, wanted: impl Fn(&Value) -> bool) -> Result<usize> {
    let list = cluster.api().get(&format!("{api}/namespaces/{NAMESPACE}/{plural}"))?.ok()?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter(|item| wanted(item)).count())
}

/// Starts the product without webhooks, and waits until it has reconciled so many Workspaces and nothing waits; the time
/// that took.
pub fn start_settled<'a>(
    cluster: &'a Cluster,
    binary: &std::path::Path,
    workspaces: usize,
) -> Result<(ControllerProcess<'a>, Duration)> {
    let options = ControllerOptions { register_webhooks: false, wait_ready: false, ..ControllerOptions::new(binary) };
    let started = Instant::now();
    let controller = ControllerProcess::start(cluster, &options)?;
    wait_settled(&controller, workspaces)?;
    Ok((controller, started.elapsed()))
}

/// Waits until so many reconciles of Workspaces have returned and nothing waits or runs.
pub fn wait_settled(controller: &ControllerProcess<'_>, reconciles: usize) -> Result<()> {
    let of_workspaces = [("controller", "workspace")];
    let metric = |name: &str| controller.metric(name, &of_workspaces).map(Option::unwrap_or_default);
    controller.wait_for("the queue to be empty", PATIENCE, || -> std::result::Result<(), String> {
        let read = |name: &str| metric(name).map_err(|error| error.to_string());
        let done = read("controller_runtime_reconcile_total")?;
        let left = read("workqueue_depth")? + read("controller_runtime_active_workers")?;
        if done >= per(reconciles) && left == 0.0 { Ok(()) } else { Err(format!("{done} returned, {left} left")) }
    })?;
    Ok(())
}

/// A count as a figure.
#[allow(clippy::cast_precision_loss)]
pub fn per(count: usize) -> f64 {
    count as f64
}
