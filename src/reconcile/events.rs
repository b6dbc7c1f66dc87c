//! Event recorder: reports in Events what was done to a Workspace, what cannot be done, and what is wrong with a kind.
//!
//! Only transitions are worth one: a start that goes well, and everything that stays as it is, costs none. They wait in a
//! bounded queue to be written one by one, so that no reconcile waits for that. An Event is lost where it cannot be written,
//! or where too many wait, for nothing depends on it.

use std::fs;
use std::sync::Arc;

use crds::labels::FIELD_MANAGER;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};

use super::conditions::bounded;
use super::engine::ReconcileCause;
use crate::client::in_time;
use crate::metrics::Metrics;
use crate::stores::slim::Identity;

/// The longest `reportingInstance` in bytes, by the API server's validation.
const INSTANCE_MAX: usize = 128;
/// How much of the name of an object goes into that of its Events, which has at most 253 bytes.
const NAME_MAX: usize = 200;
/// How many Events may wait to be written.
const QUEUE_MAX: usize = 1000;
/// Where Events about objects without a namespace are, by the API server's validation; kubectl looks for them there.
const NAMESPACE_OF_CLUSTER_SCOPED: &str = "default";

/// How much an Event matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Severity {
    /// For information.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NewEvent {
    pub severity: Severity,
    /// In the past tense, CamelCase, for programs.
    pub reason: &'static str,
    /// What was being done, CamelCase.
    pub action: &'static str,
    /// A sentence, for users. At most 1024 bytes of it are kept.
    pub note: String,
}

/// Which of our kinds an Event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Regarding {
    Workspace,
    WorkspaceKind,
}

/// An Event that waits to be written, why its object was reconciled, and the span of that.
struct Waiting {
    event: Box<Event>,
    cause: ReconcileCause,
    span: Span,
}

/// Puts Events into the queue.
#[derive(Clone)]
pub(super) struct EventRecorder {
    waiting: mpsc::Sender<Waiting>,
    /// Which process of the controller reports them.
    instance: Arc<str>,
}

/// The Events that wait.
pub(super) struct EventQueue(mpsc::Receiver<Waiting>);

impl EventRecorder {
    /// For this process, whose pod is as the host name says; and the queue, which has to be written.
    pub fn new() -> (Self, EventQueue) {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut instance = format!("{FIELD_MANAGER}-{}", host.trim());
        instance.truncate(instance.floor_char_boundary(INSTANCE_MAX));
        let (waiting, queue) = mpsc::channel(QUEUE_MAX);
        (Self { waiting, instance: instance.into() }, EventQueue(queue))
    }

    /// Reports these about the object, in their order.
    pub fn record(
        &self,
        kind: Regarding,
        object: &Identity,
        cause: ReconcileCause,
        events: impl IntoIterator<Item = NewEvent>,
    ) {
        for event in events {
            let reason = event.reason;
            let event = Box::new(self.event(kind, object, event, Timestamp::now()));
            if self.waiting.try_send(Waiting { event, cause, span: Span::current() }).is_err() {
                tracing::warn!(reason, "an Event is lost: too many wait to be written");
            }
        }
    }

    fn event(&self, kind: Regarding, object: &Identity, event: NewEvent, now: Timestamp) -> Event {
        let NewEvent { severity, reason, action, note } = event;
        let Identity { key, uid, .. } = object;
        let (namespace, name) = key.parts();
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        // As client-go names them: the time makes them unique.
        let prefix = name[..name.floor_char_boundary(NAME_MAX)].trim_end_matches(['-', '.']);
        Event {
            metadata: ObjectMeta {
                namespace: Some(namespace.unwrap_or(NAMESPACE_OF_CLUSTER_SCOPED).to_owned()),
                name: Some(format!("{prefix}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(format!("{}/{}", crds::GROUP, crds::VERSION)),
                kind: Some(kind.as_str().to_owned()),
                namespace: namespace.map(str::to_owned),
                name: Some(name.to_owned()),
                uid: Some(uid.to_string()),
                ..ObjectReference::default()
            }),
            event_time: Some(MicroTime(now)),
            type_: Some(severity.as_str().to_owned()),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(bounded(note)),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        }
    }
}

impl EventQueue {
    /// Writes what is recorded, until no recorder is left.
    pub async fn write(mut self, client: &Client, metrics: &Metrics) {
        while let Some(Waiting { event, cause, span }) = self.0.recv().await {
            write(client, metrics, &event, cause).instrument(span).await;
        }
    }
}

async fn write(client: &Client, metrics: &Metrics, event: &Event, cause: ReconcileCause) {
    let (namespace, reason) = (event.metadata.namespace.as_deref().unwrap_or_default(), event.reason.as_deref());
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    match in_time(api.create(&PostParams::default(), event)).await {
        Ok(_) => {
            metrics.written("events", cause.label());
            tracing::info!(kind = "Event", reason, "created");
        }
        // The right to is missing, which is reported at start, or the namespace is being deleted.
        Err(error) => tracing::debug!(%error, reason, "failed to write an Event"),
    }
}

impl Regarding {
    fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::WorkspaceKind => "WorkspaceKind",
        }
    }
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::sync::Mutex;
    use std::time::Duration;

    use kube::client::Body;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::stores::slim::Key;

    fn workspace() -> Identity {
        Identity { key: Key::new("ns", "lab"), ..Identity::default() }
    }

    fn restarted(number: usize) -> NewEvent {
        NewEvent { severity: Severity::Normal, reason: "Restarted", action: "Restart", note: number.to_string() }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_api_server_that_does_not_answer_and_what_is_too_much_is_lost() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = tower::service_fn({
            let asked = Arc::clone(&asked);
            move |request: http::Request<Body>| {
                asked.lock().unwrap().push((Instant::now(), request.uri().path().to_owned()));
                async {
                    sleep(Duration::MAX).await;
                    Ok::<_, Infallible>(http::Response::new(Body::empty()))
                }
            }
        });
        let (client, metrics, started) = (Client::new(service, "default"), Metrics::new(), Instant::now());
        let (recorder, queue) = EventRecorder::new();
        let object = workspace();
        let all = (0..QUEUE_MAX + 5).map(restarted);
        recorder.record(Regarding::Workspace, &object, ReconcileCause::Changed, all);
        assert_eq!(queue.0.len(), QUEUE_MAX);
        drop(timeout(Duration::from_secs(25), queue.write(&client, &metrics)).await);
        let path = "/apis/events.k8s.io/v1/namespaces/ns/events";
        let at = |seconds| (started + Duration::from_secs(seconds), path.to_owned());
        assert_eq!(*asked.lock().unwrap(), [at(0), at(10), at(20)]);
        assert!(!metrics.encode().unwrap().contains("resource=\"events\""));
    }

    #[tokio::test]
    async fn what_was_recorded_before_the_end_is_written() {
        let service = tower::service_fn(|request: http::Request<Body>| async {
            let event = request.into_body().collect_bytes().await.unwrap();
            Ok::<_, Infallible>(http::Response::new(Body::from(event)))
        });
        let (client, metrics) = (Client::new(service, "default"), Metrics::new());
        let (recorder, queue) = EventRecorder::new();
        let events = (0..3).map(restarted);
        recorder.record(Regarding::Workspace, &workspace(), ReconcileCause::Timer, events);
        drop(recorder);
        queue.write(&client, &metrics).await;
        let text = metrics.encode().unwrap();
        assert!(text.contains("workspaces_writes_total{resource=\"events\",cause=\"timer\"} 3"), "{text}");
    }
}
