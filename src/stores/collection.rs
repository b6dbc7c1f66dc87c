//! All objects of one kind that the process knows, kept current by a watch and by the answers to our own writes.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::slim::{Identity, Key, Slim};

/// How far a collection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The first list is under way or has failed.
    Listing,
    /// The API server does not know the resource: its CRD is not installed.
    NotInstalled,
    /// The API server does not allow us to list it, and little depends on it. What was listed before may be out of date.
    Forbidden,
    /// It has been listed once and follows from there.
    Synced,
}

/// What an event changed.
#[derive(Debug)]
pub struct Change<T> {
    /// The object before.
    pub before: Option<Arc<T>>,
    /// The object now.
    pub after: Option<Arc<T>>,
}

/// All objects of one kind.
#[derive(Debug)]
pub struct Collection<T> {
    objects: RwLock<StoreObjects<T>>,
    progress: watch::Sender<Progress>,
    version: AtomicUsize,
    freshness: Mutex<Freshness>,
}

/// How current a collection is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Freshness {
    /// When the API server last sent something: a list, an event, a bookmark.
    pub heard: Option<Instant>,
    /// Since when lists and watches have failed, and why the last one did.
    pub failing: Option<(Instant, Box<str>)>,
}

#[derive(Debug)]
struct StoreObjects<T> {
    /// Found by the key of the object, which is in the object alone.
    by_key: HashSet<StoreEntry<T>>,
    /// Each key is shared by its indexes.
    by_index: HashMap<Box<str>, BTreeSet<Arc<Key>>>,
    /// Counts lists: what the current list does not name, and no write of ours made since it began, is gone.
    round: u32,
    /// The newest resourceVersion that the watch has delivered. It has delivered all objects up to this version, so those
    /// that are not here are gone.
    newest_seen: u64,
}

#[derive(Debug)]
struct StoreEntry<T> {
    object: Arc<T>,
    round: u32,
}

impl<T: Slim> Borrow<Key> for StoreEntry<T> {
    fn borrow(&self) -> &Key {
        &self.object.identity().key
    }
}

impl<T: Slim> PartialEq for StoreEntry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.object.identity().key == other.object.identity().key
    }
}

impl<T: Slim> Eq for StoreEntry<T> {}

impl<T: Slim> Hash for StoreEntry<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.identity().key.hash(state);
    }
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        let objects = StoreObjects { by_key: HashSet::new(), by_index: HashMap::new(), round: 0, newest_seen: 0 };
        let progress = watch::Sender::new(Progress::Listing);
        Self { objects: RwLock::new(objects), progress, version: AtomicUsize::new(0), freshness: Mutex::default() }
    }
}

