//! Why the caches are not synced yet: the first hint when a pod does not become ready.
//!
//! Checks only until the caches are synced. They stay usable while the API server is down, so a later outage does not
//! make a process unready that can still serve.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Uri};
use kube::Client;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::client::root_cause;
use crate::stores::{Stores, Unlisted};

/// Between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// For the check of one resource.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of the last check: what keeps the caches from being synced.
#[derive(Clone, Debug, Default)]
pub struct CacheReadiness(Arc<Mutex<Option<String>>>);

impl CacheReadiness {
    /// A readiness check: every watched resource has been listed.
    pub fn check(&self, stores: Stores) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let last = self.clone();
        move || {
            if stores.synced() {
                return Ok(());
            }
            let reason = last.with(|reason| reason.clone());
            Err(reason.unwrap_or_else(|| "waiting for the first list of every watched resource".to_owned()))
        }
    }

    /// Checks until the caches are synced, and logs each new reason once. Never returns.
    pub async fn keep(self, client: Client, url: Uri, stores: Stores) {
        let synced = async {
            stores.wait_synced().await;
            match stores.wait_answered().await.join(" and ") {
                without if without.is_empty() => tracing::info!("caches are synced"),
                without => tracing::info!("caches are synced, without {without}"),
            }
            std::future::pending::<()>().await;
        };
        let checks = async {
            loop {
                let reason = obstacle(&client, &url, &stores.unlisted()).await;
                let is_new = self.with(|last| std::mem::replace(last, reason.clone()) != reason);
                match reason {
                    Some(reason) if is_new => tracing::error!("not ready: {reason}; will retry"),
                    _ => {}
                }
                sleep(CHECK_EVERY).await;
                if stores.synced() {
                    break;
                }
            }
        };
        tokio::join!(synced, checks);
    }

    fn with<T>(&self, access: impl FnOnce(&mut Option<String>) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Any list; its content is ignored.
#[derive(Deserialize)]
struct AnyList {}

/// Why these resources cannot be listed, if so.
async fn obstacle(client: &Client, url: &Uri, unlisted: &[Unlisted]) -> Option<String> {
    let mut missing = Vec::new();
    for Unlisted { path, rule, expected } in unlisted {
        let Ok(request) = Request::get(format!("{path}?limit=1")).body(Vec::new()) else { continue };
        match timeout(CHECK_TIMEOUT, client.request::<AnyList>(request)).await {
            Ok(Ok(AnyList {})) => {}
            // An optional resource that is not served is not waited for.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && !expected => {}
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                missing.push(resource_of(path));
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => {
                return Some(format!(
                    "the API server at {url} rejects the credentials ({}): check them",
                    status.message
                ));
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return Some(format!("{}: add to the rules of the ClusterRole: {rule}", status.message));
            }
            Ok(Err(error)) => {
                return Some(format!(
                    "cannot reach the API server at {url} ({}): check address and network",
                    root_cause(&error)
                ));
            }
            Err(_) => {
                let seconds = CHECK_TIMEOUT.as_secs();
                return Some(format!("the API server at {url} does not respond within {seconds} s: check its health"));
            }
        }
    }
    (!missing.is_empty()).then(|| {
        format!(
            "the API server does not serve {}: install the CRDs, with `workspaces-controller crds | kubectl apply --server-side -f -`",
            missing.join(" and ")
        )
    })
}

/// The resource of an API path, as CRDs are named: `workspaces.kubeflow.org` of `/apis/kubeflow.org/v1beta1/workspaces`.
fn resource_of(path: &str) -> String {
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["apis", group, _, resource] => format!("{resource}.{group}"),
        [.., resource] => resource.to_owned(),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_with_its_group() {
        assert_eq!(resource_of("/apis/kubeflow.org/v1beta1/workspaces"), "workspaces.kubeflow.org");
        assert_eq!(resource_of("/apis/apps/v1/statefulsets"), "statefulsets.apps");
        assert_eq!(resource_of("/api/v1/pods"), "pods");
    }
}
