//! What a roll-out reads and writes: Workspaces, and the time of the API server.

use crds::labels::{FIELD_MANAGER, RESTART_AT_ANNOTATION};
use http::header::DATE;
use http::{HeaderMap, Request};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimeParser;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::json;

use super::arguments::Rollout;
use crate::client::{CallError, in_time, is_transient};
use crate::stores::slim::{Identity, Incoming, Key};
use crate::stores::workspace::StoredWorkspace;
use crate::users::{OfKind, WorkspacePages};

/// The Workspaces of a cluster.
pub(super) struct Workspaces<'a> {
    pub client: &'a Client,
}

/// Why a request has failed, as far as what follows depends on it.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer, or none that would be the same a moment later. A write may have been done.
    Unanswered,
    /// The Workspace is another version by now.
    Conflict,
    /// There is no such Workspace.
    Missing,
    /// It was refused.
    Refused,
}

impl Failure {
    pub fn of(error: &CallError) -> Self {
        match error {
            error if error.is_object_missing() => Self::Missing,
            CallError::Api(kube::Error::Api(status)) if status.code == 409 => Self::Conflict,
            CallError::Api(kube::Error::Api(status)) if !is_transient(status) => Self::Refused,
            CallError::TimedOut | CallError::Api(_) => Self::Unanswered,
        }
    }
}

impl OfKind for Incoming<StoredWorkspace> {
    fn is_of(&self, kind: &str) -> bool {
        self.object.as_ref().is_ok_and(|workspace| workspace.spec.kind == kind)
    }
}

impl Workspaces<'_> {
    /// The Workspaces that the roll-out is about.
    pub async fn list(&self, arguments: &Rollout) -> Result<Vec<Incoming<StoredWorkspace>>, CallError> {
        let mut pages =
            WorkspacePages::whole(self.client, &arguments.kind).of_namespace(arguments.namespace.as_deref());
        let mut workspaces = Vec::new();
        loop {
            workspaces.extend(in_time(pages.read()).await?);
            if pages.is_complete() {
                return Ok(workspaces);
            }
        }
    }

    /// A Workspace as it is now.
    pub async fn read(&self, key: &Key) -> Result<Incoming<StoredWorkspace>, CallError> {
        in_time(self.api(key).get(key.name())).await
    }

    /// Asks for a restart at that time, if the Workspace is the one that was read, in that very version.
    pub async fn restart(&self, identity: &Identity, at: &str) -> Result<(), CallError> {
        let patch = json!({"metadata": {
            "uid": &*identity.uid,
            "resourceVersion": &*identity.version,
            "annotations": {RESTART_AT_ANNOTATION: at},
        }});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(&identity.key);
        in_time(api.patch(identity.key.name(), &params, &Patch::Merge(patch))).await.map(drop)
    }

    /// The time by the clock of the API server, which also dates pods: that of this machine may be wrong.
    pub async fn now(&self) -> Result<Timestamp, CallError> {
        let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let (head, body) = in_time(self.client.send(request)).await?.into_parts();
        // A connection whose answer was not read to its end cannot be used again.
        in_time(body.collect_bytes()).await?;
        Ok(date(&head.headers).unwrap_or_else(Timestamp::now))
    }

    fn api(&self, key: &Key) -> Api<Incoming<StoredWorkspace>> {
        Api::namespaced(self.client.clone(), key.namespace())
    }
}

/// In whole seconds. Every answer of the API server has it, but a proxy may remove it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_time_is_that_of_the_api_server() {
        let of = |text: &'static str| date(&HeaderMap::from_iter([(DATE, HeaderValue::from_static(text))]));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some("1994-11-06T08:49:37Z".parse().unwrap()));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }

    #[test]
    fn what_a_failure_means_follows_from_its_status() {
        let of = |code: u16| {
            let status = Status { code, ..Status::failure("no", "Reason") };
            format!("{:?}", Failure::of(&CallError::Api(kube::Error::Api(status.boxed()))))
        };
        for (code, expected) in [
            (401, "Refused"),
            (403, "Refused"),
            (404, "Refused"),
            (409, "Conflict"),
            (422, "Refused"),
            (429, "Unanswered"),
            (500, "Unanswered"),
            (503, "Unanswered"),
        ] {
            assert_eq!(of(code), expected, "{code}");
        }
        assert!(matches!(Failure::of(&CallError::TimedOut), Failure::Unanswered));
    }
}
