//! Graceful shutdown: announce, stop accepting, finish what is in flight.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum DrainState {
    /// No shutdown.
    Serving,
    /// New connections and requests are still served, but responses carry `Connection: close`.
    Announced,
    /// No new connections; open ones are closed after the request in flight.
    Closing,
}

/// Shared by all servers of the process; clones share their state.
#[derive(Clone, Debug)]
pub struct Drain {
    state: watch::Sender<DrainState>,
    /// When the last request came.
    last_request: Arc<Mutex<Option<Instant>>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { state: watch::Sender::new(DrainState::Serving), last_request: Arc::default() }
    }
}

impl Drain {
    /// Advances to `state`; never goes back.
    pub fn advance(&self, state: DrainState) {
        self.state.send_if_modified(|now| {
            let further = state > *now;
            *now = state.max(*now);
            further
        });
    }

    /// The current state.
    pub fn state(&self) -> DrainState {
        *self.state.borrow()
    }

    /// A request has come.
    pub fn request_came(&self) {
        *self.last_request.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the last request came, if one has.
    pub fn last_request(&self) -> Option<Instant> {
        *self.last_request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once `state` is reached.
    pub async fn reached(&self, state: DrainState) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.state.subscribe().wait_for(|now| *now >= state).await;
    }
}
