//! Routes of Workspaces that are being deleted, or gone: they are deleted at once, also while a finalizer holds their
//! Workspace. Garbage collection would get to them later, and until then people would be routed by rules that no edit of
//! the kind reaches any more.

use std::sync::Arc;

use kube::{Api, Client};

use super::engine::Requeue;
use crate::client::{delete_only, names_object};
use crate::istio::VirtualService;
use crate::render::names::ChildNames;
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::metadata::Owner;
use crate::stores::slim::{Incoming, Key};
use crate::stores::workspace::StoredWorkspace;

/// Looks at the VirtualService of that name: deletes it if it is that of a Workspace which is being deleted, or gone.
pub(super) async fn look(client: Client, stores: Stores, key: Key) -> Requeue {
    let Some(route) = abandoned(&stores, &key) else { return Requeue::Forget };
    match remove_if_gone(&client, &stores, &route).await {
        Ok(()) => Requeue::Forget,
        Err(error) => {
            tracing::warn!(object = %key, %error, "the route of a deleted Workspace could not be deleted; trying again");
            Requeue::Retry(None)
        }
    }
}

/// The VirtualService, if we made it and the Workspace that it was made for is not known to be there.
fn abandoned(stores: &Stores, key: &Key) -> Option<Arc<Child<VirtualService>>> {
    let route = stores.virtual_services().get(key).filter(|route| !route.identity.deleting)?;
    let is_ours = route.owner.is_none() || is_named_after_owner(&route);
    let workspace = route.made_for().filter(|_| is_ours)?;
    (!stores.has_route(&Key::new(&key.namespace, workspace), &key.name)).then_some(route)
}

/// Whether a VirtualService has the name that we give to that of the Workspace which owns it.
pub(super) fn is_named_after_owner(route: &Child<VirtualService>) -> bool {
    let name = &route.identity.key.name;
    let is_after =
        |owner: &Owner| &*owner.kind == "Workspace" && *name == ChildNames::new(&owner.name, &owner.uid).service;
    route.owner.as_ref().is_some_and(is_after)
}

async fn remove_if_gone(client: &Client, stores: &Stores, route: &Child<VirtualService>) -> kube::Result<()> {
    let Some(workspace) = route.made_for() else { return Ok(()) };
    let key = Key::new(&route.identity.key.namespace, workspace);
    let name = &route.identity.key.name;
    let known = stores.workspaces().get(&key);
    let is_deleting = known.is_some_and(|known| known.identity.deleting && known.identity.has_route(name));
    // One that is not known may be so new that the watch has not brought it yet.
    if !is_deleting && exists(client, &key, name).await? {
        return Ok(());
    }
    remove(client, route).await?;
    // Asked again before the watch says so, it would be deleted twice.
    drop(stores.virtual_services().remove(&route.identity));
    Ok(())
}

/// Whether there is a Workspace of that name whose VirtualService is called `route`, and that is not being deleted.
async fn exists(client: &Client, key: &Key, route: &str) -> kube::Result<bool> {
    let api: Api<Incoming<StoredWorkspace>> = Api::namespaced(client.clone(), &key.namespace);
    match api.get(&key.name).await {
        Ok(incoming) => {
            let identity = incoming.identity();
            Ok(identity.has_route(route) && !identity.deleting)
        }
        // Unless it is the resource that is not known: that says nothing about the Workspace.
        Err(kube::Error::Api(status)) if status.code == 404 && names_object(&status) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes a VirtualService, unless it is another one by now.
pub(super) async fn remove(client: &Client, route: &Child<VirtualService>) -> kube::Result<()> {
    let Key { namespace, name } = &route.identity.key;
    let api: Api<Incoming<Child<VirtualService>>> = Api::namespaced(client.clone(), namespace);
    match api.delete(name, &delete_only(&route.identity.uid)).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        result => result.map(drop),
    }
}
