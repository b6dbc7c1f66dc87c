//! The clients, stores and settings of the prober.

use std::sync::Arc;

use kube::Client;

use super::super::events::EventRecorder;
use crate::config::{Routing, Settings};
use crate::metrics::Metrics;
use crate::stores::Stores;

/// What probing needs.
pub(in crate::reconcile) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    pub metrics: Arc<Metrics>,
    pub recorder: EventRecorder,
    /// Whether it is only reported which Workspaces would be paused.
    pub dry_run_pausing: bool,
}

impl Context {
    /// That of a process with these settings.
    pub fn new(
        client: &Client,
        stores: &Stores,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        recorder: EventRecorder,
    ) -> Self {
        Self {
            client: client.clone(),
            stores: stores.clone(),
            routing: settings.routing.clone(),
            metrics: metrics.clone(),
            recorder,
            dry_run_pausing: settings.dry_run_pausing,
        }
    }
}
