//! CPU, writes and time of new Workspaces, compared with a bare client that sends the same writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cluster::{CONTROLLER_USER, Cluster, ControllerOptions, ControllerProcess};
use serde_json::Value;

use crate::population::{create, delete_namespace, per, wait_state};
use crate::process::cpu_seconds;
use crate::{Result, bare, figure, ratio};

/// Measures and prints; so many Workspaces run afterwards, and the product does not.
pub fn measure(cluster: &Cluster, binary: &Path, workspaces: usize) -> Result<()> {
    let controller = ControllerProcess::start(cluster, &ControllerOptions::new(binary))?;
    let pid = controller.pid()?;

    let mark = cluster.audit().mark()?;
    let before = cpu_seconds(pid)?;
    let began = Instant::now();
    create(cluster, 0..workspaces, false)?;
    wait_state(cluster, &controller, "Running", workspaces)?;
    let took = began.elapsed().as_secs_f64();
    let ours = (cpu_seconds(pid)? - before) * 1e3 / per(workspaces);
    let writes = cluster.audit().since(mark)?.by(CONTROLLER_USER).writes();
    drop(controller);
    figure(&format!("{workspaces} new Workspaces: CPU a Workspace"), ours, "ms", Some(8.2));
    figure("  writes a Workspace", per(writes.count()) / per(workspaces), "", Some(6.3));
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
    let bare = bare_client(cluster, &script)?;
    let of_bare = |what: &str| bare[what].as_f64().ok_or("the bare client printed no figure");
    let bare_cpu = of_bare("cpu_seconds")? * 1e3 / per(workspaces);
    figure("  a bare client that sends the same writes", bare_cpu, "ms", None);
    ratio("  CPU against the bare client", ours / bare_cpu, 1.6);
    figure("  from the first to the last Running", took, "s", None);
    let bare_took = of_bare("seconds")?;
    figure("  a bare client, until its pods run", bare_took, "s", None);
    ratio("  time against the bare client", took / bare_took, 1.25);
    delete_namespace(cluster, bare::NAMESPACE)
}

/// What a client that sends the same writes, and does nothing else, prints about it.
fn bare_client(cluster: &Cluster, script: &str) -> Result<Value> {
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
    Ok(serde_json::from_slice(&output.stdout)?)
}
