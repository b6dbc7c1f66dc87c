//! Reconcile: makes every Workspace real, as a pipeline: observe (stores) -> render (pure) -> apply -> status.
//!
//! Triggers from the stores fill a queue; a bounded number of Workspaces is looked at a time. The only place that
//! writes children and the status of Workspaces. Role bindings, adoption, restarts, activity and the status of kinds
//! have their own steps and are not part of this one yet.

mod apply;
mod engine;
mod route_cleanup;
mod routes_off;
mod workspace;

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt as _;
use kube::Client;

use crate::config::Settings;
use crate::metrics::{Controller, Metrics};
use crate::stores::{Stores, Urgency};
use workspace::Context;

/// Makes Workspaces real until `shutdown`. Waits for the stores first: what is not known to exist would be made again.
pub async fn run(
    client: Client,
    stores: Stores,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return,
        () = stores.wait_synced() => {}
    }
    for key in stores.workspaces().keys() {
        stores.triggers().add(key, Urgency::Bulk);
    }
    let routing = settings.routing.clone();
    let use_istio = routing.use_istio;
    let context =
        Arc::new(Context { client: client.clone(), stores: stores.clone(), routing, metrics: metrics.clone() });
    let look = |key, memory| workspace::look(context.clone(), key, memory);
    let limit = settings.max_concurrent_reconciles;
    let run = engine::run(Controller::Workspace, stores.triggers(), limit, &metrics, shutdown, look);
    // Never ends by itself; ended with the other one.
    let other_routes = async {
        if use_istio {
            let look = |key, ()| route_cleanup::look(client.clone(), stores.clone(), key).map(|requeue| ((), requeue));
            let routes = stores.route_triggers();
            engine::run(Controller::RouteCleanup, routes, limit, &metrics, std::future::pending(), look).await;
        } else {
            routes_off::remove_all(&client, &stores).await;
        }
    };
    tokio::select! {
        () = run => {}
        () = other_routes => {}
    }
}
