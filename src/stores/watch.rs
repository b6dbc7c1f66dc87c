//! One watch: it keeps a collection current and goes on whatever the API server answers.
//!
//! It lists, then follows what has changed since. The list is the beginning of the watch where the API server streams it, so
//! that no object waits for the others in memory, and comes in pages elsewhere. Every watch ends now and then, because its
//! time is up or its connection broke, and is resumed where it ended. That is no news; only a list or a start that fails is.

mod events;
mod failure;
mod options;

use std::time::Duration;

use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::ObjectList;
use kube::core::watch::Bookmark;
use tokio::time::{Instant, sleep, timeout};

use super::collection::{Change, Collection, Progress};
use super::slim::{Incoming, Slim};
use super::triggers::Urgency;
use crate::client::causes;
use events::Events;
use failure::WatchFailure;
use options::{EXPIRES_AFTER, LONGEST_PAUSE};

pub(super) use options::{Necessity, WatchOptions};

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a watch has to last to have started, where it delivers nothing.
const SETTLES_AFTER: Duration = LONGEST_PAUSE;
/// Without an event or a bookmark the connection may be dead, so the watch is resumed on another one. API servers send a
/// bookmark once a minute, but only of resources that have changed since they started or about which etcd has reported
/// progress, which it does every ten minutes by default.
const SILENCE: Duration = Duration::from_secs(75);
/// How long a streamed list may pause. One that does is asked for in pages.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);
/// The annotation of the bookmark at the end of a streamed list (KEP-3157).
const LIST_ENDS: &str = "k8s.io/initial-events-end";

