//! The time from the start of the process until it is ready to serve admission.

use std::path::Path;
use std::time::Duration;

use cluster::{CONTROLLER_NAMESPACE, Cluster, ControllerOptions, ControllerProcess};

use crate::process::age_seconds;
use crate::{Result, limited};

/// The median counts: another process of the machine can slow down any of them.
const ROUNDS: usize = 5;
/// Between two questions; what is measured is much longer.
const PAUSE: Duration = Duration::from_millis(2);

/// Measures and prints; the limit is in milliseconds.
pub fn measure(cluster: &Cluster, binary: &Path, what: &str, limit: f64) -> Result<()> {
    let mut times = (0..ROUNDS).map(|_| start(cluster, binary)).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    limited(&format!("Start: until ready, {what}"), times[ROUNDS / 2] * 1e3, "ms", limit);
    println!("  {} ms", times.iter().map(|time| format!("{:.0}", time * 1e3)).collect::<Vec<_>>().join(", "));
    Ok(())
}

/// The seconds that one start takes, with a leader election as in the chart.
fn start(cluster: &Cluster, binary: &Path) -> Result<f64> {
    let options = ControllerOptions { register_webhooks: false, wait_ready: false, ..ControllerOptions::new(binary) };
    let options = options.arg("--leader-elect").env("POD_NAMESPACE", CONTROLLER_NAMESPACE);
    let controller = ControllerProcess::start(cluster, &options)?;
    let pid = controller.pid()?;
    while !matches!(controller.health("/readyz"), Ok((200, _))) {
        if controller.exited()?.is_some() {
            return Err(format!("the controller exited:\n{}", controller.log()).into());
        }
        std::thread::sleep(PAUSE);
    }
    let age = age_seconds(pid)?;
    // The next one need not wait for the Lease.
    controller.terminate(crate::population::PATIENCE)?;
    Ok(age)
}
