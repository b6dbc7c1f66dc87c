//! How far and how current each store is, for the status page.

use super::Stores;
use super::collection::{Collection, Freshness, Progress};
use super::resources::WatchedResource;
use super::slim::Slim;
use super::watch::Necessity;

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
    /// Whether something does not work because it is not installed or not allowed, though the process is ready.
    pub is_missed: bool,
}

impl Stores {
    /// The stores of all that is watched.
    pub fn caches(&self) -> Vec<CacheState> {
        WatchedResource::all(&self.0.watched).map(|resource| self.cache(resource)).collect()
    }

    fn cache(&self, resource: WatchedResource) -> CacheState {
        fn state<T: Slim>((resource, necessity): (WatchedResource, Necessity), of: &Collection<T>) -> CacheState {
            let (progress, objects, freshness) = (of.progress(), of.count(), of.freshness());
            let is_missed = match necessity {
                Necessity::Required => false,
                Necessity::Recommended => progress == Progress::NotInstalled,
                Necessity::Optional(_) => progress == Progress::Forbidden,
            };
            CacheState { resource: resource.name(), progress, objects, freshness, is_missed }
        }
        let (model, of) = (&self.0, (resource, resource.necessity(&self.0.watched)));
        match resource {
            WatchedResource::WorkspaceKinds => state(of, &model.kinds),
            WatchedResource::Workspaces => state(of, &model.workspaces),
            WatchedResource::Notebooks => state(of, &model.notebooks),
            WatchedResource::Children(kind) => state(of, &model.children[kind]),
            WatchedResource::Pods => state(of, &model.pods),
            WatchedResource::ImageSources => state(of, &model.image_sources),
            WatchedResource::Namespaces => state(of, &model.namespaces),
        }
    }
}
