//! Compares what the API server stores with what was applied.
//!
//! Two things make them differ: a mutating webhook, whose changes are left alone, and an earlier version whose bodies the
//! API server read in another way than they were meant.

use crds::apply_body;
use crds::labels::APPLIED_HASH_ANNOTATION;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::Value;

use super::error::ApplyError;
use super::hash::{Hash, hash};
use super::memory::{ChildMemory, StoredDifference};
use super::request::{ChildApi, Precondition, Purpose, RequestError};
use super::{field_sets, ownership};
use crate::istio::{VirtualService, VirtualServiceSpec};
use crate::render::{ChildRow, Manifest, child_metadata, difference};
use crate::stores::child::{Child, WholeChild};
use crate::stores::metadata::UnsettledFields;
use crate::stores::slim::{Identity, Key};

impl ChildApi<'_> {
    /// Whether a child whose hash and fields say that it is as desired really holds what was applied, but for what a mutating
    /// webhook changed; which is remembered.
    pub(super) async fn is_as_applied(
        &self,
        seen: &Child,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut dyn Manifest,
    ) -> Result<bool, ApplyError> {
        let has_hash = |child: &Child| child.applied_hash.as_ref() == Some(hash);
        // The fields of one that was found to be as desired are not kept; they come with the object.
        let unsettled = seen.fields.as_ref().and_then(|fields| fields.unsettled.as_deref());
        if !has_hash(seen) || (unsettled.is_some() && !covers(seen, object)) {
            return Ok(false);
        }
        let spec = match unsettled {
            Some(UnsettledFields { spec: Some(spec), .. }) => serde_json::from_str(spec.get()).ok(),
            Some(_) if !self.row.has_spec => Some(Value::Null),
            _ => None,
        };
        let stored = match spec {
            Some(spec) => Some(WholeChild { child: seen.clone(), spec }),
            None => self.read(seen.identity.key.name()).await?,
        };
        let Some(stored) = stored else { return Ok(false) };
        let child = &stored.child;
        if child.identity.deleting {
            return Err(ApplyError::BeingDeleted { kind: self.row.kind, name: child.identity.key.name().to_owned() });
        }
        if child.identity.uid != seen.identity.uid || !has_hash(child) || !covers(child, object) {
            return Ok(false);
        }
        let (found, misread) = compare(self.row, object, &stored.spec);
        if (misread || !found.unsafe_headers.is_empty()) && !self.would_stay(object, child).await? {
            let (name, fields) = (child.identity.key.name(), &found.differences);
            tracing::warn!(
                kind = self.row.kind,
                child = name,
                fields,
                "what is stored is not what was applied; applying it again"
            );
            self.count_unsafe(&found);
            return Ok(false);
        }
        self.settle(memory, stored, found);
        Ok(true)
    }

    /// Whether `object` would be misread or unsafe again if it were applied now: then a mutating webhook is behind it.
    async fn would_stay(&self, object: &mut dyn Manifest, child: &Child) -> Result<bool, ApplyError> {
        match self.send(object, Precondition::Uid(&child.identity.uid), Purpose::DryRun).await {
            Ok(answer) => {
                let (found, misread) = compare(self.row, object, &answer.spec);
                Ok(misread || !found.unsafe_headers.is_empty())
            }
            // Applying it reports why.
            Err(RequestError::Failed(ApplyError::Refused { .. } | ApplyError::TooLarge { .. })) => Ok(false),
            Err(error) => Err(self.error(child.identity.key.name(), error)),
        }
    }

    /// Remembers that nothing is to be done while a child stays as the answer to a write shows it.
    pub(super) fn settle_written(&self, memory: &mut ChildMemory, answer: WholeChild, object: &dyn Manifest) {
        let (found, _) = compare(self.row, object, &answer.spec);
        self.settle(memory, answer, found);
    }

    fn settle(&self, memory: &mut ChildMemory, stored: WholeChild, found: StoredDifference) {
        let mut child = stored.child;
        self.count_unsafe(&found);
        memory.settle(&child, found);
        child.fields.iter_mut().for_each(|fields| fields.unsettled = None);
        self.collection.put_answer(child);
    }

    fn count_unsafe(&self, found: &StoredDifference) {
        if !found.unsafe_headers.is_empty() {
            self.metrics.unsafe_route_stored();
        }
    }
}

