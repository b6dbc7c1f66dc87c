//! Finalizer: a kind is not gone before the last Workspace that uses it is, however it was deleted.
//!
//! It is the finalizer of the Go controller, so that either of them takes it over from the other.

use crds::labels::KIND_FINALIZER;
use kube::Api;
use kube::api::Patch;
use serde_json::{Value, json};

use super::super::apply::as_field_manager;
use super::super::engine::ReconcileCause;
use super::super::patch::{PatchError, send};
use super::Context;
use crate::client::{CallError, finalizer_removal, in_time};
use crate::stores::kind::StoredKind;
use crate::stores::slim::Incoming;
use crate::users;

/// What is to be done about the finalizer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Nothing.
    Keep,
    /// Add it: the kind is used.
    Add,
    /// Remove it, at this index: nobody uses the kind.
    Remove(usize),
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Finalizer {
    /// It is where it has to be.
    Settled,
    /// It is removed from a kind that is being deleted: there is nothing more to do.
    Released,
    /// The stores are behind the API server: their next event brings what is missing.
    Outdated,
}

/// Adds or removes the finalizer, if it has to be; `users` is how many Workspaces use the kind, as far as is known.
pub(super) async fn reconcile(
    context: &Context,
    kind: &StoredKind,
    users: usize,
    cause: ReconcileCause,
) -> Result<Finalizer, PatchError> {
    let (client, name) = (&context.client, kind.identity.key.name());
    let step = step(finalizers(kind), kind.identity.deleting, users);
    let change = match step {
        Step::Keep => return Ok(Finalizer::Settled),
        // A Workspace that was created a moment ago may not have been seen yet.
        Step::Remove(_) if in_time(users::is_used(client, name)).await? => return Ok(Finalizer::Outdated),
        Step::Add => addition(kind),
        Step::Remove(index) => removal(kind, index),
    };
    let patch = serde_json::from_value(change).map_err(kube::Error::SerdeError).map_err(CallError::Api)?;
    let api: Api<Incoming<StoredKind>> = Api::all(client.clone());
    let params = as_field_manager();
    match send(api.patch(name, &params, &Patch::<()>::Json(patch)), context.stores.kinds()).await {
        Err(PatchError::Call(CallError::Api(kube::Error::Api(status)))) if is_outdated(&status) => {
            tracing::debug!(error = status.message, "the kind changed meanwhile");
            return Ok(Finalizer::Outdated);
        }
        sent => sent?,
    }
    tracing::info!(users, finalizer = KIND_FINALIZER, "{}", if step == Step::Add { "added" } else { "removed" });
    context.metrics.written("workspacekinds", cause.label());
    Ok(if kind.identity.deleting { Finalizer::Released } else { Finalizer::Settled })
}

fn finalizers(kind: &StoredKind) -> &[String] {
    kind.kind.metadata.finalizers.as_deref().unwrap_or_default()
}

/// The API server takes no new finalizer of an object that is being deleted.
fn step(finalizers: &[String], deleting: bool, users: usize) -> Step {
    let index = finalizers.iter().position(|finalizer| finalizer == KIND_FINALIZER);
    match index {
        None if users > 0 && !deleting => Step::Add,
        Some(index) if users == 0 => Step::Remove(index),
        _ => Step::Keep,
    }
}

