//! A leader election by client-go, as the Go controller takes part in it, for the same Lease as the product.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::tail;
use crate::supervised::{Program, Supervised};
use crate::tools::ELECTOR;
use crate::{Cluster, Exit, Result, Signal, Tools};

/// A running client-go elector. It is killed when dropped.
#[derive(Debug)]
pub struct GoElector(Mutex<Supervised>);

impl GoElector {
    /// Starts one that acts as `user`, for the Lease `namespace/name`, under `identity`. `times`: lease duration, renew deadline
    /// and retry period.
    pub fn start(
        cluster: &Cluster,
        user: &str,
        (namespace, name): (&str, &str),
        identity: &str,
        times: [Duration; 3],
    ) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let path = Tools::program(ELECTOR)?;
        let mut args = vec![cluster.kubeconfig(user)?.to_string_lossy().into_owned()];
        args.extend([namespace, name, identity].map(str::to_owned));
        args.extend(times.map(|time| format!("{}ms", time.as_millis())));
        let process = format!("elector-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let program = Program { name: &process, path: &path, args, env: Vec::new(), dir: cluster.dir() };
        Ok(Self(Mutex::new(Supervised::start(&program)?)))
    }

    /// Whether it is the leader.
    pub fn leads(&self) -> bool {
        let log = tail(self.process().log(), usize::MAX);
        log.lines().rfind(|line| ["leading", "lost"].contains(line)) == Some("leading")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process().signal(signal)
    }

    /// Waits until it has exited.
    pub fn wait_exit(&self, timeout: Duration) -> Result<Exit> {
        self.process().wait_exit(timeout)
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Supervised> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
