//! Sends the probe that a kind configures to the pod of a Workspace.

use crds::options::OptionList;
use k8s_openapi::jiff::Timestamp;

use super::super::apply::ChildApi;
use super::context::Context;
use super::target::ProbeTarget;
use crate::activity::exec::{self, PodName};
use crate::activity::jupyter::{self, JupyterServer};
use crate::activity::policy::{JupyterPort, Policy, ProbeSpec};
use crate::activity::report::{ProbeFailure, ProbeReport};
use crate::render::names::ChildNames;
use crate::render::{ChildKind, KeptPaths};

/// What the probe finds out.
pub(super) async fn send(context: &Context, target: &ProbeTarget, policy: &Policy<'_>) -> ProbeReport {
    let (namespace, name) = target.pod.identity.key.parts();
    let pod = PodName { namespace, name };
    match policy.probe {
        ProbeSpec::Jupyter(port) => match server(context, target, port).await {
            Ok(server) => jupyter::probe(&server, jupyter::TIMEOUT).await,
            Err(reason) => unsent(&reason),
        },
        ProbeSpec::Script { script, timeout } => exec::probe_script(&context.client, pod, script, timeout).await,
        ProbeSpec::Command { command, timeout } => exec::probe_command(&context.client, pod, command, timeout).await,
    }
}

/// Where the Jupyter server of the Workspace listens, or why that is not known.
async fn server(context: &Context, target: &ProbeTarget, port: JupyterPort<'_>) -> Result<JupyterServer, String> {
    let (template, options) = (&target.kind.spec.pod_template, &target.workspace.spec.pod_template.options);
    let image = OptionList::ImageConfig.selected(options);
    let value = template.options.image_config.values.iter().find(|value| value.id == image);
    let mut ports = value.into_iter().flat_map(|value| &value.spec.ports);
    let (id, found) = match port {
        JupyterPort::Id(id) => (format!("{id:?}"), ports.find(|port| port.id == id)),
        JupyterPort::First => ("of its own".to_owned(), ports.next()),
    };
    let found = found.ok_or_else(|| format!("imageConfig {image:?} has no port {id}"))?;
    let port = u16::try_from(found.port).map_err(|_| format!("port {} is none", found.port))?;
    let (namespace, name) = target.workspace.identity.key.parts();
    let kept = if target.is_outdated { kept_paths(context, target).await? } else { KeptPaths::default() };
    let base_path = match kept.base_path(found.port) {
        Some(path) => path.to_owned(),
        None => jupyter::base_path(template, &found.id, &context.routing.paths, namespace, name),
    };
    Ok(JupyterServer { ip: target.address, port, base_path })
}

/// The paths that the server of a pod on an older template was started below: its route keeps them.
async fn kept_paths(context: &Context, target: &ProbeTarget) -> Result<KeptPaths, String> {
    let (stores, identity) = (&context.stores, &target.workspace.identity);
    let (namespace, name) = identity.key.parts();
    let routes = stores.children(ChildKind::VirtualService);
    let route = routes.owned_by(identity, &ChildNames::new(name, &identity.uid)).into_iter().next();
    let Some(route) = route else { return Ok(KeptPaths::default()) };
    let api = ChildApi::new(ChildKind::VirtualService, &context.client, &context.metrics, identity, routes);
    let read = api.read(route.identity.key.name()).await;
    let read = read.map_err(|error| format!("its route is not known: {}", error.without_server_message()))?;
    Ok(read.map(|route| KeptPaths::of_stored(&route.spec, namespace, name)).unwrap_or_default())
}

/// A probe that could not be sent.
fn unsent(reason: &str) -> ProbeReport {
    let now = Timestamp::now();
    ProbeReport {
        started: now,
        ended: now,
        result: Err(ProbeFailure::Failed(format!("Jupyter probe failed: {reason}"))),
    }
}
