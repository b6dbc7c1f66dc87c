//! Whether the API server trusts what is served, for readiness and metrics; and the log, which has each change of that once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Metrics;

/// Whether the API server trusts what is served.
#[derive(Clone)]
pub(super) struct Trust {
    state: Arc<Mutex<TrustState>>,
    metrics: Arc<Metrics>,
}

struct TrustState {
    is_trusted: bool,
    /// What is in the way.
    obstacle: Option<String>,
}

impl Trust {
    /// `needed` where there is an API server that has to trust it.
    pub fn new(needed: bool, metrics: Arc<Metrics>) -> Self {
        Self { state: Arc::new(Mutex::new(TrustState { is_trusted: !needed, obstacle: None })), metrics }
    }

    /// What was observed: whether it is trusted, and what is in the way of publishing it.
    pub fn observe(&self, is_trusted: bool, obstacle: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if obstacle != state.obstacle {
            if let Some(obstacle) = &obstacle {
                tracing::error!("the CA of the certificate cannot be published: {obstacle}");
            } else {
                tracing::info!("the CA of the certificate can be published again");
            }
        }
        *state = TrustState { is_trusted, obstacle };
        self.metrics.certificate_trusted(is_trusted);
    }

    /// Why a request of the API server would fail.
    pub fn check(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.obstacle {
            _ if state.is_trusted => Ok(()),
            Some(obstacle) => Err(format!("the CA of the certificate cannot be published: {obstacle}")),
            None => Err("the CA of the certificate has not been published yet".to_owned()),
        }
    }
}
