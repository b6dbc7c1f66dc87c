//! A load balancer for TCP, as a Service is: each connection goes to the next endpoint that is ready, or was a moment ago.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{ControllerProcess, Relay, Result};

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running balancer. Its threads end with this process.
#[derive(Debug)]
pub struct Balancer {
    relay: Relay,
    endpoints: Endpoints,
    delay: Duration,
}

/// A process is looked at for as long as this lives; then it is no endpoint any more, after the usual delay.
#[derive(Debug)]
pub struct Watched(Arc<AtomicBool>);

/// In the order of their turns.
#[derive(Debug, Clone, Default)]
struct Endpoints(Arc<Mutex<Vec<SocketAddr>>>);

impl Balancer {
    /// One that removes an endpoint so long after it has stopped being ready.
    pub fn start(delay: Duration) -> Result<Self> {
        let endpoints = Endpoints::default();
        let turns = endpoints.clone();
        let relay = Relay::start(move || {
            let mut endpoints = turns.lock();
            if !endpoints.is_empty() {
                endpoints.rotate_left(1);
            }
            endpoints.last().copied()
        })?;
        Ok(Self { relay, endpoints, delay })
    }

    /// `https://` and the address of the balancer.
    pub fn url(&self) -> String {
        format!("https://{}", self.relay.address())
    }

    /// The endpoints from now on, whether they are ready or not.
    pub fn set_endpoints(&self, endpoints: Vec<SocketAddr>) {
        *self.endpoints.lock() = endpoints;
    }

    /// Makes the webhook server of a process an endpoint for as long as its `/readyz` says that it is ready.
    #[must_use]
    pub fn watch(&self, process: &ControllerProcess<'_>) -> Watched {
        let (endpoint, is_ready) = (process.webhook_address(), process.readiness_probe());
        let is_over = Arc::new(AtomicBool::new(false));
        let watched = Watched(Arc::clone(&is_over));
        let (endpoints, delay) = (self.endpoints.clone(), self.delay);
        if is_ready() {
            endpoints.add(endpoint);
        }
        thread::spawn(move || {
            let mut ready_until = Instant::now();
            loop {
                let is_over = is_over.load(Ordering::SeqCst);
                if !is_over && is_ready() {
                    ready_until = Instant::now();
                    endpoints.add(endpoint);
                } else if ready_until.elapsed() >= delay {
                    endpoints.lock().retain(|other| *other != endpoint);
                    if is_over {
                        return;
                    }
                }
                thread::sleep(LOOK);
            }
        });
        watched
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Endpoints {
    fn lock(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, endpoint: SocketAddr) {
        let mut endpoints = self.lock();
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
}
