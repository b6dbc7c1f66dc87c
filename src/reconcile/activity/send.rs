//! Sends the probe that a kind configures to the pod of a Workspace.

use crds::options::OptionList;
use k8s_openapi::jiff::Timestamp;

use super::Context;
use super::subject::Subject;
use crate::activity::exec::{self, PodName};
use crate::activity::jupyter::{self, JupyterServer};
use crate::activity::policy::{JupyterPort, Policy, ProbeSpec};
use crate::activity::report::{ProbeFailure, ProbeReport};

/// What the probe finds out.
pub(super) async fn ask(context: &Context, subject: &Subject, policy: &Policy<'_>) -> ProbeReport {
    let (namespace, name) = subject.pod.identity.key.parts();
    let pod = PodName { namespace, name };
    match policy.probe {
        ProbeSpec::Jupyter(port) => match server(context, subject, port) {
            Ok(server) => jupyter::probe(&server, jupyter::TIMEOUT).await,
            Err(reason) => unasked(&reason),
        },
        ProbeSpec::Script { script, timeout } => exec::probe_script(&context.client, pod, script, timeout).await,
        ProbeSpec::Command { command, timeout } => exec::probe_command(&context.client, pod, command, timeout).await,
    }
}

/// Where the Jupyter server of the Workspace listens, or why that is not known.
fn server(context: &Context, subject: &Subject, port: JupyterPort<'_>) -> Result<JupyterServer, String> {
    let (template, options) = (&subject.kind.spec.pod_template, &subject.workspace.spec.pod_template.options);
    let image = OptionList::ImageConfig.selected(options);
    let value = template.options.image_config.values.iter().find(|value| value.id == image);
    let mut ports = value.into_iter().flat_map(|value| &value.spec.ports);
    let (id, found) = match port {
        JupyterPort::Id(id) => (format!("{id:?}"), ports.find(|port| port.id == id)),
        JupyterPort::First => ("of its own".to_owned(), ports.next()),
    };
    let found = found.ok_or_else(|| format!("imageConfig {image:?} has no port {id}"))?;
    let port = u16::try_from(found.port).map_err(|_| format!("port {} is none", found.port))?;
    let (namespace, name) = subject.workspace.identity.key.parts();
    let base_path = jupyter::base_path(template, &found.id, &context.routing.paths, namespace, name);
    Ok(JupyterServer { ip: subject.address, port, base_path })
}

/// A probe that could not be sent.
fn unasked(reason: &str) -> ProbeReport {
    let now = Timestamp::now();
    ProbeReport {
        started: now,
        ended: now,
        result: Err(ProbeFailure::Failed(format!("Jupyter probe failed: {reason}"))),
    }
}
