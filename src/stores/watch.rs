//! One watch: it keeps a collection current and goes on whatever the API server answers.

use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};

use super::collection::{Change, Collection, Progress};
use super::slim::{Incoming, Slim};
use super::triggers::Urgency;
use crate::client::causes;

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after errors: how late we may notice that the API server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What is missing where the API server does not serve a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Necessity {
    /// Everything: the process does not become ready.
    Required,
    /// A part of what the settings ask for.
    Recommended,
    /// Nothing.
    Optional,
}

/// What a watch has to know beside where it lists.
pub(super) struct WatchOptions {
    /// The name of the resource in logs.
    pub name: &'static str,
    /// How much depends on it.
    pub necessity: Necessity,
    /// What is selected.
    pub config: watcher::Config,
}

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

/// The longest pause between two lists of a resource that the API server does not serve.
fn longest_pause_while_absent(necessity: Necessity) -> Duration {
    match necessity {
        Necessity::Required => LONGEST_PAUSE,
        // Routes are there within 30 s of the installation of Istio's CRDs.
        Necessity::Recommended => Duration::from_secs(25),
        Necessity::Optional => Duration::from_secs(30),
    }
}

/// Keeps `collection` current and hands what changed to `on_event`. Never returns.
pub(super) async fn watch<T: Slim>(
    WatchOptions { name, necessity, config }: WatchOptions,
    api: Api<Incoming<T>>,
    collection: &Collection<T>,
    on_event: impl Fn(StoreEvent<'_, T>),
) {
    let start = || watcher(api.clone(), config.clone()).boxed();
    let mut events = start();
    let mut pause = FIRST_PAUSE;
    let mut failing = false;
    // The stream is endless; were it not, the process should stop.
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let worked = !matches!(event, Event::Init);
                take(name, event, collection, &on_event);
                // Every try to list begins with `Init`, so that says nothing about its success.
                if worked {
                    pause = FIRST_PAUSE;
                    if std::mem::take(&mut failing) {
                        tracing::info!(resource = name, "the watch works again");
                    }
                }
            }
            Err(error) => {
                let not_installed = answer(&error).is_some_and(|status| status.code == 404);
                let text = answer(&error).map_or_else(|| causes(&error), |status| status.message.clone());
                if std::mem::replace(&mut failing, true) {
                    tracing::debug!(resource = name, error = text, "the watch still fails");
                } else {
                    log_failure(name, necessity, &text, not_installed);
                }
                let mut longest = LONGEST_PAUSE;
                if not_installed {
                    // When it comes back it is another one: its objects have to be listed, not followed.
                    events = start();
                    if collection.set_progress(Progress::NotInstalled) {
                        on_event(StoreEvent::Installed);
                    }
                    longest = longest_pause_while_absent(necessity);
                }
                tokio::time::sleep(pause.min(longest)).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

fn log_failure(name: &'static str, necessity: Necessity, error: &str, not_installed: bool) {
    match necessity {
        Necessity::Optional if not_installed => {
            tracing::debug!(resource = name, "the API server does not serve this resource; will retry");
        }
        Necessity::Required | Necessity::Recommended if not_installed => {
            tracing::warn!(resource = name, "the API server does not serve this resource: install its CRD; will retry");
        }
        _ => {
            tracing::warn!(resource = name, error, "the watch failed; will retry");
        }
    }
}

fn take<T: Slim>(
    name: &'static str,
    event: Event<Incoming<T>>,
    collection: &Collection<T>,
    on_event: &impl Fn(StoreEvent<'_, T>),
) {
    let put = |incoming: Incoming<T>, listed: bool| {
        let identity = incoming.identity();
        match incoming.object {
            Ok(object) if listed => collection.put_listed(object),
            Ok(object) => collection.put(object),
            Err(error) => {
                tracing::error!(resource = name, object = %identity.key, error, "an object cannot be decoded and is skipped");
                // What it was before is no longer true.
                collection.remove(&identity)
            }
        }
    };
    match event {
        Event::Init => collection.begin_list(),
        Event::InitApply(incoming) => {
            if let Some(change) = put(incoming, true) {
                on_event(StoreEvent::Listed(&change));
            }
        }
        Event::Apply(incoming) => {
            if let Some(change) = put(incoming, false) {
                on_event(StoreEvent::Changed(&change));
            }
        }
        Event::Delete(incoming) => {
            if let Some(change) = collection.remove(&incoming.identity()) {
                on_event(StoreEvent::Changed(&change));
            }
        }
        Event::InitDone => {
            for change in collection.end_list() {
                on_event(StoreEvent::Listed(&change));
            }
            if collection.set_progress(Progress::Synced) {
                on_event(StoreEvent::Installed);
            }
        }
    }
}

/// What the API server answered, if that is the error.
fn answer(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::stores::slim::Key;
    use crate::stores::workspace::StoredWorkspace;

    fn incoming(version: u64, kind: &serde_json::Value) -> Incoming<StoredWorkspace> {
        serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "lab", "uid": "u", "resourceVersion": version.to_string()},
            "spec": {"kind": kind, "podTemplate": {"volumes": {}, "options": {"imageConfig": "i", "podConfig": "p"}}},
        }))
        .unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_any_longer_is_forgotten_and_so_is_its_end() {
        let collection = Collection::default();
        let held = || collection.get(&Key::new("ns", "lab")).is_some();
        take("workspaces", Event::Apply(incoming(1, &json!("k"))), &collection, &|_| {});
        assert!(held());
        take("workspaces", Event::Apply(incoming(2, &json!(7))), &collection, &|_| {});
        assert!(!held());
        take("workspaces", Event::Apply(incoming(3, &json!("k"))), &collection, &|_| {});
        take("workspaces", Event::Delete(incoming(4, &json!(7))), &collection, &|_| {});
        assert!(!held());
    }

    /// Lists of a resource that the API server does not serve, in the ten minutes after the first ten.
    async fn lists_while_absent(necessity: Necessity) -> usize {
        let lists = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn({
            let lists = lists.clone();
            move |_: http::Request<Body>| {
                lists.fetch_add(1, Ordering::SeqCst);
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404});
                let answer = http::Response::builder().status(404).body(Body::from(status.to_string().into_bytes()));
                std::future::ready(answer)
            }
        });
        let collection = Collection::<StoredWorkspace>::default();
        let api = Api::all(Client::new(service, "default"));
        let options = WatchOptions { name: "workspaces", necessity, config: watcher::Config::default() };
        let watching = watch(options, api, &collection, |_| {});
        let counted = async {
            tokio::time::sleep(Duration::from_mins(10)).await;
            let first = lists.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_mins(10)).await;
            lists.load(Ordering::SeqCst) - first
        };
        tokio::select! {
            () = watching => 0,
            count = counted => count,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_that_need_not_be_served_is_listed_twice_a_minute() {
        assert_eq!(lists_while_absent(Necessity::Optional).await, 20);
        assert_eq!(lists_while_absent(Necessity::Recommended).await, 24);
        assert_eq!(lists_while_absent(Necessity::Required).await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn children_are_listed_as_metadata_only() {
        let accepts = Arc::new(std::sync::Mutex::new(Vec::new()));
        let service = tower::service_fn({
            let accepts = accepts.clone();
            move |request: http::Request<Body>| {
                let accept = request.headers()[http::header::ACCEPT].to_str().unwrap().to_owned();
                accepts.lock().unwrap().push(format!("{} {accept}", request.uri().path()));
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500});
                let answer = http::Response::builder().status(500).body(Body::from(status.to_string().into_bytes()));
                std::future::ready(answer)
            }
        });
        let collection = Collection::<crate::stores::child::Child>::default();
        let api = Api::all_with(Client::new(service, "default"), &crate::render::ChildKind::StatefulSet);
        let options =
            WatchOptions { name: "statefulsets", necessity: Necessity::Required, config: watcher::Config::default() };
        let watching = watch(options, api, &collection, |_| {});
        drop(tokio::time::timeout(Duration::from_secs(1), watching).await);
        let accepts = accepts.lock().unwrap();
        assert!(accepts[0].contains("as=PartialObjectMetadataList"), "{accepts:?}");
    }
}
