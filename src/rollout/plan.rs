//! Which Workspaces are restarted, in which order, and which are left. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::standing::{Due, IdleRule, Left, standing};
use crate::stores::slim::{Incoming, Key};
use crate::stores::uid::Uid;
use crate::stores::workspace::StoredWorkspace;

/// A Workspace whose restart is due, now or after its next probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub key: Key,
    pub uid: Uid,
    pub due: Due,
}

/// Those that are left, by the reason.
pub(super) type LeftBy = BTreeMap<Left, Vec<Key>>;

/// What is to be done about the Workspaces of a kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Plan {
    /// In their order.
    pub restarts: Vec<Candidate>,
    pub left: LeftBy,
}

/// The Workspaces that were dealt with.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Those that were restarted.
    pub restarted: HashSet<Uid>,
    /// Those that were refused, or not due any longer.
    pub others: HashSet<Uid>,
}

impl Done {
    pub fn len(&self) -> usize {
        self.restarted.len() + self.others.len()
    }

    pub fn contains(&self, uid: &Uid) -> bool {
        self.restarted.contains(uid) || self.others.contains(uid)
    }
}

/// What is to be done, without those that were dealt with: those that have been idle for longest first, where that counts, then
/// those whose restart has been pending for longest, then by name.
pub(super) fn plan(
    workspaces: Vec<Incoming<StoredWorkspace>>,
    done: &Done,
    idle: Option<IdleRule>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    for incoming in workspaces {
        let identity = incoming.identity();
        if done.others.contains(&identity.uid) {
            continue;
        }
        let standing =
            incoming.object.map_err(|_| Left::Unreadable).and_then(|workspace| standing(&workspace, idle, now));
        match standing {
            Ok(_) if done.restarted.contains(&identity.uid) => {
                plan.left.entry(Left::Again).or_default().push(identity.key);
            }
            Err(_) if done.restarted.contains(&identity.uid) => {}
            Ok(due) => plan.restarts.push(Candidate { key: identity.key, uid: identity.uid, due }),
            Err(left) => plan.left.entry(left).or_default().push(identity.key),
        }
    }
    // A time that is not known is one of before.
    plan.restarts.sort_by_cached_key(|candidate| {
        (Reverse(candidate.due.idle.map(|idle| idle.time)), candidate.due.pending_since, candidate.key.clone())
    });
    plan.left.values_mut().for_each(|keys| keys.sort());
    plan
}

/// For how long that many restarts take at least, if all of them are in time.
pub(super) fn duration(restarts: usize, interval: Duration) -> Duration {
    interval.saturating_mul(u32::try_from(restarts.saturating_sub(1)).unwrap_or(u32::MAX))
}
