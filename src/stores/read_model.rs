//! All stores of the process, and the triggers that their events fill.

use super::child::Child;
use super::collection::Collection;
use super::image_source::ImageSource;
use super::kind::StoredKind;
use super::namespace::StoredNamespace;
use super::notebook::StoredNotebook;
use super::pod::Pod;
use super::served::Served;
use super::triggers::Triggers;
use super::workspace::StoredWorkspace;
use crate::config::Settings;
use crate::render::PerChild;

/// The stores.
#[derive(Debug, Default)]
pub(super) struct ReadModel {
    pub kinds: Collection<StoredKind>,
    pub workspaces: Collection<StoredWorkspace>,
    pub notebooks: Collection<StoredNotebook>,
    pub namespaces: Collection<StoredNamespace>,
    pub children: PerChild<Collection<Child>>,
    pub pods: Collection<Pod>,
    pub image_sources: Collection<ImageSource>,
    pub triggers: Triggers,
    pub route_triggers: Triggers,
    pub kind_triggers: Triggers,
    pub served: Served,
    pub watched: Watched,
}

/// What is watched beside kinds and Workspaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// Notebooks, which only admission asks about.
    pub notebooks: bool,
    /// Children of Workspaces but for VirtualServices, their pods, ConfigMaps with images, and namespaces, which only the reconciler
    /// asks about.
    pub children: bool,
    /// Their VirtualServices, and the Services that these point to.
    pub istio: bool,
}

impl Watched {
    /// What is asked about under these settings.
    pub fn under(settings: &Settings) -> Self {
        let duties = settings.mode.duties();
        Self {
            notebooks: settings.enable_webhooks,
            children: settings.enable_reconcile && duties.workspaces,
            istio: settings.enable_reconcile && duties.routes && settings.routing.use_istio,
        }
    }

    /// Whether nothing but routes is reconciled.
    pub(super) fn is_only_routes(self) -> bool {
        self.istio && !self.children
    }
}
