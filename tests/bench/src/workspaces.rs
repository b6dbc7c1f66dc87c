//! CPU, writes and time of new Workspaces, compared with a bare client that sends the same writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cluster::{CONTROLLER_USER, Cluster, ControllerOptions, ControllerProcess, Requests};
use serde_json::Value;

use crate::population::{NAMESPACE, create, per, renew_namespace, wait_state};
use crate::process::cpu_seconds;
use crate::{Result, bare, figure, ratio};

/// Rounds are in turns with the bare client, so that both have the same neighbours.
const ROUNDS: usize = 3;

/// Measures and prints; so many Workspaces run afterwards, and the product does not.
pub fn measure(cluster: &Cluster, binary: &Path, workspaces: usize) -> Result<()> {
    let mut rounds: Vec<Round> = Vec::new();
    for number in 0..ROUNDS {
        if number > 0 {
            renew_namespace(cluster, NAMESPACE)?;
        }
        rounds.push(Round::measure(cluster, binary, workspaces)?);
        renew_namespace(cluster, bare::NAMESPACE)?;
    }
    let sum = |of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>();
    let created = per(ROUNDS * workspaces);
    let (cpu, bare_cpu) = (sum(|round| round.ours.cpu), sum(|round| round.bare.cpu));
    figure(&format!("{workspaces} new Workspaces: CPU a Workspace"), cpu * 1e3 / created, "ms", Some(8.2));
    figure("  writes a Workspace", sum(|round| per(round.writes.count())) / created, "", Some(6.3));
    let mut kinds_of_writes: BTreeMap<String, usize> = BTreeMap::new();
    for request in rounds.iter().flat_map(|round| &round.writes.0) {
        let what = format!("{} {} {} {}", request.verb, request.resource, request.subresource, request.code);
        *kinds_of_writes.entry(what).or_default() += 1;
    }
    for (what, count) in kinds_of_writes {
        println!("    {what}: {:.1}", per(count) / per(ROUNDS));
    }
    figure("  a bare client that sends the same writes", bare_cpu * 1e3 / created, "ms", None);
    ratio("  CPU against the bare client", cpu / bare_cpu, 1.6);
    let of_rounds = rounds.iter().map(|round| format!("{:.2} x", round.ours.cpu / round.bare.cpu));
    println!("    in each round: {}", of_rounds.collect::<Vec<_>>().join(", "));
    let (took, bare_took) = (sum(|round| round.ours.took), sum(|round| round.bare.took));
    figure("  from the first to the last Running", took / per(ROUNDS), "s", None);
    figure("  a bare client, until its pods run", bare_took / per(ROUNDS), "s", None);
    ratio("  time against the bare client", took / bare_took, 1.25);
    Ok(())
}

/// What one of the two used, in seconds.
struct Used {
    cpu: f64,
    took: f64,
}

/// New Workspaces once, by the product and by the bare client.
struct Round {
    ours: Used,
    bare: Used,
    writes: Requests,
}

impl Round {
    fn measure(cluster: &Cluster, binary: &Path, workspaces: usize) -> Result<Self> {
        let controller = ControllerProcess::start(cluster, &ControllerOptions::new(binary))?;
        let pid = controller.pid()?;
        let mark = cluster.audit().mark()?;
        let before = cpu_seconds(pid)?;
        let began = Instant::now();
        create(cluster, 0..workspaces, false)?;
        wait_state(cluster, &controller, "Running", workspaces)?;
        let took = began.elapsed().as_secs_f64();
        let cpu = cpu_seconds(pid)? - before;
        let writes = cluster.audit().since(mark)?.by(CONTROLLER_USER).writes();
        drop(controller);
        let bare = bare_client(cluster, &writes)?;
        Ok(Self { ours: Used { cpu, took }, bare, writes })
    }
}

/// What a client uses that sends the same writes and does nothing else.
fn bare_client(cluster: &Cluster, writes: &Requests) -> Result<Used> {
    let script = writes.0.iter().fold(String::new(), |mut script, request| {
        let _ = writeln!(script, "{} {} {}", request.resource, request.name, request.subresource);
        script
    });
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
    let figure = |what: &str| printed[what].as_f64().ok_or("the bare client printed no figure");
    Ok(Used { cpu: figure("cpu_seconds")?, took: figure("seconds")? })
}
