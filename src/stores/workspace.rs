//! The slim form of Workspaces.

use crds::options::{KindOption, OptionList};
use crds::workspace::{WorkspaceSpec, WorkspaceStatus};
use serde::{Deserialize, Deserializer};

use super::collection::Collection;
use super::metadata::WireMetadata;
use super::packed_status::PackedStatus;
use super::slim::{Identity, Key, Slim};
use crate::render::RenderInput;

/// A Workspace without the metadata that is not used.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWorkspace {
    /// Its identity.
    pub identity: Identity,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// What its user wants.
    pub spec: WorkspaceSpec,
    /// What was last observed.
    pub status: PackedStatus,
    /// When its pod is to be restarted, from its annotation (RFC 3339, if it is right).
    pub restart_at: Option<Box<str>>,
}

impl StoredWorkspace {
    /// What it is rendered from.
    pub fn render_input(&self) -> RenderInput<'_> {
        let Identity { key, uid, .. } = &self.identity;
        let (namespace, name) = key.parts();
        RenderInput { namespace, name, uid, spec: &self.spec }
    }
}

impl<'de> Deserialize<'de> for StoredWorkspace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: WireMetadata,
            spec: WorkspaceSpec,
            #[serde(default)]
            status: WorkspaceStatus,
        }
        let Wire { mut metadata, spec, status } = Wire::deserialize(deserializer)?;
        let status = PackedStatus::from(&status);
        let generation = metadata.generation.unwrap_or_default();
        let restart_at = metadata.annotations.restart_at.take();
        Ok(Self { identity: metadata.identity(), generation, spec, status, restart_at })
    }
}

impl Slim for StoredWorkspace {
    type Of = crds::Workspace;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// By the kind and by each of the two options that it uses.
    fn indexes(&self) -> Vec<Box<str>> {
        let WorkspaceSpec { kind, pod_template, .. } = &self.spec;
        let option = |list: OptionList| option_index(kind, list, list.selected(&pod_template.options));
        let [image, pod] = OptionList::ALL.map(option);
        vec![kind.as_str().into(), image, pod]
    }
}

impl Collection<StoredWorkspace> {
    /// How many Workspaces use an option of the kind, and the keys of the first `few` of them. The time does not
    /// depend on how many there are.
    pub fn using_option(&self, kind: &str, option: &KindOption, few: usize) -> (usize, Vec<Key>) {
        self.first_indexed(&option_index(kind, option.list, &option.id), few)
    }
}

/// The index of the Workspaces that use an option. The names of kinds contain no slash.
fn option_index(kind: &str, list: OptionList, id: &str) -> Box<str> {
    format!("{kind}/{}/{id}", list.as_str()).into()
}
