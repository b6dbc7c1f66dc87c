//! The demo of the product with kubectl: what users type and what they get. Every step checks what it shows, so the
//! demo is a test too.

mod example;
mod route;
mod step;

use std::io::Write;
use std::path::Path;

pub use example::{KIND_FILE, MISTAKES, WORKSPACE_FILE};
pub use step::Style;

use crate::api::Reply;
use crate::{Cluster, Result};
use step::{Screen, expect};

/// Where the kind with mistakes is put, below Cargo's target folder.
const BROKEN_FILE: &str = "demo/broken-kind.yaml";
/// The objects that the demo leaves behind; also the names in the example.
const KIND: &str = "rstudio";
const WORKSPACE: &str = "my-r";

/// What the demo has printed.
#[derive(Debug)]
pub struct Transcript {
    /// What `kubectl apply` printed about the kind with mistakes.
    pub refused: String,
}

/// Runs the demo on a control plane that calls the product's webhooks. `target` is Cargo's target folder.
pub fn run(cluster: &Cluster, target: &Path, out: impl Write, style: Style) -> Result<Transcript> {
    prepare(cluster)?;
    let broken = target.join(BROKEN_FILE);
    example::write_broken(&broken)?;
    let mut screen = Screen::new(cluster, out, style);
    let refused = refuse(&mut screen, &broken)?;
    accept(&mut screen)?;
    let virtual_service = children(&mut screen)?;
    routes(&mut screen, cluster, &virtual_service)?;
    keep(&mut screen)?;
    Ok(Transcript { refused })
}

/// Creates a volume for the claim of the Workspace: there is no provisioner on this control plane.
fn prepare(cluster: &Cluster) -> Result<()> {
    let volume = serde_json::json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "demo-home"},
        "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}},
    });
    cluster.api().create("/api/v1/persistentvolumes", &volume).and_then(Reply::ok)?;
    Ok(())
}

fn refuse(screen: &mut Screen<'_, impl Write>, broken: &Path) -> Result<String> {
    screen.say("A kind with three mistakes in its headers is refused, with each of them named:")?;
    let shown = example::shown(broken);
    let answer = screen.run(&format!("kubectl apply -f {shown}"))?;
    let bullets: Vec<&str> = answer.text.lines().filter(|line| line.starts_with("* ")).collect();
    expect(!answer.success, "the kind with mistakes to be refused", &answer)?;
    let named = |(place, _): &(&str, &str)| bullets.iter().any(|bullet| bullet.starts_with(&format!("* {place}: ")));
    expect(MISTAKES.iter().all(named) && bullets.len() == MISTAKES.len(), "one bullet for each mistake", &answer)?;
    Ok(answer.text)
}

fn accept(screen: &mut Screen<'_, impl Write>) -> Result<()> {
    screen.say("Without them it is accepted. A Workspace of it gets all it needs, and runs:")?;
    let answer = screen.run(&format!("kubectl apply -f {KIND_FILE}"))?;
    expect(answer.text == format!("workspacekind.kubeflow.org/{KIND} created\n"), "the kind to be accepted", &answer)?;
    let answer = screen.run(&format!("kubectl apply -f {WORKSPACE_FILE}"))?;
    let created = format!("workspace.kubeflow.org/{WORKSPACE} created\n");
    expect(answer.success && answer.text.ends_with(&created), "the Workspace to be accepted", &answer)?;
    let running = "jsonpath={.status.state}=Running";
    let answer = screen.run(&format!("kubectl wait ws/{WORKSPACE} --for={running} --timeout=2m"))?;
    expect(answer.success, "the Workspace to run", &answer)
}

/// Returns the name of the VirtualService.
fn children(screen: &mut Screen<'_, impl Write>) -> Result<String> {
    let columns = "custom-columns=KIND:.kind,NAME:.metadata.name,PHASE:.status.phase";
    let label = format!("notebooks.kubeflow.org/workspace-name={WORKSPACE}");
    let answer = screen.run(&format!("kubectl get sa,sts,pod,svc,vs -l {label} -o {columns}"))?;
    let rows: Vec<Vec<&str>> = answer.text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row.first().copied()).collect();
    expect(
        kinds == ["ServiceAccount", "StatefulSet", "Pod", "Service", "VirtualService"],
        "one object of each kind",
        &answer,
    )?;
    expect(rows[2].last() == Some(&"Running"), "a running pod", &answer)?;
    Ok(rows[4].get(1).copied().unwrap_or_default().to_owned())
}

fn routes(screen: &mut Screen<'_, impl Write>, cluster: &Cluster, name: &str) -> Result<()> {
    screen.say("Istio routes exactly the port of the kind, with the header filled in:")?;
    // A line for each part of the route: JSON, because YAML would fill a screen.
    let answer = screen.run(&format!(r#"kubectl get vs {name} -o jsonpath={{.spec.http}} | sed 's/,"/,\n"/g'"#))?;
    let shown = serde_json::from_str(&answer.text).unwrap_or_default();
    route::must_fit(cluster, name, &shown)
}

fn keep(screen: &mut Screen<'_, impl Write>) -> Result<()> {
    screen.say("A kind cannot be deleted while Workspaces use it:")?;
    let answer = screen.run(&format!("kubectl delete workspacekind {KIND}"))?;
    let used = format!("WorkspaceKind is used by 1 workspace(s): default/{WORKSPACE}\n");
    expect(!answer.success && answer.text.ends_with(&used), "the deletion to be refused", &answer)
}
