//! The way from serving to having served: announce, stop accepting, finish.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum DrainState {
    /// Not begun.
    Serving,
    /// New connections and requests are still served, but answers ask clients to connect elsewhere next time.
    Announced,
    /// No new connections; connections end with the request they are in.
    Closing,
}

/// Shared by all servers of the process; clones speak of the same drain.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<DrainState>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(DrainState::Serving))
    }
}

impl Drain {
    /// Goes on to `state`; never back.
    pub fn advance(&self, state: DrainState) {
        self.0.send_if_modified(|now| {
            let further = state > *now;
            *now = state.max(*now);
            further
        });
    }

    /// How far it has come.
    pub fn state(&self) -> DrainState {
        *self.0.borrow()
    }

    /// Returns once `state` is reached.
    pub async fn reached(&self, state: DrainState) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now >= state).await;
    }
}
