//! What every renderer of a child starts from.

use std::collections::BTreeMap;

use crds::labels::{self, WORKSPACE_NAME_LABEL};
use crds::ports::PortPaths;
use crds::workspace::WorkspaceSpec;
use crds::workspace_kind::{ImageConfigSpec, PodConfigSpec, PodTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::names::Fixed;

/// The Workspace to render for.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid; names and owner references depend on it.
    pub uid: &'a str,
    /// What its user wants.
    pub spec: &'a WorkspaceSpec,
}

impl<'a> From<&'a crds::Workspace> for RenderInput<'a> {
    fn from(workspace: &'a crds::Workspace) -> Self {
        let text = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
        Self {
            namespace: text(&workspace.metadata.namespace),
            name: text(&workspace.metadata.name),
            uid: text(&workspace.metadata.uid),
            spec: &workspace.spec,
        }
    }
}

/// The input of the renderers of children. The options exist and no port number is there twice.
pub(super) struct RenderContext<'a> {
    pub input: RenderInput<'a>,
    pub fixed: Fixed,
    pub template: &'a PodTemplate,
    pub image: &'a ImageConfigSpec,
    pub pod: &'a PodConfigSpec,
    pub paths: PortPaths<'a>,
}

impl RenderContext<'_> {
    /// Metadata of the child `name`.
    pub fn metadata(&self, name: &str) -> ObjectMeta {
        child_metadata(self.input.namespace, self.input.name, self.input.uid, name)
    }

    /// The labels that select the pod.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        [WORKSPACE_NAME_LABEL, labels::STATEFULSET_LABEL]
            .map(|label| (label.to_owned(), self.input.name.to_owned()))
            .into()
    }
}

/// The name of a port in the pod and in the Service. Istio takes the protocol from its start.
pub(super) fn port_name(number: i32) -> String {
    format!("http-{number}")
}

/// The metadata of the child `name`: label and owner reference say that it belongs to the Workspace.
pub fn child_metadata(namespace: &str, workspace: &str, uid: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(BTreeMap::from([(WORKSPACE_NAME_LABEL.to_owned(), workspace.to_owned())])),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{}/{}", crds::GROUP, crds::VERSION),
            kind: "Workspace".to_owned(),
            name: workspace.to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}
