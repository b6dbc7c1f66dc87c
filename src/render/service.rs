//! The Service of a Workspace: the ports of its pod.

use crds::labels::POD_NAME_LABEL;
use crds::workspace_kind::ImagePort;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::context::{RenderContext, port_name};

/// ClusterIP, one port for each of the selected image.
///
/// The selector names the one pod of our StatefulSet: labels alone would also let foreign pods of the namespace in.
pub(super) fn desired(context: &RenderContext<'_>) -> Service {
    let mut selector = context.pod_labels();
    selector.insert(POD_NAME_LABEL.to_owned(), context.fixed.names.pod());
    Service {
        metadata: context.metadata(&context.fixed.names.service),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(context.image.ports.iter().map(port).collect()),
            selector: Some(selector),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(port: &ImagePort) -> ServicePort {
    ServicePort {
        name: Some(port_name(port.port)),
        port: port.port,
        // Part of the key of the list, so it has to be written.
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(port.port)),
        ..ServicePort::default()
    }
}
