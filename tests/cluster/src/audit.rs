//! The API server's audit log: the record of who requested what. Counts come from here, not from our own logs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::error::Doing as _;
use crate::{Api, Error, Result, wait_for};

/// Verbs that change something.
pub const WRITE_VERBS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The audit log of one API server.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    admin: Api,
    marks: AtomicU64,
}

/// A position in the audit log: it is after everything answered before it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user, such as `system:serviceaccount:kubeflow-workspaces:workspaces-controller`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// The resource in the plural, empty for other paths.
    pub resource: String,
    /// `status` for one, or empty.
    pub subresource: String,
    /// Empty for cluster-wide objects.
    pub namespace: String,
    /// Empty for collections, and for creates with a generated name.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// Path and query.
    pub uri: String,
    /// The user agent.
    pub user_agent: String,
    /// When the request came and when it was answered, as the API server writes it (RFC 3339, microseconds).
    pub received: String,
    /// See `received`.
    pub answered: String,
}

impl Request {
    /// True for requests that may change something stored: dry runs and reviews (SubjectAccessReview and similar ones,
    /// TokenReview) are not.
    pub fn is_write(&self) -> bool {
        WRITE_VERBS.contains(&self.verb.as_str())
            && !self.uri.contains("dryRun=All")
            && self.group != "authorization.k8s.io"
            && self.group != "authentication.k8s.io"
    }
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf, admin: Api) -> Self {
        Self { path, admin, marks: AtomicU64::new(0) }
    }

    /// Waits until the log has caught up with everything answered so far, and returns that position.
    ///
    /// It sends a request of its own, with a unique name that shows up in the log.
    pub fn mark(&self) -> Result<Mark> {
        let number = self.marks.fetch_add(1, Ordering::Relaxed);
        let name = format!("audit-mark-{}-{number}", std::process::id());
        let from = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        self.admin.get(&format!("/api/v1/namespaces/{name}"))?;
        let needle = format!("/namespaces/{name}\"");
        wait_for("the audit log to catch up", Duration::from_secs(20), || {
            let text = self.read_from(from).map_err(|error| error.to_string())?;
            let found = text.find(&needle).ok_or("not there yet")?;
            let end = text[found..].find('\n').ok_or("half a line")?;
            Ok::<_, String>(Mark(from + (found + end + 1) as u64))
        })
    }

    /// Everything answered since `mark`, in the order of the log, once the log has caught up.
    pub fn since(&self, mark: Mark) -> Result<Requests> {
        let until = self.mark()?;
        let text = self.read_from(mark.0)?;
        let wanted = usize::try_from(until.0.saturating_sub(mark.0)).unwrap_or(usize::MAX);
        let lines = text.get(..wanted).unwrap_or(&text).lines();
        let mut requests = Vec::new();
        for line in lines {
            let event: Event = serde_json::from_str(line)
                .map_err(|error| Error::Unknown(format!("not an audit event ({error}): {line}")))?;
            if event.stage == "ResponseComplete" && !event.request_uri.contains("/namespaces/audit-mark-") {
                requests.push(event.into());
            }
        }
        Ok(Requests(requests))
    }

    /// Everything answered since the API server started.
    pub fn all(&self) -> Result<Requests> {
        self.since(Mark(0))
    }

    fn read_from(&self, offset: u64) -> Result<String> {
        let mut file = std::fs::File::open(&self.path).doing(|| "cannot open the audit log".to_owned())?;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_to_end(&mut text))
            .doing(|| "cannot read the audit log".to_owned())?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Requests of a part of the log; each method filters them.
#[derive(Clone, Default)]
pub struct Requests(pub Vec<Request>);

impl Requests {
    /// Only those that `wanted` accepts.
    #[must_use]
    pub fn filter(mut self, wanted: impl FnMut(&Request) -> bool) -> Self {
        self.0.retain(wanted);
        self
    }

    /// Only those of this user.
    #[must_use]
    pub fn by(self, user: &str) -> Self {
        self.filter(|request| request.user == user)
    }

    /// Only those with this verb.
    #[must_use]
    pub fn verb(self, verb: &str) -> Self {
        self.filter(|request| request.verb == verb)
    }

    /// Only those that may have changed something, see [`Request::is_write`].
    #[must_use]
    pub fn writes(self) -> Self {
        self.filter(Request::is_write)
    }

    /// Only those of this resource; `workspaces/status` means the subresource, `workspaces` the object itself.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.filter(|request| request.resource == resource && request.subresource == subresource)
    }

    /// Only those in this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        self.filter(|request| request.namespace == namespace)
    }

    /// Only those that name this object.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.filter(|request| request.name == name)
    }

    /// Only those that the API server accepted.
    #[must_use]
    pub fn accepted(self) -> Self {
        self.filter(|request| request.code < 400)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Counts by user, verb, resource and status, one per line, most frequent first: for the message of a failed assertion.
impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for request in &self.0 {
            let slash = if request.subresource.is_empty() { "" } else { "/" };
            let Request { user, verb, resource, subresource, code, .. } = request;
            let key = format!("{user} {verb} {resource}{slash}{subresource} {code}");
            *counts.entry(key).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        write!(f, "{} requests", self.0.len())?;
        for (key, count) in counts {
            write!(f, "\n{count:6} {key}")?;
        }
        Ok(())
    }
}

/// The fields of an event of `audit.k8s.io/v1` that are used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: EventUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    #[serde(default)]
    request_received_timestamp: String,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct EventUser {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        Self {
            user: event.user.username,
            verb: event.verb,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            uri: event.request_uri,
            user_agent: event.user_agent,
            received: event.request_received_timestamp,
            answered: event.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(verb: &str, group: &str, uri: &str) -> Request {
        let event = serde_json::json!({
            "stage": "ResponseComplete", "requestURI": uri, "verb": verb,
            "user": {"username": "someone"},
            "objectRef": {"resource": "things", "apiGroup": group},
            "responseStatus": {"code": 200},
        });
        serde_json::from_value::<Event>(event).unwrap().into()
    }

    #[test]
    fn a_dry_run_or_a_review_is_no_write() {
        assert!(request("patch", "", "/api/v1/things/a").is_write());
        assert!(!request("patch", "", "/api/v1/things/a?dryRun=All").is_write());
        assert!(!request("create", "authorization.k8s.io", "/x").is_write());
        assert!(!request("watch", "", "/api/v1/things?watch=true").is_write());
    }
}
