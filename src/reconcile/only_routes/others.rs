//! The VirtualServices of the Go controller: whether it writes them now, or has left them behind.
//!
//! Nothing in a cluster says whether it writes them: it does where its `USE_ISTIO` is true, and those that it has made stay when
//! that is switched off. So whoever starts this process says so (`--take-over-routes`), and only what was there at the start is
//! taken over, once: what it writes afterwards is left to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::render::ChildKind;
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::slim::{Identity, Key};
use crate::stores::uid::Uid;

/// The Go controller makes the VirtualServices of Workspaces, or did.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "refusing to start with --only-routes: the Go controller (field manager \"manager\") writes the VirtualServices of \
     Workspaces, or did until now: {count} of them, the first is {first}. Two controllers must not write the same routes. \
     Switch its own off: USE_ISTIO=false in its environment (its manifests take it from the ConfigMap \
     kubeflow-workspaces-istio-config), or its flag --use-istio=false. Those that it has made stay, and go on routing. Once \
     it has been restarted, start this one with --take-over-routes: they are kept as they are, and followed from then on"
)]
pub struct RoutesOfAnother {
    /// How many.
    pub count: usize,
    /// The first by namespace and name.
    pub first: Key,
}

/// The VirtualServices that the Go controller had made before this process started, and that have not been applied to since.
#[derive(Debug)]
pub(super) struct Leftovers {
    found: Mutex<BTreeMap<Key, Uid>>,
    /// Whether they are taken over.
    take_over: bool,
}

impl Leftovers {
    /// Those that there are.
    ///
    /// # Errors
    /// There are some, and they are not to be taken over.
    pub fn find(stores: &Stores, take_over: bool) -> Result<Self, RoutesOfAnother> {
        let mut found = BTreeMap::new();
        stores.children(ChildKind::VirtualService).for_each(|route| {
            // What belongs to no Workspace goes, or is nobody's route.
            let workspace = route.owner.as_ref().and_then(|owner| owner.workspace());
            let workspace = workspace.map(|name| Key::new(route.identity.key.namespace(), name));
            let workspace = workspace.and_then(|workspace| stores.workspaces().get(&workspace));
            if route.is_routed_by_peer && workspace.is_some_and(|known| route.is_owned_by(&known.identity.uid)) {
                found.insert(route.identity.key.clone(), route.identity.uid.clone());
            }
        });
        match found.first_key_value() {
            Some((first, _)) if !take_over => Err(RoutesOfAnother { count: found.len(), first: first.clone() }),
            _ => Ok(Self { found: Mutex::new(found), take_over }),
        }
    }

    /// That there was another one before the start, which had lost its label.
    pub fn add(&self, route: &Identity) {
        if self.take_over {
            self.lock().insert(route.key.clone(), route.uid.clone());
        }
    }

    /// Whether the Go controller has written this one since the start, or since it was applied here.
    pub fn is_written_by_peer(&self, route: &Child) -> bool {
        route.is_routed_by_peer && self.lock().get(&route.identity.key) != Some(&route.identity.uid)
    }

    /// That one was applied to, or deleted, here.
    pub fn settle(&self, route: &Key) {
        self.lock().remove(route);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Uid>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
