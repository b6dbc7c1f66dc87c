//! One watch: it keeps a collection current and goes on whatever the API server answers.
//!
//! It lists, then follows what has changed since. Every watch ends now and then, because its time is up or its connection
//! broke, and is resumed where it ended. That is no news; only a list or a start that fails is.

mod failure;
mod options;

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::ObjectList;
use tokio::time::{sleep, timeout};

use super::collection::{Change, Collection, Progress};
use super::slim::{Incoming, Slim};
use super::triggers::Urgency;
use crate::client::causes;
use failure::WatchFailure;
use options::LONGEST_PAUSE;

pub(super) use options::{Necessity, WatchOptions};

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a watch has to last to have started, where it delivers nothing.
const SETTLES_AFTER: Duration = LONGEST_PAUSE;
/// Without an event or a bookmark the connection may be dead, so the watch is resumed on another one. API servers send a
/// bookmark once a minute, but only of resources that have changed since they started or about which etcd has reported
/// progress, which it does every ten minutes by default.
const SILENCE: Duration = Duration::from_secs(75);
/// Objects in a page of a list.
const PAGE: u32 = 500;

/// What happened to a collection.
pub(super) enum StoreEvent<'a, T> {
    /// An object changed.
    Changed(&'a Change<T>),
    /// A list, of many objects, showed that one changed.
    Listed(&'a Change<T>),
    /// Its CRD was installed or removed.
    Installed,
}

impl<'a, T> StoreEvent<'a, T> {
    /// What changed, and how soon it matters: as `urgency` says where it changed by itself.
    pub fn change(self, urgency: Urgency) -> Option<(&'a Change<T>, Urgency)> {
        match self {
            Self::Changed(change) => Some((change, urgency)),
            Self::Listed(change) => Some((change, Urgency::Bulk)),
            Self::Installed => None,
        }
    }
}

/// Keeps `collection` current and hands what changed to `on_event`. Never returns.
///
/// `W` is the form in which the API server sends what is kept as `T`.
pub(super) async fn watch<T: Slim + From<W>, W: Slim>(
    options: WatchOptions,
    api: Api<Incoming<W>>,
    collection: &Collection<T>,
    on_event: impl Fn(StoreEvent<'_, T>),
) {
    let mut watch = Watch { options, api, collection, on_event, pause: FIRST_PAUSE, failing: false, outdated: false };
    loop {
        match watch.list().await {
            Ok(version) => {
                // A list whose changes cannot be followed is not enough.
                if !watch.outdated {
                    watch.worked();
                }
                watch.follow(version).await;
            }
            Err(failure) => watch.failed(failure).await,
        }
    }
}

struct Watch<'a, T, W, F> {
    options: WatchOptions,
    api: Api<Incoming<W>>,
    collection: &'a Collection<T>,
    on_event: F,
    /// How long to wait after the next error.
    pause: Duration,
    /// Whether the last list or start failed.
    failing: bool,
    /// Whether the last list was outdated before its watch had started.
    outdated: bool,
}

/// How a watch ended.
enum WatchEnd {
    /// The API server knows what has changed since: the watch can be resumed.
    Resumable(String),
    /// The objects have to be listed again.
    Outdated(String),
}

impl<T: Slim + From<W>, W: Slim, F: Fn(StoreEvent<'_, T>)> Watch<'_, T, W, F> {
    /// Lists all objects; the version of the list.
    async fn list(&self) -> Result<String, WatchFailure> {
        self.collection.begin_list();
        let label_selector = self.options.label.map(str::to_owned);
        let mut params = ListParams { label_selector, limit: Some(PAGE), ..ListParams::default() };
        loop {
            let ObjectList { metadata, items, .. } = self.api.list(&params).await?;
            for object in items {
                if let Some(change) = self.put(object, true) {
                    (self.on_event)(StoreEvent::Listed(&change));
                }
            }
            if let Some(token) = metadata.continue_.filter(|token| !token.is_empty()) {
                params.continue_token = Some(token);
                continue;
            }
            for change in self.collection.end_list() {
                (self.on_event)(StoreEvent::Listed(&change));
            }
            if self.collection.set_progress(Progress::Synced) {
                (self.on_event)(StoreEvent::Installed);
            }
            return metadata
                .resource_version
                .filter(|version| !version.is_empty())
                .ok_or_else(|| WatchFailure { code: None, text: "the list has no resourceVersion".to_owned() });
        }
    }

    /// Follows the changes since `version`, until the objects have to be listed again.
    async fn follow(&mut self, mut version: String) {
        let name = self.options.name;
        loop {
            let params =
                WatchParams { label_selector: self.options.label.map(str::to_owned), ..WatchParams::default() };
            let mut started = false;
            let end = match self.api.watch(&params, &version).await {
                Ok(events) => self.take(events, &mut version, &mut started).await,
                Err(error) => match WatchFailure::from(error) {
                    WatchFailure { code: Some(410), text } => WatchEnd::Outdated(text),
                    failure => {
                        // When it comes back it is another one: its objects have to be listed, not followed.
                        let is_gone = failure.code == Some(404);
                        self.failed(failure).await;
                        if is_gone {
                            return;
                        }
                        continue;
                    }
                },
            };
            match end {
                WatchEnd::Outdated(reason) if self.outdated => {
                    let text = format!("the list was outdated at once: {reason}");
                    self.failed(WatchFailure { code: None, text }).await;
                    return;
                }
                WatchEnd::Outdated(reason) => {
                    // Once that is no news; in a row it would list all objects again and again.
                    self.outdated = !started;
                    tracing::debug!(resource = name, reason, "listing again");
                    sleep(FIRST_PAUSE).await;
                    return;
                }
                WatchEnd::Resumable(reason) if started => {
                    tracing::debug!(resource = name, reason, "resuming the watch");
                }
                WatchEnd::Resumable(text) => self.failed(WatchFailure { code: None, text }).await,
            }
        }
    }

    /// Takes what a watch delivers, until it ends. `started` once it has delivered something, or lasted.
    async fn take(
        &mut self,
        events: impl Stream<Item = kube::Result<WatchEvent<Incoming<W>>>>,
        version: &mut String,
        started: &mut bool,
    ) -> WatchEnd {
        let mut events = std::pin::pin!(events);
        loop {
            let patience = if *started { SILENCE } else { SETTLES_AFTER };
            let event = match timeout(patience, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error @ kube::Error::SerdeError(_)))) => return WatchEnd::Outdated(causes(&error)),
                Ok(Some(Err(error))) => return WatchEnd::Resumable(causes(&error)),
                Ok(None) => return WatchEnd::Resumable("the API server ended it".to_owned()),
                Err(_) if *started => {
                    return WatchEnd::Resumable(format!("neither event nor bookmark for {} s", SILENCE.as_secs()));
                }
                Err(_) => {
                    *started = true;
                    self.worked();
                    continue;
                }
            };
            let (change, seen) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let seen = object.identity().version.into();
                    (self.put(object, false), seen)
                }
                WatchEvent::Deleted(object) => {
                    let gone = object.identity();
                    (self.collection.remove(&gone), gone.version.into())
                }
                WatchEvent::Bookmark(bookmark) => (None, bookmark.metadata.resource_version),
                WatchEvent::Error(status) if status.code == 410 => return WatchEnd::Outdated(status.message),
                WatchEvent::Error(status) => return WatchEnd::Resumable(status.message),
            };
            *version = seen;
            *started = true;
            self.worked();
            if let Some(change) = change {
                (self.on_event)(StoreEvent::Changed(&change));
            }
        }
    }

    /// Takes an object of a list or of an event.
    fn put(&self, incoming: Incoming<W>, listed: bool) -> Option<Change<T>> {
        let identity = incoming.identity();
        match incoming.object {
            Ok(object) if listed => self.collection.put_listed(object.into()),
            Ok(object) => self.collection.put(object.into()),
            Err(error) => {
                let resource = self.options.name;
                tracing::error!(resource, object = %identity.key, error, "an object cannot be decoded and is skipped");
                // What it was before is no longer true.
                self.collection.remove(&identity)
            }
        }
    }

    fn worked(&mut self) {
        self.pause = FIRST_PAUSE;
        self.outdated = false;
        // The watch was resumed from where it was before, so nothing is missing.
        if self.collection.progress() == Progress::Forbidden {
            self.collection.set_progress(Progress::Synced);
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(resource = self.options.name, "the watch works again");
        }
    }

    /// Reports a failure, if it is news, and waits before the next try.
    async fn failed(&mut self, failure: WatchFailure) {
        let necessity = self.options.necessity;
        let progress = match (failure.code, necessity) {
            (Some(404), _) => Some(Progress::NotInstalled),
            (Some(403), Necessity::Optional(_)) => Some(Progress::Forbidden),
            _ => None,
        };
        let is_other = progress.is_some_and(|progress| self.collection.set_progress(progress));
        if std::mem::replace(&mut self.failing, true) && !is_other {
            tracing::debug!(resource = self.options.name, error = failure.text, "the watch still fails");
        } else {
            failure.report(&self.options, progress);
        }
        if is_other {
            (self.on_event)(StoreEvent::Installed);
        }
        let longest = if progress.is_some() { necessity.longest_pause_without() } else { LONGEST_PAUSE };
        sleep(self.pause.min(longest)).await;
        self.pause = (self.pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests;
