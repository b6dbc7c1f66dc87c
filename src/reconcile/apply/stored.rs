//! Compares what the API server stores with what was applied.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::Value;

use super::error::ApplyError;
use super::memory::{ChildMemory, Settled, Stored};
use super::{ChildKind, Children, Conflict, Precondition, Purpose, covers};
use crate::istio::{VirtualService, VirtualServiceSpec};
use crate::reconcile::plan::{Hash, hash};
use crate::render::UnsafeHeader;
use crate::render::difference::{self, Extra};
use crate::stores::child::{Child, WholeChild};
use crate::stores::slim::{Identity, Key};

/// What the API server says where a webhook with side effects would have to take part in a dry run.
const NO_DRY_RUN: &str = "does not support dry run";

impl<K: ChildKind> Children<'_, K> {
    /// Whether a child whose hash and fields say that it is as wanted really holds what was applied, but for what a mutating
    /// webhook changed; noted if so. An earlier version, or somebody in our name, may have written something else.
    pub(super) async fn is_as_applied(
        &self,
        seen: &Child<K>,
        hash: &Hash,
        memory: &mut ChildMemory,
        object: &mut K,
    ) -> Result<bool, ApplyError> {
        let is_wanted = |child: &Child<K>| child.applied_hash.as_deref() == Some(&**hash) && covers(child, object);
        if !is_wanted(seen) {
            return Ok(false);
        }
        let Some(stored) = self.read(&seen.identity.key.name).await? else { return Ok(false) };
        if stored.child.identity.uid != seen.identity.uid || !is_wanted(&stored.child) {
            return Ok(false);
        }
        let differences = differences(object, &stored.spec);
        if !differences.is_empty() && !self.would_be_stored(object, &stored).await? {
            tracing::warn!(
                object = %seen.identity.key, kind = K::KIND, fields = differences,
                "what is stored is not what was applied; writing it anew"
            );
            drop(self.judge_stored(&stored.spec));
            return Ok(false);
        }
        self.settle(memory, stored, differences);
        Ok(true)
    }

    /// Whether applying `object` would give what is stored: then it is as mutating webhooks want it. Nothing is written.
    async fn would_be_stored(&self, object: &mut K, stored: &WholeChild<K>) -> Result<bool, ApplyError> {
        let Identity { key, uid, .. } = &stored.child.identity;
        match self.send(object, Precondition::Same(uid), Purpose::DryRun).await {
            Ok(answer) => Ok(answer.spec == stored.spec),
            // Whatever that webhook would do, it did when this was written.
            Err(Conflict::Error(ApplyError::Refused { message, .. })) if message.contains(NO_DRY_RUN) => Ok(true),
            // Writing it says why.
            Err(Conflict::Error(ApplyError::Refused { .. } | ApplyError::TooLarge { .. })) => Ok(false),
            Err(conflict) => Err(Self::error(&key.name, conflict)),
        }
    }

    /// Notes that nothing is to be done while a child stays as it is.
    pub(super) fn settle(&self, memory: &mut ChildMemory, stored: WholeChild<K>, differences: String) {
        let WholeChild { mut child, spec } = stored;
        memory.settled = Settled::of(&child);
        let unsafe_headers = if differences.is_empty() { Vec::new() } else { self.judge_stored(&spec) };
        memory.stored = Stored { differences, unsafe_headers };
        child.fields.iter_mut().for_each(|fields| fields.text = None);
        self.collection.put_answer(child);
    }

    /// What of a stored spec, which is not what was applied, must not reach Istio.
    fn judge_stored(&self, spec: &Value) -> Vec<UnsafeHeader> {
        let found = K::judge_stored(spec);
        if !found.is_empty() {
            self.metrics.unsafe_route_stored();
        }
        found
    }
}

impl Children<'_, VirtualService> {
    /// Leaves a route whose successor cannot be rendered as it is, if it is what was applied when it could; one that holds
    /// anything else is removed. True when that took a write.
    pub async fn keep(&self, key: &Key, metadata: &ObjectMeta, memory: &mut ChildMemory) -> Result<bool, ApplyError> {
        if self.is_kept(key, memory) {
            return Ok(false);
        }
        let Some(stored) = self.read(&key.name).await?.filter(|stored| stored.child.is_owned_by(&self.owner.uid))
        else {
            return Ok(false);
        };
        let route =
            VirtualServiceSpec::deserialize(&stored.spec).map(|spec| VirtualService::new(metadata.clone(), spec));
        if route.is_ok_and(|route| stored.child.applied_hash.as_ref() == Some(&hash(&route))) {
            self.settle(memory, stored, String::new());
            return Ok(false);
        }
        tracing::warn!(
            object = %key, kind = "VirtualService",
            "what is stored is not what was applied, and nothing can be applied now; deleting it"
        );
        drop(self.judge_stored(&stored.spec));
        self.remove(key, memory).await
    }

    /// Whether [`Children::keep`] has nothing to do.
    pub fn is_kept(&self, key: &Key, memory: &ChildMemory) -> bool {
        self.present(key).is_none_or(|child| memory.holds_any(&child))
    }
}

/// The paths of the first fields of `object` that `stored`, its spec, has with other values, for people.
pub(super) fn differences<K: ChildKind>(object: &K, stored: &Value) -> String {
    const SHOWN: usize = 3;
    let applied = serde_json::to_value(object).unwrap_or_default();
    let Some(applied) = applied.get("spec") else { return String::new() };
    let found = difference::differences(stored, applied, Extra::KeptOutside(&[]));
    let mut shown: Vec<String> = found.iter().take(SHOWN).map(|field| format!("spec.{}", field.path)).collect();
    if found.len() > SHOWN {
        shown.push(format!("and {} more", found.len() - SHOWN));
    }
    shown.join(", ")
}
