//! `--use-istio=false`: the VirtualServices that earlier runs made are taken away. Once is enough, for nobody makes new
//! ones; no watch is kept for it.

use std::time::Duration;

use crds::labels::WORKSPACE_NAME_LABEL;
use kube::api::ListParams;
use kube::{Api, Client};

use super::route_cleanup::{is_named_after_owner, remove};
use crate::istio::VirtualService;
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::slim::{Incoming, Key};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const PAGE: u32 = 500;

/// Takes away what is ours, trying until that has worked once; never ends.
pub(super) async fn remove_all(client: &Client, stores: &Stores) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = remove_once(client, stores).await {
        tracing::warn!(%error, "VirtualServices of earlier runs could not be taken away; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    std::future::pending::<()>().await;
}

async fn remove_once(client: &Client, stores: &Stores) -> kube::Result<()> {
    let all: Api<Incoming<Child<VirtualService>>> = Api::all(client.clone());
    let mut params = ListParams::default().labels(WORKSPACE_NAME_LABEL).limit(PAGE);
    loop {
        let page = match all.list(&params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            page => page?,
        };
        for child in page.items.into_iter().filter_map(|incoming| incoming.object.ok()) {
            if is_ours(&child, stores) {
                remove(client, &child).await?;
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Whether it is the VirtualService that we made for an existing Workspace. Those of others go with their owners.
fn is_ours(route: &Child<VirtualService>, stores: &Stores) -> bool {
    let owner = route.owner.as_ref().filter(|_| is_named_after_owner(route));
    owner.is_some_and(|owner| {
        let workspace = stores.workspaces().get(&Key::new(&route.identity.key.namespace, &owner.name));
        workspace.is_some_and(|workspace| workspace.identity.uid == owner.uid)
    })
}
