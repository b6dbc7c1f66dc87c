//! The served pair: every handshake uses the current one, without waiting for a reload.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::load_error::LoadError;
use crate::loaded::Loaded;
use crate::timestamp::rfc3339;

/// The served pair, and the result of the last attempt to replace it.
#[derive(Debug, Clone, Default)]
pub struct ServingState {
    /// The pair of all handshakes; it stays in service if a newer one is invalid, even when it has expired.
    pub served: Option<Loaded>,
    /// Why the last reading was refused; `None` after a valid one.
    pub last_error: Option<LoadError>,
}

/// Why handshakes with this server would fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// No pair has ever been loaded.
    NothingLoaded {
        /// The error of the last reading, if there was one.
        error: Option<LoadError>,
    },
    /// The served pair has expired and was not replaced.
    Expired {
        /// The last moment of its validity.
        not_after: SystemTime,
        /// Why the current pair of the source is not served, if it differs.
        error: Option<LoadError>,
    },
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            NotReady::NothingLoaded { error } => {
                f.write_str("no TLS certificate is loaded")?;
                error
            }
            NotReady::Expired { not_after, error } => {
                let not_after = rfc3339(*not_after);
                write!(f, "the served TLS certificate expired at {not_after}")?;
                error
            }
        };
        error.as_ref().map_or(Ok(()), |error| write!(f, " ({error})"))
    }
}

impl ServingState {
    /// Whether a client can complete a handshake at `now`.
    pub fn ready(&self, now: SystemTime) -> bool {
        self.not_ready(now).is_none()
    }

    /// The reason behind [`ServingState::ready`] being false, for readiness; `None` when ready.
    pub fn not_ready(&self, now: SystemTime) -> Option<NotReady> {
        let error = self.last_error.clone();
        match &self.served {
            None => Some(NotReady::NothingLoaded { error }),
            Some(served) if now > served.not_after => Some(NotReady::Expired { not_after: served.not_after, error }),
            Some(_) => None,
        }
    }
}

/// Provides the current pair to rustls; cheap for many concurrent handshakes.
#[derive(Debug, Default)]
pub struct Resolver {
    state: ArcSwap<ServingState>,
}

impl Resolver {
    /// Serves nothing yet: until the first [`Resolver::replace`] every handshake is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// The current state, for metrics and readiness.
    pub fn current(&self) -> Arc<ServingState> {
        self.state.load_full()
    }

    /// Serves `loaded` from the next handshake on, and forgets the last error.
    pub fn replace(&self, loaded: Loaded) {
        self.state.store(Arc::new(ServingState { served: Some(loaded), last_error: None }));
    }

    /// Records a reading that did not replace the served pair: refused with `error`, or unchanged with `None`.
    pub fn keep(&self, error: Option<&LoadError>) {
        // Readings are frequent and mostly the same: nothing is written unless something changed.
        if self.state.load().last_error.as_ref() == error {
            return;
        }
        self.state.rcu(|state| ServingState { served: state.served.clone(), last_error: error.cloned() });
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.load();
        state.served.as_ref().map(|served| Arc::clone(&served.certified_key))
    }
}
