//! Why a list or the start of a watch failed, and what the log says about it.

use super::options::{Necessity, WatchOptions};
use crate::client::causes;
use crate::stores::collection::Progress;

/// How often a list is asked for as a stream before it is asked for in pages, where the API server does not say why it fails.
const STREAM_TRIES: u32 = 3;

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
    /// Whether a list that was to be streamed is asked for in pages at once, after that many tries in a row that failed, this
    /// one included: whether the API server, or a proxy before it, may answer otherwise without the parameters. Where its feature
    /// gate `WatchList` is off, as it is by default in Kubernetes 1.31 and 1.33, it refuses them as invalid (422).
    pub fn calls_for_pages(&self, tries: u32) -> bool {
        match self.code {
            // Pages would share the reason.
            Some(401 | 403 | 404 | 429) => false,
            Some(400..500) => true,
            // The API server may be down or overloaded; but not for streamed lists alone.
            _ => tries >= STREAM_TRIES,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_not_streamed_where_that_is_refused_or_fails_again_and_again() {
        let tries = |code: Option<u16>| {
            let failure = WatchFailure { code, text: String::new() };
            (1..10).find(|tries| failure.calls_for_pages(*tries))
        };
        for code in [400, 405, 410, 415, 422] {
            assert_eq!(tries(Some(code)), Some(1), "{code}");
        }
        for code in [500, 502, 503, 504] {
            assert_eq!(tries(Some(code)), Some(3), "{code}");
        }
        assert_eq!(tries(None), Some(3));
        for code in [401, 403, 404, 429] {
            assert_eq!(tries(Some(code)), None, "{code}");
        }
    }
}
