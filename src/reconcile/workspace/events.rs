//! Events: reads the recent warnings about a pod that is not ready, or about a StatefulSet that has no pod.
//!
//! They are not watched, for a cluster has many more of them than pods. They are read once a start takes longer than one that
//! goes well, then with a growing pause until the pod is ready.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::ListParams;
use tokio::time::Instant;

use super::memory::Memory;
use super::observe;
use super::outcome::ApplyOutcome;
use super::pod_state;
use super::target::Target;
use super::warning::{ReadWarnings, recent};
use crate::client::{CallError, in_time};
use crate::render::Serves;
use crate::stores::pod::{ContainerPhase, Pod};
use crate::stores::uid::Uid;

/// How long a pod may take before its Events are read, and the first pause between two reads.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// How long a container that runs may take to become ready: until then its probes may well fail.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause between two reads.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// At most so many Events are read: those who record them, such as the kubelet, limit how many there are of one object.
const LIMIT: u32 = 100;

/// What is waited for.
struct Subject {
    uid: Uid,
    /// When its Events are first of use; at once where that is not known.
    from: Option<Timestamp>,
    /// What was before is over.
    since: Option<Timestamp>,
    /// Whether a warning stays until something changes: the pauses of the StatefulSet controller get longer than an Event is
    /// recent.
    stays: bool,
}

/// Keeps the recent warnings about what the Workspace waits for in `memory`; after how long to reconcile again for them.
pub(super) async fn read(
    target: &Target<'_>,
    pod: Option<&Pod>,
    outcome: &ApplyOutcome,
    now: Timestamp,
    memory: &mut Memory,
) -> Option<Duration> {
    if pod.is_some() {
        memory.pod_seen = Some(Instant::now());
    }
    let subject = match pod {
        // That is what the state shows.
        _ if outcome.spec_error.is_some() => None,
        Some(pod) => of_pod(pod, target.context.scheduling_patience, now),
        None => without_pod(target, outcome, now, memory),
    };
    let Some(subject) = subject else {
        memory.warnings = None;
        return None;
    };
    let held = memory.warnings.take().filter(|held| held.of == subject.uid);
    let left = match &held {
        Some(held) => (held.at + held.pause).saturating_duration_since(Instant::now()),
        None => subject.from.and_then(|from| Duration::try_from(from.duration_since(now)).ok()).unwrap_or_default(),
    };
    if !left.is_zero() {
        memory.warnings = held;
        return Some(left);
    }
    let read = list(target, &subject.uid).await;
    let pause = match (&read, &held) {
        (Err(Unread::Forbidden), _) => LONGEST_PAUSE,
        (_, Some(held)) => (held.pause * 2).min(LONGEST_PAUSE),
        (_, None) => FIRST_PAUSE,
    };
    let mut before = held.map(|held| held.warnings).unwrap_or_default();
    before.retain(|warning| subject.since.is_none_or(|since| warning.time >= since));
    let warnings = match read.map(|events| recent(events, subject.since, now)) {
        Ok(warnings) if warnings.is_empty() && subject.stays => before,
        Ok(warnings) => warnings,
        Err(_) => before,
    };
    memory.warnings = Some(Box::new(ReadWarnings { of: subject.uid, at: Instant::now(), pause, warnings }));
    Some(pause)
}

/// A pod that is not ready, or that should be gone, and does not say why by itself.
fn of_pod(pod: &Pod, patience: Duration, now: Timestamp) -> Option<Subject> {
    if !pod_state::depends_on_warnings(pod, patience, now) {
        return None;
    }
    let after = |time: Option<Timestamp>, pause: Duration| time.and_then(|time| time.checked_add(pause).ok());
    let second = |second: Option<i64>| second.and_then(|second| Timestamp::from_second(second).ok());
    let from = if pod.identity.deleting {
        Some(pod_state::is_stuck_after(pod)?)
    } else if pod.ready {
        return None;
    } else {
        let probed = match pod.main.now {
            ContainerPhase::Running { since } => after(second(since), PROBE_PATIENCE),
            _ => None,
        };
        let unready = second(pod.ready_changed).max(pod.created.parse().ok());
        after(unready, FIRST_PAUSE).max(probed)
    };
    Some(Subject { uid: pod.identity.uid.clone(), from, since: None, stays: false })
}

/// The StatefulSet that should have a pod.
fn without_pod(target: &Target<'_>, outcome: &ApplyOutcome, now: Timestamp, memory: &Memory) -> Option<Subject> {
    if target.workspace.spec.paused || outcome.reported_error(Serves::Pod).is_some() {
        return None;
    }
    let set = observe::stateful_set(target)?;
    let changed = memory.stateful_set_written.max(memory.pod_seen);
    let changed = changed.map(|changed| SignedDuration::try_from(changed.elapsed()));
    let changed = changed.and_then(Result::ok).and_then(|elapsed| now.checked_sub(elapsed).ok());
    // Events have whole seconds.
    let since = changed.and_then(|changed| Timestamp::from_second(changed.as_second()).ok());
    let from = changed.and_then(|changed| changed.checked_add(FIRST_PAUSE).ok());
    Some(Subject { uid: set.identity.uid.clone(), from, since, stays: true })
}

/// Why Events were not read.
enum Unread {
    /// The right to is missing, which is reported at start.
    Forbidden,
    /// The next read may succeed.
    Failed,
}

/// The warning Events of an object.
async fn list(target: &Target<'_>, uid: &str) -> Result<Vec<Event>, Unread> {
    let namespace = target.workspace.identity.key.namespace();
    let events: Api<Event> = Api::namespaced(target.context.client.clone(), namespace);
    let selected = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(LIMIT);
    match in_time(events.list(&selected)).await {
        Ok(list) => Ok(list.items),
        Err(CallError::Api(kube::Error::Api(status))) if status.code == 403 => Err(Unread::Forbidden),
        Err(error) => {
            tracing::debug!(%error, "failed to read Events; will retry");
            Err(Unread::Failed)
        }
    }
}
