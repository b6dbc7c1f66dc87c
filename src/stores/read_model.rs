//! All stores of the process, and the triggers that their events fill.

use tokio::sync::Notify;

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
    /// A namespace came to be selected.
    pub selected: Notify,
    pub served: Served,
    pub watched: Watched,
}

/// What is watched beside kinds and Workspaces.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // independent switches
pub struct Watched {
    /// Notebooks, which only admission asks about.
    pub notebooks: bool,
    /// Children of Workspaces but for VirtualServices, their pods, and namespaces, which only the reconciler asks about. Namespaces also
    /// with a selector.
    pub children: bool,
    /// ConfigMaps with images, which only the statuses of kinds are about.
    pub kinds: bool,
    /// Their VirtualServices, and the Services that these point to.
    pub istio: bool,
    /// The label selector of the namespaces whose Workspaces are reconciled; without one, it is those of all.
    pub selector: Option<String>,
}

impl Watched {
    /// What is asked about under these settings.
    pub fn under(settings: &Settings) -> Self {
        let (mode, duties) = (&settings.mode, settings.mode.duties());
        Self {
            notebooks: settings.enable_webhooks,
            children: settings.enable_reconcile && duties.workspaces,
            kinds: settings.enable_reconcile && duties.kinds,
            istio: settings.enable_reconcile && duties.routes && settings.routing.use_istio,
            selector: mode.selector().map(str::to_owned),
        }
    }

    /// Whether nothing but routes is reconciled.
    pub(super) fn is_only_routes(&self) -> bool {
        self.istio && !self.children
    }
}
