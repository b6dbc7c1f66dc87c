//! What is served: every handshake takes the current pair from here, without waiting for a reload.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::load_error::LoadError;
use crate::loaded::Loaded;
use crate::timestamp::rfc3339;

/// What is served, and how the last attempt to renew it ended.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The pair that handshakes get; it stays when a newer one is bad, and even when it has expired.
    pub served: Option<Loaded>,
    /// Why the last reading was refused; `None` once a reading is fine again.
    pub last_error: Option<LoadError>,
}

/// Why handshakes with this server would fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// No pair has ever been loaded.
    NothingLoaded {
        /// Why not, if a reading was tried.
        error: Option<LoadError>,
    },
    /// The served pair has expired and no better one came.
    Expired {
        /// The last moment of its validity.
        not_after: SystemTime,
        /// Why what lies there now is not served instead, if it differs.
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

impl Held {
    /// Whether a client with a right clock can complete a handshake at `now`.
    pub fn ready(&self, now: SystemTime) -> bool {
        self.not_ready(now).is_none()
    }

    /// The reason behind [`Held::ready`] being false, for a readiness answer; `None` when ready.
    pub fn not_ready(&self, now: SystemTime) -> Option<NotReady> {
        let error = self.last_error.clone();
        match &self.served {
            None => Some(NotReady::NothingLoaded { error }),
            Some(served) if now > served.not_after => Some(NotReady::Expired { not_after: served.not_after, error }),
            Some(_) => None,
        }
    }
}

/// Hands the current pair to rustls; cheap to read from any number of handshakes at once.
#[derive(Debug, Default)]
pub struct Resolver {
    held: ArcSwap<Held>,
}

impl Resolver {
    /// Serves nothing yet: until the first [`Resolver::replace`] every handshake is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is served now, for metrics and readiness.
    pub fn current(&self) -> Arc<Held> {
        self.held.load_full()
    }

    /// Serves `loaded` from the next handshake on, and forgets the last error.
    pub fn replace(&self, loaded: Loaded) {
        self.held.store(Arc::new(Held { served: Some(loaded), last_error: None }));
    }

    /// Notes how a reading ended that left the served pair as it is: refused for `error`, or fine with `None`.
    pub fn keep(&self, error: Option<&LoadError>) {
        // Readings are frequent and mostly alike: nothing is written unless something changed.
        if self.held.load().last_error.as_ref() == error {
            return;
        }
        self.held.rcu(|held| Held { served: held.served.clone(), last_error: error.cloned() });
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let held = self.held.load();
        held.served.as_ref().map(|served| Arc::clone(&served.certified_key))
    }
}
