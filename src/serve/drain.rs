//! Graceful shutdown: announce, stop accepting, finish what is in flight.

use tokio::sync::watch;

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
pub struct Drain(watch::Sender<DrainState>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(DrainState::Serving))
    }
}

impl Drain {
    /// Advances to `state`; never goes back.
    pub fn advance(&self, state: DrainState) {
        self.0.send_if_modified(|now| {
            let further = state > *now;
            *now = state.max(*now);
            further
        });
    }

    /// The current state.
    pub fn state(&self) -> DrainState {
        *self.0.borrow()
    }

    /// Returns once `state` is reached.
    pub async fn reached(&self, state: DrainState) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now >= state).await;
    }
}
