//! Which Workspaces have to be looked at again, and how soon. Bounded by the number of Workspaces: one that waits
//! already does not wait twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::slim::Key;

/// How soon a Workspace is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// One event concerns many of them: they wait for those with something of their own.
    Bulk,
    /// Something about its children or pod changed; more of that may follow at once.
    Settling,
    /// Somebody changed it.
    Now,
}

/// The Workspaces that wait to be looked at.
#[derive(Debug, Default)]
pub struct Triggers {
    waiting: Mutex<HashMap<Key, Urgency>>,
    filled: Notify,
}

impl Triggers {
    /// A Workspace has to be looked at.
    pub fn add(&self, key: Key, urgency: Urgency) {
        let mut waiting = self.lock();
        let held = waiting.entry(key).or_insert(urgency);
        *held = urgency.max(*held);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Takes all that wait; waits itself while there are none. Dropping the future loses nothing.
    pub async fn take(&self) -> HashMap<Key, Urgency> {
        loop {
            let taken = std::mem::take(&mut *self.lock());
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Urgency>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_workspace_waits_once_with_its_highest_urgency() {
        let triggers = Triggers::default();
        let key = Key::new("ns", "a");
        triggers.add(key.clone(), Urgency::Settling);
        triggers.add(key.clone(), Urgency::Now);
        triggers.add(key.clone(), Urgency::Settling);
        assert_eq!(triggers.take().await, HashMap::from([(key.clone(), Urgency::Now)]));
        let (taken, ()) = tokio::join!(triggers.take(), async { triggers.add(key.clone(), Urgency::Settling) });
        assert_eq!(taken.len(), 1);
    }
}
