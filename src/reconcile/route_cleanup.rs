//! Deletes routes that must no longer be used.
//!
//! Those of Workspaces that are being deleted, or gone, go at once, also while a finalizer holds their Workspace: garbage
//! collection would get to them later, and until then requests would follow rules that no edit of the kind reaches.
//! With `--use-istio=false` those of earlier runs are deleted, once, because no new ones are created.

use std::sync::Arc;
use std::time::Duration;

use crds::labels::WORKSPACE_NAME_LABEL;
use futures::FutureExt as _;
use kube::api::ListParams;
use kube::{Api, Client};

use super::engine::{self, ReconcileCause, Requeue};
use crate::client::{CallError, delete_only, in_time};
use crate::metrics::{Controller, Metrics};
use crate::render::ChildKind;
use crate::stores::Stores;
use crate::stores::child::{Child, ChildType};
use crate::stores::collection::Progress;
use crate::stores::slim::{Incoming, Key};
use crate::stores::workspace::StoredWorkspace;

/// The first and the longest pause before [`remove_all`] retries.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How many are listed at a time.
const PAGE: u32 = 500;

/// What every reconcile needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub metrics: Arc<Metrics>,
}

/// Deletes the VirtualServices of Workspaces that are being deleted, or gone, at most `limit` at a time. Never returns.
pub(super) async fn run(context: Arc<Context>, limit: usize) {
    let reconcile = |key, cause, ()| reconcile(context.clone(), key, cause).map(|requeue| ((), requeue));
    let (triggers, never) = (context.stores.route_triggers(), std::future::pending());
    engine::run(Controller::RouteCleanup, triggers, limit, &context.metrics, never, reconcile).await;
}

/// Deletes the VirtualService of that name if it is that of a Workspace which is being deleted, or gone.
async fn reconcile(context: Arc<Context>, key: Key, cause: ReconcileCause) -> Requeue {
    let Some(route) = abandoned(&context.stores, &key) else { return Requeue::Forget };
    match remove_if_gone(&context, &route, cause).await {
        Ok(()) => Requeue::Forget,
        Err(error) => {
            tracing::warn!(%error, "failed to delete the route of a deleted Workspace; will retry");
            Requeue::Retry(None)
        }
    }
}

/// The VirtualService, if the Workspace that it was made for is not known to exist.
fn abandoned(stores: &Stores, key: &Key) -> Option<Arc<Child>> {
    let routes = stores.children(ChildKind::VirtualService);
    // It goes with its CRD, or is reconciled again once that is served again.
    let is_served = routes.progress() != Progress::NotInstalled;
    let route = routes.get(key).filter(|route| is_served && !route.identity.deleting)?;
    stores.is_abandoned(&route).then_some(route)
}

async fn remove_if_gone(context: &Context, route: &Child, cause: ReconcileCause) -> Result<(), CallError> {
    let Context { client, stores, .. } = context;
    let Some(workspace) = route.made_for() else { return Ok(()) };
    let key = Key::new(route.identity.key.namespace(), workspace);
    let known = stores.workspaces().get(&key);
    let is_deleting = known.is_some_and(|known| known.identity.deleting && route.is_made_for(&known.identity));
    // One that is not in the store may be so new that the watch has not delivered it yet.
    if !is_deleting && exists(client, &key, route).await? {
        return Ok(());
    }
    let routes = stores.children(ChildKind::VirtualService);
    remove(context, ChildType::served(ChildKind::VirtualService, routes), route, cause).await?;
    // Reconciled again before the watch delivers the deletion, it would be deleted twice.
    drop(routes.remove(&route.identity));
    Ok(())
}

/// Whether there is a Workspace of that name that the VirtualService was made for, and that is not being deleted.
async fn exists(client: &Client, key: &Key, route: &Child) -> Result<bool, CallError> {
    let api: Api<Incoming<StoredWorkspace>> = Api::namespaced(client.clone(), key.namespace());
    match in_time(api.get(key.name())).await {
        Ok(incoming) => {
            let identity = incoming.identity();
            Ok(route.is_made_for(&identity) && !identity.deleting)
        }
        // Unless it is the resource that is not served: the Workspace may exist.
        Err(error) if error.is_object_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes a VirtualService, unless it is another one by now.
async fn remove(context: &Context, of: ChildType, route: &Child, cause: ReconcileCause) -> Result<(), CallError> {
    let (namespace, name) = route.identity.key.parts();
    let api: Api<Incoming<Child>> = Api::namespaced_with(context.client.clone(), namespace, &of);
    match in_time(api.delete(name, &delete_only(&route.identity.uid))).await {
        Err(CallError::Api(kube::Error::Api(status))) if status.code == 409 => Ok(()),
        // Unless it is the API version that is not served any longer.
        Err(error) if error.is_object_missing() => Ok(()),
        result => {
            result?;
            tracing::info!(kind = "VirtualService", namespace, child = name, "deleted");
            context.metrics.written(ChildKind::VirtualService.row().plural, cause.label());
            Ok(())
        }
    }
}

/// Istio is off: deletes all VirtualServices of ours, retrying until that has worked once, and again where another namespace is
/// selected. Never returns.
pub(super) async fn remove_all(context: &Context) {
    let mut pause = FIRST_PAUSE;
    loop {
        match remove_once(context).await {
            // Only namespaces that are selected later have any that are left.
            Ok(true) => {
                context.stores.namespace_selected().await;
                pause = FIRST_PAUSE;
                continue;
            }
            // It may be served later, or a proxy before the API server did not know the way.
            Ok(false) => tracing::debug!("the API server does not serve VirtualServices; will retry"),
            Err(error) => tracing::warn!(%error, "failed to delete the VirtualServices of earlier runs; will retry"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether they are served at all.
async fn remove_once(context: &Context) -> Result<bool, CallError> {
    for of in ChildType::all(ChildKind::VirtualService) {
        match remove_served(context, of).await {
            Err(CallError::Api(kube::Error::Api(status))) if status.code == 404 => {}
            removed => return removed.map(|()| true),
        }
    }
    Ok(false)
}

/// Deletes all of ours in that API version.
async fn remove_served(context: &Context, of: ChildType) -> Result<(), CallError> {
    let all: Api<Incoming<Child>> = Api::all_with(context.client.clone(), &of);
    let mut params = ListParams::default().labels(WORKSPACE_NAME_LABEL).limit(PAGE);
    loop {
        let page = in_time(all.list(&params)).await?;
        for child in page.items.into_iter().filter_map(|incoming| incoming.object.ok()) {
            if belongs_to_workspace(&child, &context.stores) {
                remove(context, of, &child, ReconcileCause::Bulk).await?;
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Whether it is the VirtualService of an existing Workspace, made by us or by the Go controller. Those of deleted Workspaces go
/// with their owners.
fn belongs_to_workspace(route: &Child, stores: &Stores) -> bool {
    let owner = route.owner.as_ref().filter(|_| route.is_of_controller());
    let Some(name) = owner.and_then(|_| route.made_for()) else { return false };
    if !stores.is_reconciled(route.identity.key.namespace()) {
        return false;
    }
    let workspace = stores.workspaces().get(&Key::new(route.identity.key.namespace(), name));
    workspace.is_some_and(|workspace| route.is_made_for(&workspace.identity))
}
