//! How far and how current each store is, for the status page.

use super::Stores;
use super::collection::{Collection, Freshness, Progress};
use super::resources::WatchedResource;
use super::slim::Slim;

/// The store of one watched resource.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheState {
    /// The resource in the plural.
    pub resource: &'static str,
    /// How far it is.
    pub progress: Progress,
    /// How many objects it has.
    pub objects: usize,
    /// How current it is.
    pub freshness: Freshness,
}

impl Stores {
    /// The stores of all that is watched.
    pub fn caches(&self) -> Vec<CacheState> {
        WatchedResource::all(&self.0.watched).map(|resource| self.cache(resource)).collect()
    }

    fn cache(&self, resource: WatchedResource) -> CacheState {
        fn state<T: Slim>(resource: WatchedResource, of: &Collection<T>) -> CacheState {
            let (progress, objects, freshness) = (of.progress(), of.count(), of.freshness());
            CacheState { resource: resource.name(), progress, objects, freshness }
        }
        let model = &self.0;
        match resource {
            WatchedResource::WorkspaceKinds => state(resource, &model.kinds),
            WatchedResource::Workspaces => state(resource, &model.workspaces),
            WatchedResource::Notebooks => state(resource, &model.notebooks),
            WatchedResource::Children(kind) => state(resource, &model.children[kind]),
            WatchedResource::Pods => state(resource, &model.pods),
            WatchedResource::ImageSources => state(resource, &model.image_sources),
            WatchedResource::Namespaces => state(resource, &model.namespaces),
        }
    }
}
