//! One watch: it feeds a collection and never ends, whatever the API server answers.

use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};

use super::collection::{Change, Collection, Progress};
use super::slim::{Incoming, Slim};
use crate::client::causes;

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after errors: how late we may notice that the API server, or a CRD, is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What happened to a collection.
pub(super) enum News<'a, T> {
    /// An object changed.
    Changed(&'a Change<T>),
    /// A list, of many objects, told that one changed.
    Listed(&'a Change<T>),
    /// Its CRD came or went.
    Installed,
}

/// Watches for ever and tells `tell` what changed.
pub(super) async fn watch<T: Slim>(
    name: &'static str,
    api: Api<Incoming<T>>,
    config: watcher::Config,
    collection: &Collection<T>,
    tell: impl Fn(News<'_, T>),
) {
    let start = || watcher(api.clone(), config.clone()).boxed();
    let mut events = start();
    let mut pause = FIRST_PAUSE;
    let mut failing = false;
    // The stream never ends; were it to, an early end is better seen than papered over.
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let worked = !matches!(event, Event::Init);
                take(name, event, collection, &tell);
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
                let error = answer(&error).map_or_else(|| causes(&error), |status| status.message.clone());
                if not_installed {
                    // When it comes back it is another one: its objects have to be listed, not followed.
                    events = start();
                    if collection.set_progress(Progress::NotInstalled) {
                        tell(News::Installed);
                    }
                }
                if std::mem::replace(&mut failing, true) {
                    tracing::debug!(resource = name, error, "the watch still fails");
                } else if not_installed && !T::EXPECTED {
                    tracing::debug!(resource = name, "the API server does not serve this resource; looking again");
                } else if not_installed {
                    tracing::warn!(
                        resource = name,
                        "the API server does not know this resource: install its CRD; looking again"
                    );
                } else {
                    tracing::warn!(resource = name, error, "the watch failed; trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn take<T: Slim>(
    name: &'static str,
    event: Event<Incoming<T>>,
    collection: &Collection<T>,
    tell: &impl Fn(News<'_, T>),
) {
    let put = |incoming: Incoming<T>, listed: bool| {
        let identity = incoming.identity();
        match incoming.object {
            Ok(object) if listed => collection.put_listed(object),
            Ok(object) => collection.put(object),
            Err(error) => {
                tracing::error!(resource = name, object = %identity.key, error, "an object cannot be read and is passed over");
                // What it was before is no longer true.
                collection.remove(&identity)
            }
        }
    };
    match event {
        Event::Init => collection.begin_list(),
        Event::InitApply(incoming) => {
            if let Some(change) = put(incoming, true) {
                tell(News::Listed(&change));
            }
        }
        Event::Apply(incoming) => {
            if let Some(change) = put(incoming, false) {
                tell(News::Changed(&change));
            }
        }
        Event::Delete(incoming) => {
            if let Some(change) = collection.remove(&incoming.identity()) {
                tell(News::Changed(&change));
            }
        }
        Event::InitDone => {
            for change in collection.end_list() {
                tell(News::Listed(&change));
            }
            if collection.set_progress(Progress::Synced) {
                tell(News::Installed);
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
}
