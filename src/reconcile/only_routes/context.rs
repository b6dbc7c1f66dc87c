//! What the reconcile of a route needs.

use std::sync::Arc;

use kube::Client;

use super::others::Leftovers;
use super::state::RouteStates;
use crate::config::Routing;
use crate::metrics::Metrics;
use crate::stores::Stores;

/// What every reconcile needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    pub metrics: Arc<Metrics>,
    pub leftovers: Leftovers,
    pub states: RouteStates,
}
