//! The CAs of clients, from a file that is read again and again, as a mounted ConfigMap or Secret changes.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use certs::ClientVerifier;
use tokio::time::{MissedTickBehavior, interval};

use super::files::POLL_EVERY;
use crate::config::WebhookClients;

/// The file of CAs, and who verifies clients by it.
#[derive(Clone)]
pub struct ClientAuthorities {
    verifier: Arc<ClientVerifier>,
    path: PathBuf,
    last: Arc<Mutex<Reading>>,
}

/// What the last reading found.
#[derive(Default)]
struct Reading {
    trusted: Option<Vec<u8>>,
    error: Option<String>,
}

impl ClientAuthorities {
    /// Reads the file once.
    pub fn read(settings: &WebhookClients) -> Self {
        let verifier = Arc::new(ClientVerifier::new(settings.allowed_names.iter().cloned()));
        let authorities = Self { verifier, path: settings.ca_file.clone(), last: Arc::default() };
        authorities.poll();
        authorities
    }

    /// Demands their certificates of clients.
    pub fn verifier(&self) -> Arc<ClientVerifier> {
        Arc::clone(&self.verifier)
    }

    /// A check for readiness: without any CA nobody would be served.
    pub fn check(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let last = Arc::clone(&self.last);
        move || {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            match &last.error {
                Some(error) if last.trusted.is_none() => Err(error.clone()),
                _ => Ok(()),
            }
        }
    }

    /// Reads the file again and again, for as long as the process runs.
    pub async fn keep(self) {
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.poll();
        }
    }

    fn poll(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fs::read(&self.path).map_err(|error| format!("cannot be read: {error}"));
        let found = found.and_then(|pem| {
            if last.trusted.as_ref() == Some(&pem) {
                return Ok(());
            }
            let count = self.verifier.trust(&pem).map_err(|error| format!("cannot be used: {error}"))?;
            tracing::info!(file = %self.path.display(), count, "clients are verified by the CAs of this file");
            last.trusted = Some(pem);
            Ok(())
        });
        let error = found.err().map(|why| format!("the CAs of clients in {} {why}", self.path.display()));
        if let Some(error) = &error
            && last.error.as_ref() != Some(error)
        {
            let follows =
                if last.trusted.is_some() { "the older ones stay trusted" } else { "no client is served, not ready" };
            tracing::error!("{error}; {follows}");
        }
        last.error = error;
    }
}