/// The JSON patch that adds it beside those of others. The list must be the one that we know.
fn addition(kind: &StoredKind) -> Value {
    let (path, value) = match finalizers(kind) {
        [] => ("/metadata/finalizers", json!([KIND_FINALIZER])),
        _ => ("/metadata/finalizers/-", json!(KIND_FINALIZER)),
    };
    json!([
        {"op": "test", "path": "/metadata/uid", "value": &*kind.identity.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": &*kind.identity.version},
        {"op": "add", "path": path, "value": value},
    ])
}

/// The JSON patch that removes it.
fn removal(kind: &StoredKind, index: usize) -> Value {
    finalizer_removal(&kind.identity.uid, index, KIND_FINALIZER)
}

/// Whether the kind is gone or not the one that is known: also where a `test` of the patch failed, or the kind is being
/// deleted by now.
fn is_outdated(status: &kube::core::Status) -> bool {
    const TEST_FAILED: &str = "the server rejected our request due to an error in our request";
    const DELETING: &str = "no new finalizers can be added if the object is being deleted";
    match status.code {
        404 | 409 => true,
        422 => [TEST_FAILED, DELETING].iter().any(|words| status.message.contains(words)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OTHER: &str = "example.com/other";

    #[test]
    fn a_kind_has_the_finalizer_exactly_while_it_is_used() {
        let held = |finalizers: &[&str], deleting, users| {
            let finalizers: Vec<String> = finalizers.iter().map(ToString::to_string).collect();
            step(&finalizers, deleting, users)
        };
        let table = [
            (&[] as &[&str], false, 0, Step::Keep),
            (&[], false, 1, Step::Add),
            (&[OTHER], false, 1, Step::Add),
            (&[OTHER], false, 0, Step::Keep),
            (&[KIND_FINALIZER], false, 2, Step::Keep),
            (&[KIND_FINALIZER], false, 0, Step::Remove(0)),
            (&[OTHER, KIND_FINALIZER], false, 0, Step::Remove(1)),
            // None can be added any more.
            (&[], true, 1, Step::Keep),
            (&[OTHER], true, 1, Step::Keep),
            (&[KIND_FINALIZER, OTHER], true, 1, Step::Keep),
            (&[KIND_FINALIZER, OTHER], true, 0, Step::Remove(0)),
            (&[OTHER], true, 0, Step::Keep),
        ];
        for (finalizers, deleting, users, expected) in table {
            assert_eq!(held(finalizers, deleting, users), expected, "{finalizers:?} {deleting} {users}");
        }
    }

    fn kind(finalizers: &[&str]) -> (StoredKind, Value) {
        let mut value = serde_json::to_value(crds::testing::workspace_kind("lab")).unwrap();
        value["metadata"] = json!({"name": "lab", "uid": "u", "resourceVersion": "7"});
        if !finalizers.is_empty() {
            value["metadata"]["finalizers"] = json!(finalizers);
        }
        (serde_json::from_value(value.clone()).unwrap(), value)
    }

    /// The finalizers after the patch, and whether it applied.
    fn patched(stored: &Value, patch: Value) -> (Value, bool) {
        let mut stored = stored.clone();
        let applied = json_patch::patch(&mut stored, &serde_json::from_value::<json_patch::Patch>(patch).unwrap());
        (stored["metadata"]["finalizers"].clone(), applied.is_ok())
    }

    #[test]
    fn a_patch_touches_no_other_finalizer_and_no_other_kind() {
        let (alone, stored) = kind(&[]);
        assert_eq!(patched(&stored, addition(&alone)), (json!([KIND_FINALIZER]), true));
        let (beside, stored) = kind(&[OTHER]);
        assert_eq!(patched(&stored, addition(&beside)), (json!([OTHER, KIND_FINALIZER]), true));
        let (both, stored) = kind(&[OTHER, KIND_FINALIZER]);
        assert_eq!(patched(&stored, removal(&both, 1)), (json!([OTHER]), true));

        // Meanwhile another one has its place, the kind has changed, or is another one.
        let (_, swapped) = kind(&[KIND_FINALIZER, OTHER]);
        assert!(!patched(&swapped, removal(&both, 1)).1);
        let (_, mut later) = kind(&[]);
        later["metadata"]["resourceVersion"] = json!("8");
        assert!(!patched(&later, addition(&alone)).1);
        let (_, mut other) = kind(&[OTHER, KIND_FINALIZER]);
        other["metadata"]["uid"] = json!("v");
        assert!(!patched(&other, removal(&both, 1)).1);
    }
}
