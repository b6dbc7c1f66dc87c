//! Under which paths a Workspace can be opened.

use crds::ports::{ConnectPaths, Dialect};
use crds::workspace_kind::PodTemplate;
use serde::Serialize;

use super::text::{SHORT, shown};
use crate::stores::workspace::StoredWorkspace;

/// The most ports of a Workspace that a page names.
const PORTS: usize = 10;

/// A port and its path.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PortRow {
    /// The text of the link to it in the UI.
    pub text: String,
    /// Its path on the gateway.
    pub path: String,
}

/// The ports of the image that the Workspace selects and that are routed, and how many more there are.
pub(super) fn ports(
    workspace: &StoredWorkspace,
    template: &PodTemplate,
    paths: Option<&ConnectPaths>,
) -> (Vec<PortRow>, usize) {
    let images = &template.options.image_config.values;
    let selected = &workspace.spec.pod_template.options.image_config;
    let (Some(paths), Some(image)) = (paths, images.iter().find(|image| image.id == *selected)) else {
        return (Vec::new(), 0);
    };
    let (dialect, (namespace, name)) = (template.dialect(), workspace.identity.key.parts());
    let routed = image.spec.ports.iter().map(|port| (port, template.proxied_port(&port.id)));
    // As the renderer does: what dialect `id` does not list is not proxied.
    let routed = routed.filter(|(_, entry)| entry.is_some() || dialect == Dialect::PortId);
    let mut rows: Vec<PortRow> = routed
        .map(|(port, entry)| {
            let default = entry.and_then(|entry| entry.default_display_name.as_deref());
            let text = port.display_name.as_deref().or(default).unwrap_or(&port.id);
            let path = paths.path(dialect, namespace, name, &port.id);
            PortRow { text: shown(text, SHORT), path: shown(&path, 2 * SHORT) }
        })
        .collect();
    let more = rows.len().saturating_sub(PORTS);
    rows.truncate(PORTS);
    (rows, more)
}
