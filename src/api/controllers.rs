//! Which controllers of Workspaces run, whichever program they are: by the labels that the manifests of both give their Deployments.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::client::{CallError, list_all};

/// What belongs to Workspaces, as both label it: controllers, and the backend and user interface of Kubeflow.
pub const PART_OF: &str = "app.kubernetes.io/part-of=kubeflow-workspaces";

/// The Deployments of controllers that are to have pods.
///
/// # Errors
/// Deployments cannot be listed.
pub async fn running(client: &Client) -> Result<Vec<Deployment>, CallError> {
    let mut found = list_all(&Api::all(client.clone()), ListParams::default().labels(PART_OF)).await?;
    found.retain(is_running_controller);
    Ok(found)
}

/// Whether a holder of a Lease in that namespace is a pod of the Deployment, by its name.
pub fn is_pod_of(deployment: &Deployment, namespace: &str, holder: &str) -> bool {
    deployment.namespace().as_deref() == Some(namespace) && holder.starts_with(&format!("{}-", deployment.name_any()))
}

/// Whether it is a controller, and is to have pods.
pub fn is_running_controller(deployment: &Deployment) -> bool {
    let component = deployment.labels().get("app.kubernetes.io/component");
    let is_stopped = deployment.spec.as_ref().is_some_and(|spec| spec.replicas == Some(0));
    component.is_some_and(|component| component == "controller-manager") && !is_stopped
}
