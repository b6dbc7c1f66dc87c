//! What a replica knows of its leadership, for those who ask: the guard of its writes, metrics, people.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Whether this replica is the leader. Shared by reference.
#[derive(Clone, Debug, Default)]
pub struct Leadership(Arc<Mutex<LeadershipState>>);

/// Whether this replica is the leader, and who is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeadershipState {
    /// Until when this replica may write: none where it is not the leader.
    pub until: Option<Instant>,
    /// The identity in the Lease, where one was read and it names somebody.
    pub holder: Option<String>,
    /// Since when that is so, as far as it has been seen.
    pub since: Option<Timestamp>,
    /// The program that wrote the Lease last, where that is not this controller.
    pub program: Option<String>,
    /// When the Lease expires, if it is not renewed.
    pub expires: Option<Instant>,
    /// What this replica cannot do about the Lease, if anything, and why.
    pub trouble: Option<String>,
    /// The other program that was reported to lead, and as whom.
    reported: Option<(String, String)>,
}

impl LeadershipState {
    /// Whether this replica leads.
    pub fn is_leader(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// How long ago the Lease expired, if it names somebody who does not lead any longer.
    pub fn expired_for(&self, now: Instant) -> Option<Duration> {
        self.holder.as_ref()?;
        let expires = self.expires.filter(|expires| *expires <= now && !self.is_leader(now))?;
        Some(now - expires)
    }
}

impl Leadership {
    /// As it is now.
    pub fn state(&self) -> LeadershipState {
        self.lock().clone()
    }

    /// Until when this replica may write.
    pub fn until(&self) -> Option<Instant> {
        self.lock().until
    }

    /// It is the leader until then.
    pub(super) fn extend(&self, until: Instant) {
        self.lock().until = Some(until);
    }

    /// It is not the leader.
    pub(super) fn end(&self) {
        self.lock().until = None;
    }

    /// The Lease names somebody, or nobody, and expires then.
    pub(super) fn set_holder(&self, holder: Option<&str>, expires: Instant, now: Timestamp) {
        let mut state = self.lock();
        state.expires = Some(expires);
        if state.holder.as_deref() != holder || state.since.is_none() {
            state.holder = holder.map(str::to_owned);
            state.since = Some(now);
        }
    }

    /// Which program, if not this controller, wrote the Lease last. After [`Leadership::set_holder`].
    pub(super) fn set_program(&self, lease: &str, program: Option<&str>) {
        let mut state = self.lock();
        state.program = program.map(str::to_owned);
        let leads = state.program.clone().zip(state.holder.clone()).filter(|_| state.until.is_none());
        if state.reported == leads {
            return;
        }
        if let Some((program, by)) = &leads {
            tracing::warn!(lease, by, program, "another controller leads, and this one waits: stop one of the two");
        }
        state.reported = leads;
    }

    /// What cannot be done about the Lease, or that all can.
    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, LeadershipState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
