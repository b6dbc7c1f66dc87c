//! One watch: it feeds a collection and never ends, whatever the API server answers.

use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};

use super::collection::{Change, Collection, Progress};
use super::slim::{Incoming, Slim};

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after errors: how late we may notice that the API server, or a CRD, is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What happened to a collection.
pub(super) enum News<'a, T> {
    /// An object changed.
    Changed(&'a Change<T>),
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
                let not_installed = is_not_installed(&error);
                if not_installed {
                    // When it comes back it is another one: its objects have to be listed, not followed.
                    events = start();
                    if collection.set_progress(Progress::NotInstalled) {
                        tell(News::Installed);
                    }
                }
                if std::mem::replace(&mut failing, true) {
                    tracing::debug!(resource = name, %error, "the watch still fails");
                } else if not_installed {
                    tracing::warn!(
                        resource = name,
                        "the API server does not know this resource: install its CRD; looking again"
                    );
                } else {
                    tracing::warn!(resource = name, %error, "the watch failed; trying again");
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
    let readable = |incoming: Incoming<T>| match incoming {
        Incoming { object: Ok(object), .. } => Some(object),
        Incoming { object: Err(ref error), .. } => {
            let object = kube::ResourceExt::name_any(&incoming);
            tracing::error!(resource = name, object, error, "an object cannot be read and is passed over");
            None
        }
    };
    match event {
        Event::Init => collection.begin_list(),
        Event::InitApply(incoming) | Event::Apply(incoming) => {
            if let Some(change) = readable(incoming).and_then(|object| collection.put(object)) {
                tell(News::Changed(&change));
            }
        }
        Event::Delete(incoming) => {
            if let Some(change) = readable(incoming).and_then(|object| collection.remove(&object)) {
                tell(News::Changed(&change));
            }
        }
        Event::InitDone => {
            for change in collection.end_list() {
                tell(News::Changed(&change));
            }
            if collection.set_progress(Progress::Synced) {
                tell(News::Installed);
            }
        }
    }
}

fn is_not_installed(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
