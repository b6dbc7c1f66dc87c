//! Event recorder: reports in Events what was done to a Workspace, and what cannot be done.
//!
//! Only transitions are worth one: a start that goes well, and everything that stays as it is, costs none. An Event is lost
//! where it cannot be written, for nothing depends on it.

use std::fs;

use crds::labels::FIELD_MANAGER;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use super::conditions::bounded;
use crate::client::in_time;
use crate::stores::slim::{Identity, Key};

/// The longest `reportingInstance` in bytes, by the API server's validation.
const INSTANCE_MAX: usize = 128;
/// How much of the name of an object goes into that of its Events, which has at most 253 bytes.
const NAME_MAX: usize = 200;

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

/// Writes Events.
pub(super) struct EventRecorder {
    client: Client,
    /// Which process of the controller reports them.
    instance: String,
}

impl EventRecorder {
    /// For this process: `instance` is its pod, as the host name says.
    pub fn new(client: Client) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut instance = format!("{FIELD_MANAGER}-{}", host.trim());
        instance.truncate(instance.floor_char_boundary(INSTANCE_MAX));
        Self { client, instance }
    }

    /// Writes Events about a Workspace, in their order. Those that cannot be written are lost. Returns how many were.
    pub async fn record(&self, workspace: &Identity, events: impl IntoIterator<Item = NewEvent>) -> usize {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &workspace.key.namespace);
        let mut recorded = 0;
        for event in events {
            let (reason, event) = (event.reason, self.object(workspace, event, Timestamp::now()));
            match in_time(api.create(&PostParams::default(), &event)).await {
                Ok(_) => {
                    recorded += 1;
                    tracing::info!(kind = "Event", reason, "created");
                }
                // The right to is missing, which is reported at start, or the namespace is being deleted.
                Err(error) => tracing::debug!(%error, reason, "failed to write an Event"),
            }
        }
        recorded
    }

    fn object(&self, workspace: &Identity, event: NewEvent, now: Timestamp) -> Event {
        let NewEvent { severity, reason, action, note } = event;
        let Identity { key: Key { namespace, name }, uid, .. } = workspace;
        // As client-go names them: the time makes them unique.
        let prefix = name[..name.floor_char_boundary(NAME_MAX)].trim_end_matches(['-', '.']);
        Event {
            metadata: ObjectMeta {
                namespace: Some(namespace.clone()),
                name: Some(format!("{prefix}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(format!("{}/{}", crds::GROUP, crds::VERSION)),
                kind: Some("Workspace".to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid: Some(uid.to_string()),
                ..ObjectReference::default()
            }),
            event_time: Some(MicroTime(now)),
            type_: Some(severity.as_str().to_owned()),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(bounded(note)),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
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
