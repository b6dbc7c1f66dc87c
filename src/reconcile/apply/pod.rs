//! Deletes a pod, for its StatefulSet to make another one.

use kube::api::{DeleteParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};

use super::error::ApplyError;
use super::response::Meaning;
use crate::client::{CallError, in_time};
use crate::stores::collection::Collection;
use crate::stores::pod::Pod;
use crate::stores::slim::{Identity, Incoming};

/// What the errors are about.
const KIND: &str = "Pod";

/// Which state of a pod is deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reconcile) enum DeletedState {
    /// Any, as long as it is this pod.
    Any,
    /// Only the one that was observed: it must not have changed since.
    Observed,
}

/// Deletes the pod, with its grace period, if it is still that one. True when that took a write.
///
/// # Errors
/// The API server could not be asked, or refuses: then usually the right to delete pods is missing.
pub(in crate::reconcile) async fn delete_pod(
    client: &Client,
    pods: &Collection<Pod>,
    pod: &Pod,
    state: DeletedState,
) -> Result<bool, ApplyError> {
    let Identity { key, uid, version, .. } = &pod.identity;
    let (namespace, name) = key.parts();
    let resource_version = (state == DeletedState::Observed).then(|| version.to_string());
    let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let api: Api<Incoming<Pod>> = Api::namespaced(client.clone(), namespace);
    match in_time(api.delete(name, &params)).await {
        Ok(deleted) => {
            // Our own write is not an event.
            if let Some(Ok(pod)) = deleted.left().map(|incoming| incoming.object) {
                pods.put_answer(pod);
            }
            Ok(true)
        }
        Err(CallError::Api(kube::Error::Api(status))) => failed(name, *status).map_or(Ok(false), Err),
        Err(error) => Err(unreachable(name, error.to_string())),
    }
}

/// The error that a failed deletion is; none where the pod is gone, is another one or has changed: an
/// event follows.
fn failed(name: &str, status: Status) -> Option<ApplyError> {
    match Meaning::of(&status) {
        Meaning::Outdated => None,
        Meaning::Refused => Some(ApplyError::Refused { kind: KIND, name: name.to_owned(), message: status.message }),
        _ => Some(unreachable(name, status.message)),
    }
}

fn unreachable(name: &str, why: String) -> ApplyError {
    ApplyError::Unreachable { kind: KIND, name: name.to_owned(), why }
}
