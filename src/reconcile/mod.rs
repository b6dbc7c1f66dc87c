//! Reconcile: makes what Workspaces ask for exist, as a pipeline: observe (stores) -> plan (render, pure) -> apply ->
//! status.
//!
//! Triggers from the stores fill a queue; a bounded number of objects is reconciled at a time. The only place that writes
//! children, finalizers and statuses, pauses what is idle, and deletes pods for a restart.

mod activity;
mod apply;
pub mod conditions;
mod contest;
mod engine;
mod events;
mod kind;
mod only_routes;
mod patch;
mod route_cleanup;
mod span;
mod status_patch;
mod workspace;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::Client;

use crate::config::{Mode, Settings};
use crate::metrics::{Controller, Metrics};
use crate::stores::Stores;
use events::EventRecorder;
use workspace::Context;

pub use only_routes::RoutesOfAnother;

/// How long the last Events may take to be written.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// Reconciles Workspaces until `shutdown`. Waits for the stores first: what is not known to exist would be created again.
///
/// # Errors
/// Only their routes are to be reconciled, and another controller does that.
pub async fn run(
    client: Client,
    stores: Stores,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RoutesOfAnother> {
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(()),
        () = stores.wait_synced() => {}
    }
    let _reconciling = Reconciling::begin(&stores);
    if let Mode::OnlyRoutes { take_over, .. } = settings.mode {
        return only_routes::run(client, stores, &settings, take_over, metrics, shutdown).await;
    }
    everything(client, stores, &settings, metrics, shutdown).await;
    Ok(())
}

/// While this lives, this replica reconciles.
struct Reconciling(Stores);

impl Reconciling {
    fn begin(stores: &Stores) -> Self {
        stores.set_idle(false);
        Self(stores.clone())
    }
}

impl Drop for Reconciling {
    fn drop(&mut self) {
        self.0.set_idle(true);
    }
}

/// Reconciles Workspaces and their kinds.
async fn everything(
    client: Client,
    stores: Stores,
    settings: &Settings,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    stores.trigger_all();
    let routing = settings.routing.clone();
    let use_istio = routing.use_istio;
    let (recorder, events) = EventRecorder::new();
    let mut events = std::pin::pin!(events.write(&client, &metrics));
    let context = Arc::new(Context {
        client: client.clone(),
        stores: stores.clone(),
        routing,
        scheduling_patience: settings.scheduling_patience,
        metrics: metrics.clone(),
        recorder: recorder.clone(),
    });
    let reconcile = |key, cause, memory| workspace::reconcile(context.clone(), key, cause, memory);
    let limit = settings.max_concurrent_reconciles;
    let (shutdown, recorder_of_kinds) = (shutdown.shared(), recorder.clone());
    let stopped = shutdown.clone();
    let workspaces = engine::run(Controller::Workspace, stores.triggers(), limit, &metrics, shutdown, reconcile);
    // These do not return by themselves.
    let kinds = async {
        if !settings.mode.duties().kinds {
            return std::future::pending().await;
        }
        let (routing, policy) = (settings.routing.clone(), settings.policy.clone());
        let (client, stores, metrics) = (client.clone(), stores.clone(), metrics.clone());
        let context = Arc::new(kind::Context { client, stores, routing, policy, metrics, recorder: recorder_of_kinds });
        let reconcile = |key, cause, memory| kind::reconcile(context.clone(), key, cause, memory);
        let (triggers, never) = (context.stores.kind_triggers(), std::future::pending());
        engine::run(Controller::WorkspaceKind, triggers, limit, &context.metrics, never, reconcile).await;
    };
    let routes = async {
        let (client, stores, counted) = (client.clone(), stores.clone(), metrics.clone());
        let context = Arc::new(route_cleanup::Context { client, stores, metrics: counted });
        if use_istio {
            route_cleanup::run(context, limit).await;
        } else {
            route_cleanup::remove_all(&context).await;
        }
    };
    let activity = activity::run(activity::Context::new(&client, &stores, settings, &metrics, recorder), stopped);
    tokio::select! {
        () = workspaces => {}
        () = kinds => {}
        () = activity => {}
        () = routes => {}
        () = &mut events => {}
    }
    drop(context);
    drop(tokio::time::timeout(LAST_EVENTS, events).await);
}