impl<T: Slim> Collection<T> {
    /// The object of that name.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.read().by_key.get(key).map(|entry| entry.object.clone())
    }

    /// All objects found under `index`, ordered by key.
    pub fn indexed(&self, index: &str) -> Vec<Arc<T>> {
        let objects = self.read();
        let keys = objects.by_index.get(index).into_iter().flatten();
        keys.filter_map(|key| objects.by_key.get(&**key)).map(|entry| entry.object.clone()).collect()
    }

    /// How many objects are found under `index`, and the keys of the first `few` of them. The time does not depend
    /// on how many there are.
    pub fn first_indexed(&self, index: &str, few: usize) -> (usize, Vec<Key>) {
        let objects = self.read();
        let keys = objects.by_index.get(index);
        (keys.map_or(0, BTreeSet::len), keys.into_iter().flatten().take(few).map(|key| Key::clone(key)).collect())
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<Key> {
        self.read().by_key.iter().map(|entry| entry.object.identity().key.clone()).collect()
    }

    /// Calls `visit` with every object. It must not use the collection.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) {
        self.read().by_key.iter().for_each(|entry| visit(&entry.object));
    }

    /// All objects, in no order. They are not copied, so that the collection is not held while they are read.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read().by_key.iter().map(|entry| entry.object.clone()).collect()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.read().by_key.len()
    }

    /// How current it is.
    pub fn freshness(&self) -> Freshness {
        self.freshness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The API server has sent something.
    pub(super) fn heard(&self) {
        let heard = Freshness { heard: Some(Instant::now()), failing: None };
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    /// Lists or watches have failed since then.
    pub(super) fn fails(&self, since: Instant, error: &str) {
        let failing = Some((since, error.into()));
        self.freshness.lock().unwrap_or_else(PoisonError::into_inner).failing = failing;
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Its progress and the changes of it.
    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits until `enough` is true of its progress.
    pub async fn wait_until(&self, enough: impl Fn(Progress) -> bool) {
        // The sender lives as long as `self`.
        let _ = self.subscribe().wait_for(|progress| enough(*progress)).await;
    }

    pub(super) fn set_progress(&self, progress: Progress) -> bool {
        self.progress.send_if_modified(|held| std::mem::replace(held, progress) != progress)
    }

    /// The API version in which the API server serves the resource, as far as is known: its number among those in which it may
    /// be served, with the preferred one as 0.
    pub fn version(&self) -> usize {
        self.version.load(Ordering::Relaxed)
    }

    /// It is served in that API version. True where it was another one before.
    pub(super) fn set_version(&self, version: usize) -> bool {
        self.version.swap(version, Ordering::Relaxed) != version
    }

    /// Takes an object from a watch event. None when nothing changed.
    pub fn put(&self, object: T) -> Option<Change<T>> {
        self.write().observe(object, false)
    }

    /// Takes an object from a list. It is believed even where it is older than what is known, unless that was learnt
    /// since the list began: after a restore of the API server's store versions begin anew.
    pub fn put_listed(&self, object: T) -> Option<Change<T>> {
        self.write().observe(object, true)
    }

    /// Takes an object from the answer to a write, which may come after the watch has delivered the deletion of the object.
    pub fn put_answer(&self, object: T) {
        let mut objects = self.write();
        let identity = object.identity();
        let is_news = identity.version_number().is_none_or(|version| version > objects.newest_seen);
        if is_news || objects.by_key.contains(&identity.key) {
            objects.put(object, false);
        }
    }

    /// Forgets an object that is gone, as a watch event or an answer reports. None when a newer one has its name by
    /// now.
    pub fn remove(&self, gone: &Identity) -> Option<Change<T>> {
        let mut objects = self.write();
        objects.newest_seen = objects.newest_seen.max(gone.version_number().unwrap_or_default());
        let held = &objects.by_key.get(&gone.key)?.object;
        if gone.is_older_than(held.identity()) {
            return None;
        }
        objects.remove(&gone.key).map(|before| Change { before: Some(before), after: None })
    }

    /// A list begins.
    pub(super) fn begin_list(&self) {
        let mut objects = self.write();
        objects.round = objects.round.wrapping_add(1);
    }

    /// A list is complete: what it did not name is gone.
    pub(super) fn end_list(&self) -> Vec<Change<T>> {
        let mut objects = self.write();
        let round = objects.round;
        let is_gone = |entry: &&StoreEntry<T>| entry.round != round;
        let gone: Vec<Key> =
            objects.by_key.iter().filter(is_gone).map(|entry| entry.object.identity().key.clone()).collect();
        gone.iter()
            .filter_map(|key| objects.remove(key))
            .map(|before| Change { before: Some(before), after: None })
            .collect()
    }

    // A panic while the lock is held leaves whole entries behind.

    fn read(&self) -> RwLockReadGuard<'_, StoreObjects<T>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, StoreObjects<T>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Slim> StoreObjects<T> {
    /// Takes an object from a watch or a list.
    fn observe(&mut self, object: T, listed: bool) -> Option<Change<T>> {
        self.newest_seen = self.newest_seen.max(object.identity().version_number().unwrap_or_default());
        self.put(object, listed)
    }

    fn put(&mut self, mut object: T, listed: bool) -> Option<Change<T>> {
        let round = self.round;
        if let Some(StoreEntry { object: before, round: seen }) = self.by_key.take(&object.identity().key) {
            let is_certain = listed && seen != round;
            if !is_certain && object.identity().is_older_than(before.identity()) {
                self.by_key.insert(StoreEntry { object: before, round });
                return None;
            }
            object.inherit(&before);
            let same = object.same_as(&before);
            let after = Arc::new(object);
            self.by_key.insert(StoreEntry { object: after.clone(), round });
            let (old, new) = (before.indexes(), after.indexes());
            if old != new {
                self.unlink(&old, &before.identity().key);
                self.link(new, &after.identity().key);
            }
            return (!same).then_some(Change { before: Some(before), after: Some(after) });
        }
        let after = Arc::new(object);
        self.link(after.indexes(), &after.identity().key);
        self.by_key.insert(StoreEntry { object: after.clone(), round });
        Some(Change { before: None, after: Some(after) })
    }

    fn link(&mut self, indexes: Vec<Box<str>>, key: &Key) {
        if indexes.is_empty() {
            return;
        }
        let key = Arc::new(key.clone());
        for index in indexes {
            self.by_index.entry(index).or_default().insert(key.clone());
        }
    }

    fn unlink(&mut self, indexes: &[Box<str>], key: &Key) {
        for index in indexes {
            if let Some(keys) = self.by_index.get_mut(index) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_index.remove(index);
                }
            }
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let object = self.by_key.take(key)?.object;
        self.unlink(&object.indexes(), key);
        Some(object)
    }
}

#[cfg(test)]
mod tests;
