//! Why the caches are not there yet: the first line of help for somebody whose pod does not get ready.
//!
//! Looks only while something is missing. What has been listed once stays usable while the API server is away, so a
//! later outage is no reason to take requests away from a process that can answer them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Uri};
use kube::Client;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::client::root_cause;
use crate::stores::{Stores, Unlisted};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For one look at one resource.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What was found at the last look.
#[derive(Clone, Debug, Default)]
pub struct ClusterCheck(Arc<Mutex<Option<String>>>);

impl ClusterCheck {
    /// A check for readiness: everything that is watched has been listed.
    pub fn check(&self, stores: Stores) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let found = self.clone();
        move || {
            if stores.synced() {
                return Ok(());
            }
            let why = found.with(|found| found.clone());
            Err(why.unwrap_or_else(|| "waiting for the first list of all that is watched".to_owned()))
        }
    }

    /// Looks until the stores are complete, and logs each new finding once. Never returns.
    pub async fn keep(self, client: Client, url: Uri, stores: Stores) {
        let complete = async {
            stores.wait_synced().await;
            tracing::info!("caches are complete");
            std::future::pending::<()>().await;
        };
        let looking = async {
            loop {
                let finding = look(&client, &url, &stores.unlisted()).await;
                let news = self.with(|found| std::mem::replace(found, finding.clone()) != finding);
                match finding {
                    Some(reason) if news => tracing::error!("not ready: {reason}; trying again"),
                    _ => {}
                }
                sleep(LOOK_EVERY).await;
                if stores.synced() {
                    break;
                }
            }
        };
        tokio::join!(complete, looking);
    }

    fn with<T>(&self, look: impl FnOnce(&mut Option<String>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Any list: nothing of it is needed.
#[derive(Deserialize)]
struct AnyList {}

/// What is in the way of listing these, if anything.
async fn look(client: &Client, url: &Uri, unlisted: &[Unlisted]) -> Option<String> {
    let mut missing = Vec::new();
    for Unlisted { path, expected } in unlisted {
        let Ok(request) = Request::get(format!("{path}?limit=1")).body(Vec::new()) else { continue };
        match timeout(LOOK_LIMIT, client.request::<AnyList>(request)).await {
            Ok(Ok(AnyList {})) => {}
            // What need not be there is no longer waited for as soon as its watch knows.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && !expected => {}
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                let resource = path.rsplit('/').next().unwrap_or_default();
                missing.push(format!("{resource}.{}", crds::GROUP));
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => {
                return Some(format!(
                    "the API server at {url} refuses our credentials ({}): check them",
                    status.message
                ));
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return Some(format!("{}: grant it in a ClusterRole", status.message));
            }
            Ok(Err(error)) => {
                return Some(format!(
                    "cannot reach the API server at {url} ({}): check address and network",
                    root_cause(&error)
                ));
            }
            Err(_) => {
                let seconds = LOOK_LIMIT.as_secs();
                return Some(format!("the API server at {url} does not answer within {seconds} s: check its health"));
            }
        }
    }
    (!missing.is_empty()).then(|| {
        format!(
            "the API server does not know {}: install the CRDs, with `workspaces-controller crds | kubectl apply --server-side -f -`",
            missing.join(" and ")
        )
    })
}
