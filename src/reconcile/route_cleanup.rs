//! Routes of Workspaces that are being deleted, or gone: they are deleted at once, also while a finalizer holds their
//! Workspace. Garbage collection would get to them later, and until then people would be routed by rules that no edit of
//! the kind reaches any more.

use std::sync::Arc;

use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use super::queue::Verdict;
use crate::client::names_object;
use crate::istio::VirtualService;
use crate::render::names::ChildNames;
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::slim::{Incoming, Key, Owner};
use crate::stores::workspace::StoredWorkspace;

/// Looks at the VirtualService of that name: deletes it if it is that of a Workspace which is being deleted, or gone.
pub(super) async fn look(client: Client, stores: Stores, key: Key) -> Verdict {
    let Some(route) = abandoned(&stores, &key) else { return Verdict::Gone };
    match remove_if_gone(&client, &stores, &route).await {
        Ok(()) => Verdict::Gone,
        Err(error) => {
            tracing::warn!(object = %key, %error, "the route of a deleted Workspace could not be deleted; trying again");
            Verdict::Failed(None)
        }
    }
}

/// The VirtualService, if we made it and the Workspace that it was made for is not known to be there.
fn abandoned(stores: &Stores, key: &Key) -> Option<Arc<Child<VirtualService>>> {
    let route = stores.virtual_services().get(key).filter(|route| !route.identity.deleting)?;
    let is_ours = route.owner.is_none() || made_for(&route).is_some();
    let workspace = route.made_for().filter(|_| is_ours)?;
    (!stores.has_route(&Key::new(&key.namespace, workspace), &key.name)).then_some(route)
}

/// The Workspace that we made a VirtualService for; none where it was made by somebody else, or has no owner.
pub(super) fn made_for(route: &Child<VirtualService>) -> Option<&Owner> {
    let owner = route.owner.as_ref().filter(|owner| &*owner.kind == "Workspace")?;
    (route.identity.key.name == ChildNames::new(&owner.name, &owner.uid).service).then_some(owner)
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
    let uid = Some(route.identity.uid.to_string());
    let params =
        DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        result => result.map(drop),
    }
}
