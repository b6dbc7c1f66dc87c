//! Beside the Go controller: reconciles nothing but the VirtualService of each Workspace, and writes no other object, no status,
//! no finalizer and no Event. What became of the routes, metrics and log say.
//!
//! One Workspace is reconciled in `route.rs`; `state.rs` counts the results, `others.rs` knows which VirtualServices the Go
//! controller writes, and `undone.rs` which ones another client undoes.

mod context;
mod others;
mod route;
mod state;
mod undone;

use std::future::Future;
use std::sync::Arc;

use kube::Client;

use super::{engine, route_cleanup};
use crate::config::Settings;
use crate::metrics::{Controller, Metrics};
use crate::stores::Stores;
use context::Context;
use others::Leftovers;
use state::RouteStates;

pub use others::RoutesOfAnother;

/// Reconciles the routes of all Workspaces until `shutdown`, once the stores are synced. `take_over`: those that the Go controller
/// made, too.
///
/// # Errors
/// The Go controller writes them, or did, and they are not to be taken over.
pub(super) async fn run(
    client: Client,
    stores: Stores,
    settings: &Settings,
    take_over: bool,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RoutesOfAnother> {
    let leftovers = Leftovers::find(&stores, take_over)?;
    stores.trigger_all();
    let (routing, states) = (settings.routing.clone(), RouteStates::new(metrics.clone()));
    let cleanup = route_cleanup::Context { client: client.clone(), stores: stores.clone(), metrics: metrics.clone() };
    let context = Arc::new(Context { client, stores, routing, metrics, leftovers, states });
    let limit = settings.max_concurrent_reconciles;
    let routes = {
        let reconcile = |key, cause, memory| route::reconcile(context.clone(), key, cause, memory);
        engine::run(Controller::Route, context.stores.triggers(), limit, &context.metrics, shutdown, reconcile)
    };
    tokio::select! {
        () = routes => {}
        // Does not return by itself.
        () = route_cleanup::run(Arc::new(cleanup), limit) => {}
    }
    Ok(())
}
