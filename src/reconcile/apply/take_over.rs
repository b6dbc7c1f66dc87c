//! Takes a child over from the Go controller, before it is applied for the first time, or after that controller ran again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch};
use serde_json::{Map, Value, json};

use super::error::ApplyError;
use super::field_sets::{Divided, divide, unite};
use super::request::{ChildApi, RequestError, as_field_manager};
use crate::render::Manifest;
use crate::stores::child::{Child, ChildObject};
use crate::stores::metadata::PEER_MANAGER;

/// How often to try anew where the object changed meanwhile, as sets do whenever their pod does.
const TRIES: u32 = 3;

impl ChildApi<'_> {
    /// Moves the fields of an existing child that we want, or that nobody wants any longer, from the Go controller's to ours, and
    /// replaces the update strategy that apply cannot replace: in one patch, which no write can come in between of. A child
    /// that it does not know of is left alone. True where that took a write.
    pub(super) async fn take_over(&self, existing: &Child, object: &dyn Manifest) -> Result<bool, ApplyError> {
        if existing.fields.is_some() && !existing.has_peer {
            return Ok(false);
        }
        let name = existing.identity.key.name();
        let desired = object.value();
        let mut outdated = String::new();
        for _ in 0..TRIES {
            let stored = match self.request(name, self.dynamic().get(name)).await {
                Ok(stored) => stored,
                Err(error) => return Err(self.error(name, error)),
            };
            if stored.metadata.uid.as_deref() != Some(&existing.identity.uid) {
                return Err(self.unreachable(name, "it was replaced meanwhile".to_owned()));
            }
            let Some(patch) = patch(&stored, &desired) else { return Ok(false) };
            let Ok(patch) = serde_json::from_value(patch) else { return Ok(false) };
            let params = as_field_manager();
            match self.request(name, self.dynamic().patch(name, &params, &Patch::<()>::Json(patch))).await {
                Ok(_) => {
                    tracing::info!(kind = self.row.kind, child = name, "taken over from the Go controller");
                    self.count_write();
                    return Ok(true);
                }
                Err(RequestError::Outdated(why)) => outdated = why,
                Err(error) => return Err(self.error(name, error)),
            }
        }
        Err(self.unreachable(name, outdated))
    }

    /// Where whole objects are read, with all of their metadata.
    fn dynamic(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<ChildObject>(&self.of);
        Api::namespaced_with(self.api.clone().into_client(), self.owner.key.namespace(), &resource)
    }
}

/// The JSON patch that takes over what is stored; none where nothing has to be.
fn patch(stored: &DynamicObject, desired: &Value) -> Option<Value> {
    let managed_fields = moved(stored.metadata.managed_fields.as_deref().unwrap_or_default(), desired)?;
    let mut patch = vec![
        // With another resourceVersion the API server refuses it as a conflict.
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": stored.metadata.resource_version}),
        json!({"op": "replace", "path": "/metadata/managedFields", "value": managed_fields}),
    ];
    let strategy = &desired["spec"]["updateStrategy"];
    if !strategy.is_null() && stored.data["spec"]["updateStrategy"] != *strategy {
        patch.push(json!({"op": "replace", "path": "/spec/updateStrategy", "value": strategy}));
    }
    Some(patch.into())
}

/// The entries of `managedFields` with what is ours moved from the Go controller's into ours; none where there is nothing. It
/// has one for each API version that it wrote in.
fn moved(entries: &[ManagedFieldsEntry], desired: &Value) -> Option<Vec<ManagedFieldsEntry>> {
    let is_theirs = |entry: &&ManagedFieldsEntry| is_of(entry, PEER_MANAGER, "Update");
    let is_ours = |entry: &&ManagedFieldsEntry| is_of(entry, crds::labels::FIELD_MANAGER, "Apply");
    let (first, ours) = (entries.iter().find(is_theirs)?, entries.iter().find(is_ours));
    let known = ours.map(fields).unwrap_or_default();
    let (mut our_fields, mut left, mut is_moved) = (known.clone(), Vec::new(), false);
    for theirs in entries.iter().filter(is_theirs) {
        let Divided { moved, rest } = divide(&fields(theirs), &known, desired);
        is_moved |= !moved.is_empty();
        unite(&mut our_fields, moved);
        if !rest.is_empty() {
            left.push(ManagedFieldsEntry { fields_v1: Some(FieldsV1(rest.into())), ..theirs.clone() });
        }
    }
    if !is_moved {
        return None;
    }
    let ours = ManagedFieldsEntry {
        manager: Some(crds::labels::FIELD_MANAGER.to_owned()),
        operation: Some("Apply".to_owned()),
        fields_v1: Some(FieldsV1(our_fields.into())),
        ..ours.unwrap_or(first).clone()
    };
    let others = entries.iter().filter(|entry| !is_theirs(entry) && !is_ours(entry)).cloned();
    Some(std::iter::once(ours).chain(left).chain(others).collect())
}

fn is_of(entry: &ManagedFieldsEntry, manager: &str, operation: &str) -> bool {
    entry.manager.as_deref() == Some(manager)
        && entry.operation.as_deref() == Some(operation)
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn fields(entry: &ManagedFieldsEntry) -> Map<String, Value> {
    entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(manager: &str, operation: &str, version: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn moved_json(entries: &[Value], desired: &Value) -> Option<Value> {
        let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(json!(entries)).unwrap();
        Some(serde_json::to_value(moved(&entries, desired)?).unwrap())
    }

    /// A manager has one entry for each API version that it wrote in, and each subresource.
    #[test]
    fn every_entry_of_the_go_controller_is_divided() {
        let (old, new) = ("networking.istio.io/v1beta1", "networking.istio.io/v1");
        let desired = json!({"spec": {"hosts": ["*"], "http": []}});
        let mut status = entry("manager", "Update", new, &json!({"f:status": {"f:conditions": {}}}));
        status["subresource"] = json!("status");
        let others = entry("kubectl", "Update", new, &json!({"f:metadata": {"f:labels": {"f:theirs": {}}}}));
        let entries = [
            entry("manager", "Update", old, &json!({"f:spec": {"f:hosts": {}}})),
            status.clone(),
            others.clone(),
            entry("manager", "Update", new, &json!({"f:spec": {"f:exportTo": {}, "f:http": {}}})),
        ];
        let ours = json!({"f:spec": {"f:hosts": {}, "f:http": {}}});
        let rest = entry("manager", "Update", new, &json!({"f:spec": {"f:exportTo": {}}}));
        let expected = json!([entry("workspaces-controller", "Apply", old, &ours), rest, status, others]);
        assert_eq!(moved_json(&entries, &desired), Some(expected));

        // Into our own entry, where there is one.
        let known = entry("workspaces-controller", "Apply", new, &json!({"f:spec": {"f:gateways": {}}}));
        let entries = [entries[0].clone(), known, entries[3].clone()];
        let ours = json!({"f:spec": {"f:gateways": {}, "f:hosts": {}, "f:http": {}}});
        let expected = json!([entry("workspaces-controller", "Apply", new, &ours), rest]);
        assert_eq!(moved_json(&entries, &desired), Some(expected));

        assert_eq!(moved_json(&[status, others, rest], &desired), None);
    }
}
