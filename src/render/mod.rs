//! Render: (Workspace, WorkspaceKind, routing settings) -> the children that should exist, or why not.
//!
//! Pure: no clock, no client, no logging. What is rendered here is what apply writes; what admission accepted always
//! renders. Stored objects that an older webhook let through render as Go would, except for what Envoy refuses.

mod children;
mod context;
pub mod difference;
mod fault;
mod kept_paths;
mod manifest;
pub mod names;
mod options;
mod role_bindings;
mod service;
mod service_account;
mod stateful_set;
mod virtual_service;
mod volumes;

use std::collections::BTreeSet;

use crds::labels;
use crds::ports::PortPaths;
use crds::template::Mode;
use crds::workspace_kind::{ImageConfigSpec, WorkspaceKindSpec};

use crate::config::Routing;
use context::RenderContext;
use names::Fixed;

pub use children::{ChildAction, ChildKind, ChildRow, Desired, PerChild, Serves};
pub use context::{RenderInput, child_metadata};
pub use fault::{OptionFault, RenderFault};
pub use kept_paths::KeptPaths;
pub use manifest::{Action, Manifest};
pub use options::resolve as resolve_options;
pub use role_bindings::names as role_binding_names;
pub use service_account::service_account_name;
pub use virtual_service::{Route, RouteFault, UnsafeHeader, describe_headers};
pub use volumes::SkippedMount;

/// Renders all children of a Workspace that has none yet.
///
/// # Errors
/// As [`render_existing`].
pub fn render(input: RenderInput<'_>, kind: &WorkspaceKindSpec, routing: &Routing) -> Result<Desired, RenderFault> {
    render_existing(input, Fixed::new(input.name, input.uid), kind, routing)
}

/// Renders all children of a Workspace, those that exist under the names that they have.
///
/// A route that would be unsafe is a part of the answer, not a fault: the pod does not depend on it.
///
/// # Errors
/// The Workspace or its kind cannot be rendered until one of them changes.
pub fn render_existing(
    input: RenderInput<'_>,
    fixed: Fixed,
    kind: &WorkspaceKindSpec,
    routing: &Routing,
) -> Result<Desired, RenderFault> {
    in_context(input, fixed, kind, routing, |context| Desired::render(context, routing))
}

/// Renders the route of a Workspace alone, to the Service of that name.
///
/// # Errors
/// As [`render_existing`], but for what only its pod needs.
pub fn render_route(
    input: RenderInput<'_>,
    fixed: Fixed,
    kind: &WorkspaceKindSpec,
    routing: &Routing,
) -> Result<Route, RenderFault> {
    in_context(input, fixed, kind, routing, |context| Ok(virtual_service::desired(context, routing)))
}

/// Renders with what every renderer starts from.
fn in_context<T>(
    input: RenderInput<'_>,
    fixed: Fixed,
    kind: &WorkspaceKindSpec,
    routing: &Routing,
    render: impl FnOnce(&RenderContext<'_>) -> Result<T, RenderFault>,
) -> Result<T, RenderFault> {
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
        fixed,
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
            mode: Mode::Lenient,
        },
    };
    render(&context)
}

/// A port number that two ports of the image have.
fn duplicate_port(image: &ImageConfigSpec) -> Option<i32> {
    let mut seen = BTreeSet::new();
    image.ports.iter().map(|port| port.port).find(|number| !seen.insert(*number))
}

#[cfg(test)]
mod tests;
