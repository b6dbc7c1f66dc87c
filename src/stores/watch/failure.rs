//! Why a list or the start of a watch failed, and what the log says about it.

use super::options::{Necessity, WatchOptions};
use crate::client::causes;
use crate::stores::collection::Progress;

/// Why a list or the start of a watch failed.
pub(super) struct WatchFailure {
    /// The code of the API server's answer, if it answered.
    pub code: Option<u16>,
    pub text: String,
}

impl From<kube::Error> for WatchFailure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self { code: Some(status.code), text: status.message.clone() },
            error => Self { code: None, text: causes(&error) },
        }
    }
}

impl WatchFailure {
    /// Whether the API server, or a proxy before it, may answer otherwise without the parameters of a streamed list. Where its
    /// feature gate `WatchList` is off, as it is by default in Kubernetes 1.31 and 1.33, it refuses them as invalid (422).
    pub fn is_about_parameters(&self) -> bool {
        self.code.is_some_and(|code| (400..500).contains(&code) && !matches!(code, 401 | 403 | 404 | 429))
    }

    /// Reports it; `progress` is how far the collection is by it.
    pub fn report(&self, options: &WatchOptions, progress: Option<Progress>) {
        let WatchOptions { name: resource, necessity, rule, .. } = *options;
        match (progress, necessity) {
            (Some(Progress::NotInstalled), Necessity::Optional(_)) => {
                tracing::debug!(resource, "the API server does not serve this resource; will retry");
            }
            (Some(Progress::NotInstalled), _) => {
                tracing::warn!(resource, "the API server does not serve this resource: install its CRD; will retry");
            }
            (Some(Progress::Forbidden), Necessity::Optional(without)) => tracing::warn!("{}", rule.missing(without)),
            _ => tracing::warn!(resource, error = self.text, "the watch failed; will retry"),
        }
    }
}
