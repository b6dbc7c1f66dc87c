//! A restart with many Workspaces: memory while it starts and afterwards, time, writes.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{CONTROLLER_USER, Cluster, ControllerProcess};

use crate::population::{per, start_settled};
use crate::process::{mib, peak_memory, resident_memory};
use crate::{Result, at_most, figure, limited, ratio};

/// Restarts are in turns with the bare client, so that both have the same neighbours; the best time of each counts.
const ROUNDS: usize = 3;

/// What a restart was like.
pub struct Restart<'a> {
    /// The process that runs now.
    pub controller: ControllerProcess<'a>,
    /// Bytes once it had settled.
    pub resident: usize,
}

/// Measures and prints. `fewer` is a number of Workspaces and the memory of a process with them, `limit` is in MiB.
pub fn measure<'a>(
    cluster: &'a Cluster,
    binary: &Path,
    workspaces: usize,
    fewer: (usize, usize),
    limit: f64,
) -> Result<ControllerProcess<'a>> {
    let mark = cluster.audit().mark()?;
    let (mut ours, mut bare) = (f64::MAX, f64::MAX);
    let mut last = None;
    for _ in 0..ROUNDS {
        drop(last.take());
        let (controller, took) = start_settled(cluster, binary, workspaces)?;
        ours = ours.min(took.as_secs_f64());
        bare = bare.min(list(cluster)?);
        last = Some(controller);
    }
    let controller = last.ok_or("no restart")?;
    let (resident, peak) = (rested(&controller)?, peak_memory(controller.pid()?)?);
    limited(&format!("Resident memory with {workspaces} Workspaces, after a restart"), mib(resident), "MiB", limit);
    ratio("  the peak of the start against that", per(peak) / per(resident), 1.3);
    let each = per(resident.saturating_sub(fewer.1)) / per(workspaces - fewer.0);
    limited("  a Workspace with its children and pod", each / 1024.0, "KiB", 4.5);
    figure("Restart: until all are reconciled", ours, "s", None);
    figure("  a bare client that lists and decodes the same objects", bare, "s", None);
    ratio("  time against the bare client", ours / bare, 2.0);
    at_most("  writes", cluster.audit().since(mark)?.by(CONTROLLER_USER).writes().count(), 0);
    Ok(controller)
}

/// A process that has just started with so many Workspaces.
pub fn fresh<'a>(cluster: &'a Cluster, binary: &Path, workspaces: usize) -> Result<Restart<'a>> {
    let (controller, _) = start_settled(cluster, binary, workspaces)?;
    let resident = rested(&controller)?;
    Ok(Restart { controller, resident })
}

/// Resident memory of a process that has nothing to do.
fn rested(controller: &ControllerProcess<'_>) -> Result<usize> {
    // What is free goes back to the system a little later, and there is no sign of that to wait for.
    std::thread::sleep(Duration::from_secs(5));
    resident_memory(controller.pid()?)
}

/// The seconds that a client needs, from its start to its end, to list and decode the same objects.
fn list(cluster: &Cluster) -> Result<f64> {
    let began = Instant::now();
    let output =
        Command::new(std::env::current_exe()?).arg("list").arg(cluster.kubeconfig(cluster::ADMIN)?).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(began.elapsed().as_secs_f64())
}
