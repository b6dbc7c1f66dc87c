//! Which objects have to be reconciled, and how soon. One that waits already does not wait twice, and while another replica
//! reconciles them none does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::slim::Key;

/// How soon an object is reconciled.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// One event concerns many objects: they wait for those with an event of their own.
    Bulk,
    /// A dependent object changed; more such events may follow at once.
    Debounced,
    /// The object itself changed.
    Now,
}

/// The keys of objects that wait to be reconciled.
#[derive(Debug, Default)]
pub struct Triggers {
    waiting: Mutex<HashMap<Key, Urgency>>,
    filled: Notify,
    /// Whether nobody takes them, so that none is kept.
    is_idle: AtomicBool,
}

impl Triggers {
    /// An object has to be reconciled.
    pub fn add(&self, key: Key, urgency: Urgency) {
        if self.is_idle.load(Ordering::SeqCst) {
            return;
        }
        let mut waiting = self.lock();
        let held = waiting.entry(key).or_insert(urgency);
        *held = urgency.max(*held);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Nobody takes them from now on, or somebody does again, who has to add what there is.
    pub(super) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::SeqCst);
        if is_idle {
            self.lock().clear();
        }
    }

    /// Takes all that wait, and waits for one while there are none. Dropping the future loses nothing.
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
    async fn an_object_waits_once_with_its_highest_urgency() {
        let triggers = Triggers::default();
        let key = Key::new("ns", "a");
        triggers.add(key.clone(), Urgency::Debounced);
        triggers.add(key.clone(), Urgency::Now);
        triggers.add(key.clone(), Urgency::Debounced);
        assert_eq!(triggers.take().await, HashMap::from([(key.clone(), Urgency::Now)]));
        triggers.add(key.clone(), Urgency::Now);
        triggers.set_idle(true);
        triggers.add(key.clone(), Urgency::Now);
        triggers.set_idle(false);
        let (taken, ()) = tokio::join!(triggers.take(), async { triggers.add(key.clone(), Urgency::Debounced) });
        assert_eq!(taken.len(), 1);
    }
}
