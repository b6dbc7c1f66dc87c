//! Creates through the API server while something happens, each of which the webhook has to answer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use crate::installation::Installation;

/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(400);
/// Requests of a burst: more than the API server keeps connections for, so some need a new one each time.
const BURST: usize = 30;

/// A load that goes on until it is stopped.
#[derive(Default)]
pub struct Load {
    stopped: AtomicBool,
    done: AtomicUsize,
    failed: std::sync::Mutex<Vec<String>>,
}

impl Load {
    /// Starts it: bursts of creates of real Workspaces. It ends with what is returned, also when a test fails.
    #[must_use]
    pub fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        installation: &'env Installation,
    ) -> Stop<'env> {
        for client in 0..BURST {
            scope.spawn(move || {
                for number in 0.. {
                    if self.is_stopped() {
                        return;
                    }
                    let name = format!("w-{client}-{number}");
                    let reply = installation.create(&installation.name, &name, "");
                    self.done.fetch_add(1, Ordering::Relaxed);
                    if reply.status != 201 {
                        self.failed.lock().unwrap().push(format!("{} {}", reply.status, reply.body));
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        Stop(self)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How many creates there were, and the answers of those that failed.
    pub fn results(&self) -> (usize, Vec<String>) {
        (self.done.load(Ordering::Relaxed), std::mem::take(&mut self.failed.lock().unwrap()))
    }
}

/// Stops a load.
pub struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}
