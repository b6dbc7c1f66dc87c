//! What is remembered of a child between two reconciles.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU64;

use tokio::time::Instant;

use super::hash::Hash;
use crate::render::{ChildKind, UnsafeHeader};
use crate::stores::child::Child;

/// What is remembered of the children of a Workspace.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct ChildMemories(Vec<(ChildId, ChildMemory)>);

/// One child of a Workspace: a digest of its kind and name, which are known elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ChildId(u64);

impl ChildId {
    fn of(kind: ChildKind, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (kind as usize, name).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl ChildMemories {
    /// What is remembered of a child, if anything.
    pub fn get(&self, kind: ChildKind, name: &str) -> Option<&ChildMemory> {
        let wanted = ChildId::of(kind, name);
        self.0.iter().find(|(id, _)| *id == wanted).map(|(_, memory)| memory)
    }

    /// What is remembered of a child.
    pub fn of(&mut self, kind: ChildKind, name: &str) -> &mut ChildMemory {
        let wanted = ChildId::of(kind, name);
        let known = self.0.iter().position(|(id, _)| *id == wanted);
        let position = known.unwrap_or_else(|| {
            // All of them come once: no room for more.
            self.0.reserve_exact(1);
            self.0.push((wanted, ChildMemory::default()));
            self.0.len() - 1
        });
        &mut self.0[position].1
    }

    /// Forgets all but these.
    pub fn keep_only<'a>(&mut self, kept: impl Iterator<Item = (ChildKind, &'a str)>) {
        let kept: Vec<ChildId> = kept.map(|(kind, name)| ChildId::of(kind, name)).collect();
        self.0.retain(|(id, _)| kept.contains(id));
    }
}

/// What is remembered of a child.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct ChildMemory {
    /// The state in which nothing is to be done.
    pub(super) settled: Option<Settled>,
    /// What differs from what was applied in that state; none where nothing does. Boxed, because that is rare.
    pub(super) stored: Option<Box<StoredDifference>>,
    /// What was written last, and when. Boxed, because most were written by earlier processes.
    pub(super) written: Option<Box<(Hash, Instant)>>,
    /// The hash of what was too large, when that was, and the message of the refusal.
    pub(super) too_large: Option<Box<(Hash, Instant, String)>>,
    /// Whether it has been in place once.
    pub(super) existed: bool,
    /// Whether it was taken over from the Go controller, once or more often: that one may not have been stopped.
    pub(super) adopted: bool,
    /// Whether that is reported.
    pub(super) adoption_reported: bool,
    /// When an object of another owner was first found under its name; cleared once it is gone. Boxed, because that is rare.
    pub(super) foreign: Option<Box<Instant>>,
}

/// A version of a child that was found to be as desired: a digest of the hash of what was applied, of the fields that are
/// ours, and of the generation, for a mutating webhook may change our fields in a request of another client. Of one that is
/// the Go controller's alone, a digest of its uid and generation.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Settled(NonZeroU64);

impl Settled {
    /// The version of `child`; none where neither we applied all of it nor the Go controller made it.
    fn of(child: &Child) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        if child.is_of_peer_only() {
            (&child.identity.uid, child.generation).hash(&mut hasher);
        } else {
            let (applied, fields) = (child.applied_hash.as_ref()?, child.fields.as_ref()?.digest);
            (applied, fields, child.generation).hash(&mut hasher);
        }
        NonZeroU64::new(hasher.finish()).map(Self)
    }
}

/// How what the API server stores differs from what was applied, by the doing of a mutating webhook.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::reconcile) struct StoredDifference {
    /// The paths of the fields with another value, as text; empty where there are none.
    pub differences: String,
    /// Headers that must not reach Istio.
    pub unsafe_headers: Vec<UnsafeHeader>,
}

impl ChildMemory {
    /// What differs from what was applied in the state in which nothing is to be done.
    pub fn stored(&self) -> StoredDifference {
        self.stored.as_deref().cloned().unwrap_or_default()
    }

    /// Remembers the state in which nothing is to be done, and what differs from what was applied in it.
    pub(super) fn settle(&mut self, child: &Child, stored: StoredDifference) {
        self.settled = Settled::of(child);
        self.stored = (stored != StoredDifference::default()).then(|| Box::new(stored));
    }

    /// It exists, although the cache may not have it.
    pub fn expect_existing(&mut self) {
        self.existed = true;
    }

    /// Whether it has been in place once.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Whether it was taken over from the Go controller; true once.
    pub fn take_adopted(&mut self) -> bool {
        self.adopted && !std::mem::replace(&mut self.adoption_reported, true)
    }

    /// Whether a child is as it was when it was last found to be as desired, and that is still what is desired.
    pub(super) fn holds(&self, child: &Child, hash: &Hash) -> bool {
        child.applied_hash.as_ref() == Some(hash) && self.holds_any(child)
    }

    /// Whether a child is as it was when it was last found to be as desired.
    pub(super) fn holds_any(&self, child: &Child) -> bool {
        self.settled.is_some() && self.settled == Settled::of(child)
    }
}
