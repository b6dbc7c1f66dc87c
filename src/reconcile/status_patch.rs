//! Status patch: sends what differs in the status of an object, of either kind.

use std::time::Duration;

use kube::Api;
use kube::api::Patch;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::apply::as_field_manager;
use super::patch::{PatchError, send};
use crate::stores::collection::Collection;
use crate::stores::slim::{Identity, Incoming, Slim};

/// What became of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StatusWrite {
    /// It is what is stored already, or there is nothing any longer to write it to.
    Unneeded,
    /// It is stored now.
    Written,
    /// It is too soon after the last write: after that long.
    After(Duration),
}

/// What became of a patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patched {
    /// It is stored, and in the store.
    Written,
    /// There is no such object any longer.
    Gone,
}

/// What has to be written, of what the API server keeps (`kept`). A status that was never written is written whole, for
/// CRDs may require any of its fields.
pub(super) fn change<S: Default + PartialEq + Serialize>(
    held: &S,
    desired: &S,
    kept: impl Fn(Value) -> Value,
) -> Option<Value> {
    let value = |status: &S| kept(serde_json::to_value(status).unwrap_or_default());
    let held = if *held == S::default() { json!({}) } else { value(held) };
    merge_patch(&held, &value(desired))
}

/// Patches the status. The uid makes it that of this object, not of a later one with its name.
pub(super) async fn patch<T: Slim>(
    api: &Api<Incoming<T>>,
    collection: &Collection<T>,
    identity: &Identity,
    change: Value,
) -> Result<Patched, PatchError> {
    write(api, collection, identity, json!({"metadata": {"uid": &*identity.uid}, "status": change})).await
}

/// The same, if the object is as in `identity`: nobody has written it since.
pub(super) async fn patch_unchanged<T: Slim>(
    api: &Api<Incoming<T>>,
    collection: &Collection<T>,
    identity: &Identity,
    change: Value,
) -> Result<Patched, PatchError> {
    let metadata = json!({"uid": &*identity.uid, "resourceVersion": &*identity.version});
    write(api, collection, identity, json!({"metadata": metadata, "status": change})).await
}

async fn write<T: Slim>(
    api: &Api<Incoming<T>>,
    collection: &Collection<T>,
    identity: &Identity,
    patch: Value,
) -> Result<Patched, PatchError> {
    let (params, patch) = (as_field_manager(), Patch::Merge(patch));
    let request = api.patch_status(identity.key.name(), &params, &patch);
    match send(request, collection).await {
        Err(PatchError::Call(error)) if error.is_object_missing() => Ok(Patched::Gone),
        sent => sent.map(|()| Patched::Written),
    }
}

/// The JSON merge patch that makes `from` to `to`; nothing when they are the same. Lists are replaced whole.
fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for (key, value) in to {
        let change = from.get(key).map_or_else(|| Some(value.clone()), |held| merge_patch(held, value));
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_what_differs() {
        let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": null, "same": {"x": 1}});
        let to = json!({"a": 2, "b": {"c": 1}, "e": [2], "f": null, "new": {}, "same": {"x": 1}});
        assert_eq!(merge_patch(&from, &to), Some(json!({"a": 2, "b": {"d": null}, "e": [2], "new": {}})));
        assert_eq!(merge_patch(&to, &to), None);
    }
}
