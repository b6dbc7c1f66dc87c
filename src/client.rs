//! How to reach the API server: credentials, time limits, and who we say we are.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Uri};
use kube::api::{DeleteParams, Preconditions};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use crate::config::{SettingError, settings};

/// For the connection and its TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// From a request to the headers of its answer, also for the start of a watch.
const ANSWER: Duration = Duration::from_secs(15);
/// Between two pieces of an answer. API servers send a bookmark on a silent watch once a minute, so a connection that
/// is silent for longer than this is a dead one.
const SILENCE: Duration = Duration::from_secs(90);

/// All that a client needs. Nothing is sent yet, so an API server that cannot be reached is no fault.
pub struct Access {
    config: Config,
    /// What a fault of the configuration names.
    setting: SettingError,
}

impl Access {
    /// Reads the kubeconfig, or what a pod is given.
    pub async fn configure(kubeconfig: Option<&Path>) -> Result<Self, SettingError> {
        let name = settings::KUBECONFIG.full_name();
        let value = kubeconfig.map(|path| path.to_string_lossy().into_owned());
        let setting = SettingError { name: name.clone(), value, rule: String::new() };
        let mut config = match kubeconfig {
            Some(paths) => from_files(paths).await.map_err(|rule| SettingError { rule, ..setting.clone() })?,
            None => Config::incluster().map_err(|error| {
                let rule =
                    format!("not set, and this is no pod with a service account ({error}): name a kubeconfig file");
                SettingError { name, value: None, rule }
            })?,
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        // A connection that rested in the pool must not hand its age to the next request.
        config.reset_reader_on_write = true;
        // Every caller has a back-off of its own; the built-in one would repeat each failing call up to 15 times.
        config.default_retry = false;
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_static(concat!("workspaces-controller/", env!("CARGO_PKG_VERSION")))));
        Ok(Self { config, setting })
    }

    /// Where the API server is.
    pub fn url(&self) -> Uri {
        self.config.cluster_url.clone()
    }

    /// A client with connections of its own, which are served by the runtime in which it is made.
    pub fn client(&self) -> Result<Client, SettingError> {
        let builder = ClientBuilder::try_from(self.config.clone()).map_err(|error| SettingError {
            rule: format!("cannot be used: {}", causes(&error)),
            ..self.setting.clone()
        })?;
        Ok(builder.with_layer(&TimeoutLayer::new(ANSWER)).build())
    }
}

/// As kubectl reads `KUBECONFIG`: several files separated by colons, the first one wins.
async fn from_files(paths: &Path) -> Result<Config, String> {
    let mut merged = Kubeconfig::default();
    for path in std::env::split_paths(paths) {
        let read = Kubeconfig::read_from(&path).map_err(|error| format!("cannot be read: {}", causes(&error)))?;
        merged = merged.merge(read).map_err(|error| format!("cannot be merged: {}", causes(&error)))?;
    }
    let config = Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default()).await;
    config.map_err(|error| format!("is not complete: {}", causes(&error)))
}

/// Whether a `Status` is about an object: one that is not found, say, and not a resource that the API server does not serve.
pub fn names_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// The parameters of a delete that spares an object which has the name by now, but another uid (409).
pub fn delete_only(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// An error with what caused it, on one line, without the repetitions that wrapping brings.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text += ": ";
            text += &more;
        }
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first cause of an error: what the system or the peer said, without what the layers above made of it.
pub fn root_cause(error: &dyn Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_missing_or_broken_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let fault = Access::configure(Some(&missing)).await.err().unwrap().to_string();
        assert!(fault.starts_with(&format!("--kubeconfig (KUBECONFIG)={missing:?}: cannot be read: ")), "{fault}");
        assert_eq!(fault.lines().count(), 1);

        let broken = dir.path().join("broken");
        std::fs::write(&broken, "clusters: [").unwrap();
        let fault = Access::configure(Some(&broken)).await.err().unwrap().to_string();
        assert!(fault.starts_with("--kubeconfig (KUBECONFIG)="), "{fault}");
        assert_eq!(fault.lines().count(), 1);

        let empty = dir.path().join("empty");
        std::fs::write(&empty, "apiVersion: v1\nkind: Config\n").unwrap();
        let fault = Access::configure(Some(&empty)).await.err().unwrap().to_string();
        assert!(fault.contains("is not complete: "), "{fault}");
        assert_eq!(fault.lines().count(), 1);
    }

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(inner);
        assert_eq!(causes(&outer), "connection refused");
    }
}