/// What happened to a collection.
pub(super) enum StoreEvent<'a, T> {
    /// An object changed.
    Changed(&'a Change<T>),
    /// A list, of many objects, showed that one changed.
    Listed(&'a Change<T>),
    /// Its CRD was installed or removed, or is served in another version.
    Installed,
    /// A list or the start of a watch failed: the code of the API server's answer, if it answered, and the reason.
    Failed(Option<u16>, &'a str),
}

impl<'a, T> StoreEvent<'a, T> {
    /// What changed, and how soon it matters: as `urgency` says where it changed by itself.
    pub fn change(self, urgency: Urgency) -> Option<(&'a Change<T>, Urgency)> {
        match self {
            Self::Changed(change) => Some((change, urgency)),
            Self::Listed(change) => Some((change, Urgency::Bulk)),
            Self::Installed | Self::Failed(..) => None,
        }
    }
}

/// Keeps `collection` current and hands what changed to `on_event`. Never returns.
///
/// `apis` are those of the API versions in which the resource may be served, the preferred one first: each list is one in the
/// first that is, and what follows it stays with that.
/// `W` is the form in which the API server sends what is kept as `T`.
pub(super) async fn watch<T: Slim + From<W>, W: Slim>(
    options: WatchOptions,
    apis: Vec<Api<Incoming<W>>>,
    collection: &Collection<T>,
    on_event: impl Fn(StoreEvent<'_, T>),
) {
    let mut watch = Watch {
        options,
        apis,
        version: 0,
        collection,
        on_event,
        pause: FIRST_PAUSE,
        failing: None,
        expired: false,
        outdated: false,
        unstreamed: 0,
    };
    loop {
        match watch.list().await {
            Ok((version, events)) => {
                // A list whose changes cannot be followed is not enough.
                if !watch.outdated {
                    watch.worked();
                }
                watch.follow(version, events).await;
            }
            Err(failure) => watch.failed(failure).await,
        }
    }
}

struct Watch<'a, T, W, F> {
    options: WatchOptions,
    apis: Vec<Api<Incoming<W>>>,
    /// Which of them is used.
    version: usize,
    collection: &'a Collection<T>,
    on_event: F,
    /// How long to wait after the next error.
    pause: Duration,
    /// Since when lists and starts have failed, if the last one has.
    failing: Option<Instant>,
    /// Whether what was listed has been forgotten for that.
    expired: bool,
    /// Whether the last list was outdated before its watch had started.
    outdated: bool,
    /// How many times in a row a streamed list has failed.
    unstreamed: u32,
}

/// A list that was asked for as the beginning of a watch.
enum StreamedList<W> {
    /// It is complete, at this version, and the changes since follow.
    Complete(String, Events<W>),
    /// It has to be asked for in pages, for this reason.
    Unavailable(String),
}

/// How a watch ended.
enum WatchEnd {
    /// The API server knows what has changed since: the watch can be resumed.
    Resumable(String),
    /// The objects have to be listed again.
    Outdated(String),
}

impl<T: Slim + From<W>, W: Slim, F: Fn(StoreEvent<'_, T>)> Watch<'_, T, W, F> {
    /// Lists all objects in the first API version that is served; the version of the list, and the watch of the changes since
    /// where that has begun already.
    async fn list(&mut self) -> Result<(String, Option<Events<W>>), WatchFailure> {
        self.version = 0;
        loop {
            match self.list_in_version().await {
                Err(failure) if failure.code == Some(404) && self.version + 1 < self.apis.len() => self.version += 1,
                listed => return listed,
            }
        }
    }

    async fn list_in_version(&mut self) -> Result<(String, Option<Events<W>>), WatchFailure> {
        match self.list_streamed().await? {
            StreamedList::Complete(version, events) => Ok((version, Some(events))),
            StreamedList::Unavailable(reason) => {
                tracing::debug!(resource = self.options.name, reason, "no streamed list; listing in pages");
                Ok((self.list_pages().await?, None))
            }
        }
    }

    /// Lists all objects by a watch that begins with them.
    async fn list_streamed(&mut self) -> Result<StreamedList<W>, WatchFailure> {
        self.collection.begin_list();
        // Without a version the list is of the time of the request, as pages are.
        let mut events = match self.start(self.params().initial_events(), "").await {
            Ok(events) => events,
            Err(failure) => {
                self.unstreamed += 1;
                let is_paged = failure.calls_for_pages(self.unstreamed);
                return if is_paged { Ok(StreamedList::Unavailable(failure.text)) } else { Err(failure) };
            }
        };
        let reason = loop {
            let event = match timeout(STREAM_PATIENCE, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => break causes(&error),
                Ok(None) => break "it ended before it was complete".to_owned(),
                Err(_) => break format!("nothing came for {} s", STREAM_PATIENCE.as_secs()),
            };
            match event {
                WatchEvent::Bookmark(Bookmark { metadata, .. }) => {
                    if metadata.annotations.get(LIST_ENDS).is_some_and(|value| value == "true") {
                        self.list_ended();
                        return Ok(StreamedList::Complete(metadata.resource_version, events));
                    }
                    break "a bookmark came before the list was complete".to_owned();
                }
                event => match self.take_event(event, true) {
                    Ok((change, _)) => change.iter().for_each(|change| (self.on_event)(StoreEvent::Listed(change))),
                    Err(WatchEnd::Resumable(reason) | WatchEnd::Outdated(reason)) => break reason,
                },
            }
        };
        Ok(StreamedList::Unavailable(reason))
    }

    /// Lists all objects in pages; the version of the list.
    async fn list_pages(&mut self) -> Result<String, WatchFailure> {
        self.collection.begin_list();
        let (label_selector, field_selector) = (self.options.label.clone(), self.options.field.clone());
        let mut params =
            ListParams { label_selector, field_selector, limit: Some(self.options.page), ..ListParams::default() };
        loop {
            let ObjectList { metadata, items, .. } = self.api().list(&params).await?;
            for object in items {
                if let Some(change) = self.put(object, true) {
                    (self.on_event)(StoreEvent::Listed(&change));
                }
            }
            if let Some(token) = metadata.continue_.filter(|token| !token.is_empty()) {
                params.continue_token = Some(token);
                continue;
            }
            self.list_ended();
            return metadata
                .resource_version
                .filter(|version| !version.is_empty())
                .ok_or_else(|| WatchFailure { code: None, text: "the list has no resourceVersion".to_owned() });
        }
    }

    /// A list is complete.
    fn list_ended(&mut self) {
        (self.unstreamed, self.expired) = (0, false);
        let is_other_version = self.collection.set_version(self.version);
        if is_other_version {
            let path = self.api().resource_url();
            tracing::info!(resource = self.options.name, path, "the API server serves another version");
        }
        for change in self.collection.end_list() {
            (self.on_event)(StoreEvent::Listed(&change));
        }
        if self.collection.set_progress(Progress::Synced) || is_other_version {
            (self.on_event)(StoreEvent::Installed);
        }
    }

    fn api(&self) -> &Api<Incoming<W>> {
        &self.apis[self.version]
    }

    fn params(&self) -> WatchParams {
        let (label_selector, field_selector) = (self.options.label.clone(), self.options.field.clone());
        WatchParams { label_selector, field_selector, ..WatchParams::default() }
    }

    /// Starts a watch.
    async fn start(&self, params: WatchParams, version: &str) -> Result<Events<W>, WatchFailure> {
        Ok(Events::start(self.api(), &params, version).await?)
    }

    /// Follows the changes since `version`, by `events` at first where they come already, until the objects have to be
    /// listed again.
    async fn follow(&mut self, mut version: String, mut events: Option<Events<W>>) {
        let name = self.options.name;
        while !self.expired {
            let mut started = false;
            let watched = match events.take() {
                Some(events) => Ok(events),
                None => self.start(self.params(), &version).await,
            };
            let end = match watched {
                Ok(events) => self.take(events, &mut version, &mut started).await,
                // What is not served any longer may be in another version. When it comes back it is another resource.
                Err(WatchFailure { code: Some(404 | 410), text }) => WatchEnd::Outdated(text),
                Err(failure) => {
                    self.failed(failure).await;
                    continue;
                }
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
    async fn take(&mut self, mut events: Events<W>, version: &mut String, started: &mut bool) -> WatchEnd {
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
            let (change, seen) = match self.take_event(event, false) {
                Ok(taken) => taken,
                Err(end) => return end,
            };
            *version = seen;
            *started = true;
            self.worked();
            if let Some(change) = change {
                (self.on_event)(StoreEvent::Changed(&change));
            }
        }
    }

    /// Takes an event, `listed` while it is part of a list; what changed and the version that the collection has now.
    fn take_event(
        &self,
        event: WatchEvent<Incoming<W>>,
        listed: bool,
    ) -> Result<(Option<Change<T>>, String), WatchEnd> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let seen = object.identity().version.into();
                Ok((self.put(object, listed), seen))
            }
            WatchEvent::Deleted(object) => {
                let gone = object.identity();
                Ok((self.collection.remove(&gone), gone.version.into()))
            }
            WatchEvent::Bookmark(bookmark) => Ok((None, bookmark.metadata.resource_version)),
            WatchEvent::Error(status) if status.code == 410 => Err(WatchEnd::Outdated(status.message)),
            WatchEvent::Error(status) => Err(WatchEnd::Resumable(status.message)),
        }
    }

    /// Takes an object of a list or of an event.
    fn put(&self, incoming: Incoming<W>, listed: bool) -> Option<Change<T>> {
        if let Err(error) = &incoming.object {
            let (resource, identity) = (self.options.name, incoming.identity());
            let (namespace, name) = identity.key.parts();
            tracing::error!(resource, namespace, name, error, "an object cannot be decoded and is skipped");
            // What it was before is no longer true.
            return self.collection.remove(&identity);
        }
        let object = incoming.object.ok()?.into();
        if listed { self.collection.put_listed(object) } else { self.collection.put(object) }
    }

    fn worked(&mut self) {
        self.collection.heard();
        self.pause = FIRST_PAUSE;
        self.outdated = false;
        // The watch was resumed from where it was before, so nothing is missing.
        if self.collection.progress() == Progress::Forbidden && self.collection.set_progress(Progress::Synced) {
            (self.on_event)(StoreEvent::Installed);
        }
        if self.failing.take().is_some() {
            tracing::info!(resource = self.options.name, "the watch works again");
        }
    }

    /// Forgets what was listed, where it is not to be believed for ever. No event says so: whoever asks finds nothing.
    fn expire(&mut self) {
        let Some(follows) = self.options.expires else { return };
        self.collection.begin_list();
        drop(self.collection.end_list());
        if !std::mem::replace(&mut self.expired, true) {
            let (resource, seconds) = (self.options.name, EXPIRES_AFTER.as_secs());
            tracing::warn!(resource, "neither listed nor watched for {seconds} s: {follows} until they can be");
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
        if self.failing.is_some() && !is_other {
            tracing::debug!(resource = self.options.name, error = failure.text, "the watch still fails");
        } else {
            failure.report(&self.options, progress);
        }
        if is_other {
            (self.on_event)(StoreEvent::Installed);
        }
        (self.on_event)(StoreEvent::Failed(failure.code, &failure.text));
        let since = *self.failing.get_or_insert_with(Instant::now);
        self.collection.fails(since, &failure.text);
        if since.elapsed() >= EXPIRES_AFTER {
            self.expire();
        }
        let longest = if progress.is_some() { necessity.longest_pause_without() } else { LONGEST_PAUSE };
        sleep(self.pause.min(longest)).await;
        self.pause = (self.pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests;
