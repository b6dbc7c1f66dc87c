//! The events of a watch: one line of JSON each.
//!
//! kube's own decoder copies each line and cannot say which object one that it cannot read is about.

use std::marker::PhantomData;
use std::pin::Pin;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use kube::Api;
use kube::api::{Request, WatchEvent, WatchParams};
use serde::Deserialize;
use serde::de::Error as _;

use crate::stores::slim::{Incoming, Slim};

/// What is kept of the room for a line, so that one large object does not hold memory for ever.
const ROOM: usize = 16 << 10;

/// The events of a watch that has started.
pub(super) struct Events<W> {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    /// What has been read of the next line.
    line: Vec<u8>,
    decoded: PhantomData<fn() -> W>,
}

impl<W: Slim> Events<W> {
    /// Starts the watch of what has changed since `version`, and waits for the answer.
    pub async fn start(api: &Api<Incoming<W>>, params: &WatchParams, version: &str) -> kube::Result<Self> {
        let request = Request::new(api.resource_url());
        let request =
            if W::METADATA_ONLY { request.watch_metadata(params, version) } else { request.watch(params, version) };
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // API servers from 1.37 on, and proxies, would compress each event otherwise.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let body = api.clone().into_client().request_stream(request).await?;
        Ok(Self { body: Box::pin(body), line: Vec::new(), decoded: PhantomData })
    }

    /// The next event, if one comes before the watch ends. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<kube::Result<WatchEvent<Incoming<W>>>> {
        loop {
            let read = self.body.read_until(b'\n', &mut self.line).await;
            let is_whole = self.line.ends_with(b"\n");
            if let Err(error) = read {
                return Some(Err(kube::Error::ReadEvents(error)));
            }
            let event = (!self.line.trim_ascii().is_empty()).then(|| decode(&self.line));
            self.line.clear();
            self.line.shrink_to(ROOM);
            match event {
                // A proxy may keep the connection alive by empty lines.
                None if is_whole => {}
                None => return None,
                // What was cut off is not an event.
                Some(Err(error)) if !is_whole && error.is_eof() => return None,
                Some(event) => return Some(event.map_err(kube::Error::SerdeError)),
            }
        }
    }
}

/// An event about an object, which all but bookmarks and errors are.
#[derive(Deserialize)]
struct ObjectEvent<W> {
    #[serde(rename = "type")]
    change: ObjectChange,
    object: W,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum ObjectChange {
    Added,
    Modified,
    Deleted,
}

/// Decodes a line. Only where it is about no object that can be decoded, it is read in two steps, to know which one it is: then
/// its type has to come before it, as API servers write them.
fn decode<W: Slim>(line: &[u8]) -> serde_json::Result<WatchEvent<Incoming<W>>> {
    let line = std::str::from_utf8(line).map_err(serde_json::Error::custom)?;
    match serde_json::from_str::<ObjectEvent<W>>(line) {
        Ok(ObjectEvent { change, object }) => Ok(match change {
            ObjectChange::Added => WatchEvent::Added(object.into()),
            ObjectChange::Modified => WatchEvent::Modified(object.into()),
            ObjectChange::Deleted => WatchEvent::Deleted(object.into()),
        }),
        Err(_) => serde_json::from_str(line),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use http::{Request as HttpRequest, Response};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::stores::workspace::StoredWorkspace;

    /// The events of a watch whose body comes in these parts, a second after each other.
    async fn events(parts: Vec<String>) -> Events<StoredWorkspace> {
        let service = tower::service_fn(move |_: HttpRequest<Body>| {
            let parts = stream::iter(parts.clone()).then(|part| async move {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, std::io::Error>(Frame::data(Bytes::from(part)))
            });
            async move { Ok::<_, std::io::Error>(Response::new(StreamBody::new(Box::pin(parts)))) }
        });
        let api = Api::all(Client::new(service, "default"));
        Events::start(&api, &WatchParams::default(), "1").await.unwrap()
    }

    #[test]
    fn every_line_has_its_meaning() {
        let workspace = serde_json::to_value(crds::testing::workspace("ns", "lab", "k")).unwrap();
        let unreadable = json!({"metadata": {"namespace": "ns", "name": "lab", "uid": "u", "resourceVersion": "7"}});
        let bookmark = json!({"kind": "Workspace", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}});
        let expired = json!({"kind": "Status", "code": 410, "message": "too old"});
        let meaning = |line: String| match decode::<StoredWorkspace>(line.as_bytes()) {
            Ok(WatchEvent::Added(object)) => format!("added {} {}", object.identity().key, object.object.is_ok()),
            Ok(WatchEvent::Modified(object)) => format!("modified {} {}", object.identity().key, object.object.is_ok()),
            Ok(WatchEvent::Deleted(object)) => format!("deleted {} {}", object.identity().key, object.object.is_ok()),
            Ok(WatchEvent::Bookmark(bookmark)) => format!("bookmark {}", bookmark.metadata.resource_version),
            Ok(WatchEvent::Error(status)) => format!("error {}", status.code),
            Err(_) => "not an event".to_owned(),
        };
        let table = [
            (format!("{{\"type\":\"ADDED\",\"object\":{workspace}}}\n"), "added ns/lab true"),
            (format!("{{\"object\":{workspace},\"type\":\"MODIFIED\"}}\r\n"), "modified ns/lab true"),
            (format!("{{\"type\":\"DELETED\",\"object\":{unreadable}}}\n"), "deleted ns/lab false"),
            (format!("{{\"type\":\"BOOKMARK\",\"object\":{bookmark}}}\n"), "bookmark 9"),
            (format!("{{\"type\":\"ERROR\",\"object\":{expired}}}\n"), "error 410"),
            (format!("{expired}\n"), "not an event"),
            ("<html>\n".to_owned(), "not an event"),
        ];
        for (line, expected) in table {
            assert_eq!(meaning(line.clone()), expected, "{line}");
        }
        assert!(decode::<StoredWorkspace>(b"{\"type\":\"\xff\"}\n").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn empty_lines_are_no_events_and_the_last_line_needs_no_end() {
        let expired = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}});
        let mut events = events(vec!["\n".to_owned(), "\r\n".to_owned(), expired.to_string()]).await;
        assert!(matches!(events.next().await, Some(Ok(WatchEvent::Error(status))) if status.code == 410));
        assert!(events.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_may_come_in_parts_and_not_in_time() {
        let workspace = serde_json::to_value(crds::testing::workspace("ns", "lab", "k")).unwrap();
        let event = |version: &str| {
            let mut object = workspace.clone();
            object["metadata"]["resourceVersion"] = json!(version);
            format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
        };
        let (first, second) = (event("2"), event("3"));
        let (head, tail) = first.split_at(first.len() / 2);
        let parts =
            [head.to_owned(), tail.to_owned() + &second[..9], second[9..].to_owned(), event("4")[..20].to_owned()];
        let mut events = events(parts.to_vec()).await;
        let patience = Duration::from_millis(1500);
        assert!(timeout(patience, events.next()).await.is_err(), "half of it came");
        for version in ["2", "3"] {
            let Some(Ok(WatchEvent::Added(incoming))) = events.next().await else { panic!("no event {version}") };
            assert_eq!(&*incoming.object.unwrap().identity.version, version);
        }
        assert!(events.next().await.is_none(), "what was cut off is no event");
    }
}