impl ChildApi<'_> {
    /// Leaves a route whose successor cannot be rendered as it is: if it is what was applied when it could, and also if a
    /// mutating webhook changed it to something safe, or it is a safe one of the Go controller's, never applied to. One that
    /// holds anything else is removed. True when that took a write.
    pub(super) async fn keep(&self, key: &Key, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        if self.is_kept(key, memory) {
            return Ok(false);
        }
        let stored = self.read(key.name()).await?.filter(|stored| stored.child.is_owned_by(&self.owner.uid));
        let Some(stored) = stored else { return Ok(false) };
        let Identity { key: owner, uid, .. } = self.owner;
        let (namespace, workspace) = owner.parts();
        let metadata = child_metadata(namespace, workspace, uid, key.name());
        let found =
            StoredDifference { unsafe_headers: (self.row.check_stored)(&stored.spec), ..StoredDifference::default() };
        let is_safe = found.unsafe_headers.is_empty();
        let is_kept = is_ours(&stored, &metadata) && (is_safe || is_exactly_ours(&stored, &metadata));
        if is_kept || (is_safe && stored.child.is_of_peer_only()) {
            self.settle(memory, stored, found);
            return Ok(false);
        }
        tracing::warn!(
            kind = self.row.kind,
            child = key.name(),
            "what is stored is not what was applied, or unsafe, and nothing can be applied now; deleting it"
        );
        self.count_unsafe(&found);
        self.remove(key, memory).await
    }

    /// Whether [`ChildApi::keep`] has nothing to do.
    pub(super) fn is_kept(&self, key: &Key, memory: &ChildMemory) -> bool {
        self.deletable(key).is_none_or(|child| memory.holds_any(&child))
    }
}

/// Whether all that is stored was applied by us: another manager who edits it takes over its fields, a mutating webhook
/// does not.
fn is_ours(stored: &WholeChild, metadata: &ObjectMeta) -> bool {
    let mut route = VirtualService::new(metadata.clone(), VirtualServiceSpec::default());
    // Which fields we have does not depend on the value.
    route.metadata.annotations = Some([(APPLIED_HASH_ANNOTATION.to_owned(), String::new())].into());
    covers_ours(&stored.child, &route)
}

/// Whether what is stored is, to the byte, what was applied.
fn is_exactly_ours(stored: &WholeChild, metadata: &ObjectMeta) -> bool {
    VirtualServiceSpec::deserialize(&stored.spec).is_ok_and(|spec| {
        let has_only_ours = serde_json::to_value(&spec.http).is_ok_and(|http| http == stored.spec["http"]);
        let route = VirtualService::new(metadata.clone(), spec);
        has_only_ours && stored.child.applied_hash.as_ref() == Some(&hash(&route))
    })
}

/// Whether the fields of a child that are ours are those of `object`, and none of them is the Go controller's too.
fn covers(child: &Child, object: &dyn Manifest) -> bool {
    let Some(fields) = child.fields.as_ref().and_then(|fields| fields.unsettled.as_deref()) else { return false };
    let set = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let is_theirs_too =
        |theirs: &str| !field_sets::divide(&set(theirs), &set(&fields.text), &object.value()).moved.is_empty();
    covers_ours(child, object) && !fields.peer.iter().any(|theirs| is_theirs_too(theirs))
}

/// Whether the fields of a child that are ours are those of `object`.
fn covers_ours(child: &Child, object: &dyn Manifest) -> bool {
    let unsettled = child.fields.as_ref().and_then(|fields| fields.unsettled.as_deref());
    unsettled.is_some_and(|fields| ownership::covers(&fields.text, &object.value()))
}

/// How the spec that is stored differs from that of `object`, and whether a YAML reader may have done it.
fn compare(row: &ChildRow, object: &dyn Manifest, stored: &Value) -> (StoredDifference, bool) {
    const SHOWN: usize = 3;
    let applied = if row.has_spec { object.value() } else { Value::Null };
    let changed = applied.get("spec").map(|spec| difference::stored_otherwise(spec, stored)).unwrap_or_default();
    let is_misread = |(path, value): &(String, &Value)| {
        [Some(&**path), value.as_str()].into_iter().flatten().any(apply_body::is_escaped)
    };
    let misread = changed.iter().any(is_misread);
    let mut differences: Vec<String> = changed.iter().take(SHOWN).map(|(path, _)| format!("spec.{path}")).collect();
    if changed.len() > SHOWN {
        differences.push(format!("and {} more", changed.len() - SHOWN));
    }
    (StoredDifference { differences: differences.join(", "), unsafe_headers: (row.check_stored)(stored) }, misread)
}
