//! A minute in which nothing changes: writes, requests and CPU.

use std::time::Duration;

use cluster::{CONTROLLER_USER, Cluster, ControllerProcess};

use crate::process::cpu_seconds;
use crate::{Result, at_most, limited};

const REST: Duration = Duration::from_mins(2);

/// Measures and prints.
pub fn measure(cluster: &Cluster, controller: &ControllerProcess<'_>) -> Result<()> {
    let mark = cluster.audit().mark()?;
    let before = cpu_seconds(controller.pid()?)?;
    // Rest is a stretch of time in which nothing happens: there is nothing to wait for.
    std::thread::sleep(REST);
    let cpu = cpu_seconds(controller.pid()?)? - before;
    let requests = cluster.audit().since(mark)?.by(CONTROLLER_USER);
    let minutes = usize::try_from(REST.as_secs() / 60)?;
    at_most("At rest: writes in two minutes", requests.clone().writes().count(), 0);
    at_most(
        "  other requests that are not watches",
        requests.filter(|request| request.verb != "watch").count(),
        2 * minutes,
    );
    limited("  CPU", cpu / REST.as_secs_f64() * 100.0, "% of a core", 0.5);
    Ok(())
}
