//! Scale: stops and starts the pod of a StatefulSet whose template cannot be stored.
//!
//! The scale subresource changes the replicas and nothing else, so neither the rendered template nor a policy on StatefulSets
//! stands in its way. What it writes has an entry of its own in `managedFields`; the next apply takes the field back.

use kube::api::Patch;
use serde_json::json;

use super::error::ApplyError;
use super::memory::ChildMemory;
use super::request::{ChildApi, as_field_manager};
use crate::stores::slim::Key;

/// What the errors are about.
const KIND: &str = "StatefulSet/scale";

impl ChildApi<'_> {
    /// Scales our StatefulSet to `replicas`, unless it has them or does not exist; true when that took a write.
    ///
    /// # Errors
    /// The API server could not be asked, or refuses: then usually the right to patch `statefulsets/scale` is missing.
    pub async fn scale(&self, key: &Key, replicas: i32, memory: &ChildMemory) -> Result<bool, ApplyError> {
        if !memory.existed && !self.exists(key) {
            return Ok(false);
        }
        // Specs are not kept.
        let Some(stored) = self.read(key.name()).await? else { return Ok(false) };
        let child = &stored.child;
        if !child.is_owned_by(&self.owner.uid) || child.identity.deleting || stored.spec["replicas"] == replicas {
            return Ok(false);
        }
        let patch = Patch::Merge(json!({"metadata": {"uid": &*child.identity.uid}, "spec": {"replicas": replicas}}));
        let params = as_field_manager();
        self.request(key.name(), self.api.patch_scale(key.name(), &params, &patch)).await.map_err(
            |error| match self.error(key.name(), error) {
                ApplyError::Refused { name, message, .. } => ApplyError::Refused { kind: KIND, name, message },
                ApplyError::Unreachable { name, why, .. } => ApplyError::Unreachable { kind: KIND, name, why },
                other => other,
            },
        )?;
        tracing::info!(kind = self.row.kind, child = key.name(), replicas, "scaled");
        self.count_scale();
        Ok(true)
    }
}
