//! A kind edit while its Workspaces run: what is written, and that no pod goes.

use std::collections::BTreeSet;

use cluster::{CONTROLLER_USER, Cluster, ControllerProcess};
use serde_json::{Value, json};

use crate::population::{KIND, KINDS, NAMESPACE, count, per, wait_count, wait_settled};
use crate::process::cpu_seconds;
use crate::{Result, at_most, figure};

/// Measures and prints.
pub fn measure(cluster: &Cluster, controller: &ControllerProcess<'_>, workspaces: usize) -> Result<()> {
    let pods = pod_uids(cluster)?;
    let mark = cluster.audit().mark()?;
    let reconciles = reconciles(controller)?;
    let before = cpu_seconds(controller.pid()?)?;
    let path = format!("{KINDS}/{KIND}");
    let mut kind = cluster.api().get(&path)?.ok()?;
    kind["spec"]["podTemplate"]["extraEnv"] = json!([{"name": "EDITED", "value": "yes"}]);
    cluster.api().replace(&path, &kind)?.ok()?;
    let is_edited = |set: &Value| {
        let variables = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
        variables.into_iter().flatten().any(|variable| variable["name"] == "EDITED")
    };
    wait_count(controller, "StatefulSets with the edit", workspaces, || {
        count(cluster, "/apis/apps/v1", "statefulsets", is_edited)
    })?;
    wait_settled(controller, reconciles + workspaces)?;
    let cpu = cpu_seconds(controller.pid()?)? - before;
    let requests = cluster.audit().since(mark)?;
    let writes = requests.clone().by(CONTROLLER_USER).writes().namespace(NAMESPACE);
    let of = |resource: &str| writes.clone().resource(resource).count();
    let (sets, statuses) = (of("statefulsets"), of("workspaces/status"));
    figure(&format!("Kind edit with {workspaces} running: CPU a Workspace"), cpu * 1e3 / per(workspaces), "ms", None);
    at_most("  StatefulSet writes", sets, workspaces);
    at_most("  status writes", statuses, workspaces);
    at_most("  other writes", writes.count() - sets - statuses, 0);
    at_most("  pods that are gone", pods.difference(&pod_uids(cluster)?).count(), 0);
    Ok(())
}

fn reconciles(controller: &ControllerProcess<'_>) -> Result<usize> {
    let done = controller.metric("controller_runtime_reconcile_total", &[("controller", "workspace")])?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(done.unwrap_or_default() as usize)
}

fn pod_uids(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let list = cluster.api().get(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?.ok()?;
    let pods = list["items"].as_array().into_iter().flatten();
    Ok(pods.map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect())
}
