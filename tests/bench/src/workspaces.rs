//! CPU and writes per Workspace, and memory, for Workspaces that are created and become Running.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster::{CONTROLLER_USER, Cluster, ControllerOptions, ControllerProcess};
use serde_json::{Value, json};

use crate::bare::AT_ONCE;
use crate::process::{cpu_seconds, resident_mib};
use crate::{Result, figure};

const WORKSPACES: usize = 500;
const NAMESPACE: &str = "bench";
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures and prints.
pub fn measure(cluster: &Cluster, binary: &Path) -> Result<()> {
    let kinds = "/apis/kubeflow.org/v1beta1/workspacekinds";
    cluster.api().create(kinds, &serde_json::to_value(crds::testing::workspace_kind("lab"))?)?.ok()?;
    for namespace in [NAMESPACE, crate::bare::NAMESPACE] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.api().create("/api/v1/namespaces", &object)?.ok()?;
    }
    let controller = ControllerProcess::start(cluster, &ControllerOptions::new(binary))?;
    let pid = controller.pid()?;

    let mark = cluster.audit().mark()?;
    let before = cpu_seconds(pid)?;
    create(cluster, 0..WORKSPACES)?;
    wait_running(cluster, &controller, WORKSPACES)?;
    let ours = (cpu_seconds(pid)? - before) * 1e3 / per(WORKSPACES);
    let writes = cluster.audit().since(mark)?.by(CONTROLLER_USER).writes();
    figure("500 new Workspaces: CPU a Workspace", ours, "ms", Some(8.2));
    figure("  writes a Workspace", per(writes.count()) / per(WORKSPACES), "", Some(6.3));
    let mut kinds_of_writes: BTreeMap<String, usize> = BTreeMap::new();
    for request in &writes.0 {
        let what = format!("{} {} {} {}", request.verb, request.resource, request.subresource, request.code);
        *kinds_of_writes.entry(what).or_default() += 1;
    }
    for (what, count) in kinds_of_writes {
        println!("    {what}: {count}");
    }
    let script = writes.0.iter().fold(String::new(), |mut script, request| {
        let _ = writeln!(script, "{} {} {}", request.resource, request.name, request.subresource);
        script
    });
    let bare = bare_client(cluster, &script)? * 1e3 / per(WORKSPACES);
    figure("  a bare client that sends the same writes", bare, "ms", None);
    println!("  ours to the bare client: {:.2} x", ours / bare);
    figure("resident memory with 500 Workspaces", resident_mib(pid)?, "MiB", Some(97.0));
    create(cluster, WORKSPACES..2 * WORKSPACES)?;
    wait_running(cluster, &controller, 2 * WORKSPACES)?;
    figure("resident memory with 1,000 Workspaces", resident_mib(pid)?, "MiB", Some(133.0));
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn per(count: usize) -> f64 {
    count as f64
}

/// As many at once as the bare client sends.
fn create(cluster: &Cluster, numbers: std::ops::Range<usize>) -> Result<()> {
    let path = format!("/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/workspaces");
    let create = |number: usize| -> Result<()> {
        let workspace = serde_json::to_value(crds::testing::workspace(NAMESPACE, &format!("ws-{number}"), "lab"))?;
        cluster.api().create(&path, &workspace)?.ok()?;
        Ok(())
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..AT_ONCE)
            .map(|writer| {
                let mut numbers = numbers.clone().skip(writer).step_by(AT_ONCE);
                scope.spawn(move || numbers.try_for_each(create))
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })
}

fn wait_running(cluster: &Cluster, controller: &ControllerProcess<'_>, wanted: usize) -> Result<()> {
    controller.wait_for("all Workspaces to run", PATIENCE, || {
        let running = running(cluster).map_err(|error| error.to_string())?;
        if running == wanted { Ok(()) } else { Err(format!("{running} of {wanted} run")) }
    })?;
    Ok(())
}

fn running(cluster: &Cluster) -> Result<usize> {
    let list = cluster.api().get(&format!("/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/workspaces"))?.ok()?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter(|item| item["status"]["state"] == "Running").count())
}

/// CPU seconds of a client that sends the same writes, and does nothing else.
fn bare_client(cluster: &Cluster, script: &str) -> Result<f64> {
    let file = cluster.dir().join("bench-writes");
    std::fs::write(&file, script)?;
    let output = Command::new(std::env::current_exe()?)
        .arg("bare")
        .arg(cluster.kubeconfig(cluster::ADMIN)?)
        .arg(&file)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let printed: Value = serde_json::from_slice(&output.stdout)?;
    printed["cpu_seconds"].as_f64().ok_or_else(|| "the bare client printed no figure".into())
}
