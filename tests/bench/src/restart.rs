//! A restart with many Workspaces: memory while it starts and afterwards, time, writes.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

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

/// Measures and prints. `fewer` is a number of Workspaces, and the memory of a process with them.
pub fn measure(cluster: &Cluster, binary: &Path, workspaces: usize, fewer: (usize, usize)) -> Result<()> {
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
    let (resident, peak) = (resident_memory(controller.pid()?)?, peak_memory(controller.pid()?)?);
    limited(&format!("Resident memory with {workspaces} Workspaces, foreign objects"), mib(resident), "MiB", 40.0);
    ratio("  the peak of the start against that", per(peak) / per(resident), 1.3);
    let each = per(resident.saturating_sub(fewer.1)) / per(workspaces - fewer.0);
    limited("  a Workspace with its children and pod", each / 1024.0, "KiB", 4.5);
    figure("Restart: until all are reconciled", ours, "s", None);
    figure("  a bare client that lists and decodes the same objects", bare, "s", None);
    ratio("  time against the bare client", ours / bare, 2.0);
    at_most("  writes", cluster.audit().since(mark)?.by(CONTROLLER_USER).writes().count(), 0);
    Ok(())
}

/// A process that has just started with so many Workspaces.
pub fn fresh<'a>(cluster: &'a Cluster, binary: &Path, workspaces: usize) -> Result<Restart<'a>> {
    let (controller, _) = start_settled(cluster, binary, workspaces)?;
    let resident = resident_memory(controller.pid()?)?;
    Ok(Restart { controller, resident })
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
