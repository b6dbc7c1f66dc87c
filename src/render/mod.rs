//! Render: (Workspace, WorkspaceKind, routing settings) -> the children that should exist, or why not.
//!
//! Pure: no clock, no client, no logging. What is rendered here is what apply writes; what admission accepted always
//! renders. Stored objects that an older webhook let through render as Go would, except for what Envoy refuses.

mod children;
pub mod difference;
pub mod names;
mod options;
mod service;
mod service_account;
mod stateful_set;
mod virtual_service;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use crds::environment::EnvFault;
use crds::labels::{self, WORKSPACE_NAME_LABEL};
use crds::ports::PortPaths;
use crds::template::Mode;
use crds::workspace::WorkspaceSpec;
use crds::workspace_kind::{ImageConfigSpec, PodConfigSpec, PodTemplate, WorkspaceKindSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::config::Routing;
use names::ChildNames;

pub use children::{Action, ChildKind, ChildRow, Desired, Manifest, PerChild, Serves};
pub use options::{OptionFault, resolve as resolve_options};
pub use virtual_service::{Route, RouteFault, UnsafeHeader, describe_headers};
pub use volumes::LeftOutMount;

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

impl RenderInput<'_> {
    /// The metadata of the child `name`: label and owner reference say that it belongs to the Workspace.
    pub fn child_metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(BTreeMap::from([(WORKSPACE_NAME_LABEL.to_owned(), self.name.to_owned())])),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/{}", crds::GROUP, crds::VERSION),
                kind: "Workspace".to_owned(),
                name: self.name.to_owned(),
                uid: self.uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }
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

/// Why a Workspace cannot be rendered. The author of the kind or of the Workspace can mend it: it lasts until one of the two
/// changes, so a retry is of no use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RenderFault {
    /// The selected imageConfig does not exist.
    #[error("Workspace has invalid imageConfig: {0}")]
    ImageConfig(OptionFault),
    /// The selected podConfig does not exist.
    #[error("Workspace has invalid podConfig: {0}")]
    PodConfig(OptionFault),
    /// The name cannot be that of a Service or the value of a label.
    #[error(
        "Workspace failed to generate StatefulSet with error: its name must be a DNS label of at most 63 characters"
    )]
    Name,
    /// Two ports of the image have one number.
    #[error("Workspace failed to generate StatefulSet with error: duplicate port number {0} in imageConfig")]
    DuplicatePort(i32),
    /// An environment variable does not render: it passes a limit, or does not parse.
    #[error("Workspace failed to generate StatefulSet with error: failed to render extraEnv {name:?}: {detail}")]
    Env {
        /// The first such variable.
        name: String,
        /// What is wrong, in Go's words.
        detail: String,
    },
}

impl From<EnvFault> for RenderFault {
    fn from(fault: EnvFault) -> Self {
        Self::Env { name: fault.name, detail: fault.detail }
    }
}

/// Renders all children of a Workspace.
///
/// A route that would be unsafe is a part of the answer, not a fault: the pod does not depend on it.
pub fn render(input: RenderInput<'_>, kind: &WorkspaceKindSpec, routing: &Routing) -> Result<Desired, RenderFault> {
    if !labels::is_dns_label(input.name) {
        return Err(RenderFault::Name);
    }
    let template = &kind.pod_template;
    let selected = &input.spec.pod_template.options;
    let image = options::image_config(template, &selected.image_config).map_err(RenderFault::ImageConfig)?;
    let pod = options::pod_config(template, &selected.pod_config).map_err(RenderFault::PodConfig)?;
    if let Some(port) = duplicate_port(image) {
        return Err(RenderFault::DuplicatePort(port));
    }
    let known = template.known_port_ids();
    let context = RenderContext {
        input,
        names: ChildNames::new(input.name, input.uid),
        template,
        image,
        pod,
        paths: PortPaths {
            paths: &routing.paths,
            dialect: template.dialect(),
            namespace: input.namespace,
            workspace: input.name,
            selected: &image.ports,
            known: &known,
            mode: Mode::Stored,
        },
    };
    Desired::render(&context, routing)
}

/// The account that the pod of a Workspace runs as.
pub fn service_account_name(input: RenderInput<'_>, template: &PodTemplate) -> String {
    let existing = template.service_account.as_ref().and_then(|account| account.name.clone());
    existing.unwrap_or_else(|| ChildNames::new(input.name, input.uid).service_account)
}

/// The input of the renderers of children. The options exist and no port number is there twice.
struct RenderContext<'a> {
    input: RenderInput<'a>,
    names: ChildNames,
    template: &'a PodTemplate,
    image: &'a ImageConfigSpec,
    pod: &'a PodConfigSpec,
    paths: PortPaths<'a>,
}

impl RenderContext<'_> {
    /// Metadata of the child `name`.
    fn metadata(&self, name: &str) -> ObjectMeta {
        self.input.child_metadata(name)
    }

    /// The labels that select the pod.
    fn pod_labels(&self) -> BTreeMap<String, String> {
        [WORKSPACE_NAME_LABEL, labels::STATEFULSET_LABEL]
            .map(|label| (label.to_owned(), self.input.name.to_owned()))
            .into()
    }
}

/// The name of a port in the pod and in the Service. Istio takes the protocol from its start.
fn port_name(number: i32) -> String {
    format!("http-{number}")
}

/// A port number that two ports of the image have.
fn duplicate_port(image: &ImageConfigSpec) -> Option<i32> {
    let mut seen = BTreeSet::new();
    image.ports.iter().map(|port| port.port).find(|number| !seen.insert(*number))
}

#[cfg(test)]
mod tests;
