//! Status: a pure function of what was observed and applied.

use std::time::Duration;

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{ContainerStatus, PodStatus, PodTemplateOptionsStatus, WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::pod_state::{self, PodState};
use super::reasons::Fault;
use crate::render::LeftOutMount;
use crate::stores::pod::Pod;
use crate::stores::workspace::StoredWorkspace;

/// The condition that what exists matches the spec.
const READY: &str = "Ready";
/// The condition that people can be routed to the Workspace.
const ROUTE_READY: &str = "RouteReady";
/// The longest message of a condition, in bytes.
const MESSAGE_MAX: usize = 1024;

/// What was done about a Workspace, as far as its status tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Made {
    /// What is wrong with the Workspace or its kind, in words that are the state's message.
    pub spec_fault: Option<Fault>,
    /// Why a child is not as it should be.
    pub child_fault: Option<Fault>,
    /// The account that the pod runs as.
    pub service_account: Option<String>,
    /// Where redirects lead; none when the kind is not known.
    pub options: Option<PodTemplateOptionsStatus>,
    /// How far the route is.
    pub route: RouteState,
    /// Whether something did not work that may the next time: too early to say whether anything is wrong.
    pub undecided: bool,
    /// Mounts that found their path taken.
    pub left_out: Vec<LeftOutMount>,
    /// Children that mutating webhooks changed.
    pub changed: Vec<ChangedChild>,
}

/// A child that the API server stores otherwise than it was applied, because a mutating webhook changed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ChangedChild {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The paths of the fields, for people.
    pub fields: String,
}

/// How far the route is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum RouteState {
    /// Not looked at: the Workspace could not be rendered.
    #[default]
    Unknown,
    /// Istio is off.
    Off,
    /// Istio's CRDs are not installed.
    NotInstalled,
    /// It is in place.
    Ready,
    /// It is not, or not the current one.
    Fault(Fault),
}

/// What a status is told from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub workspace: &'a StoredWorkspace,
    pub pod: Option<&'a Pod>,
    pub made: &'a Made,
    pub now: Timestamp,
}

/// The status, and after how long it may become another one without any event.
pub(super) fn desired(facts: Facts<'_>) -> (WorkspaceStatus, Option<Duration>) {
    let Facts { workspace, pod, made, now } = facts;
    let held = &workspace.status;
    let options = made.options.clone().or_else(|| held.pod_template_options.clone());
    let pending_restart = options.as_ref().is_some_and(|options| {
        !options.image_config.redirect_chain.is_empty() || !options.pod_config.redirect_chain.is_empty()
    });
    let PodState { state, mut message, again } = state(facts);
    if state == WorkspaceState::Running && pending_restart {
        message.push_str(" (a restart is pending)");
    }
    let mut status = WorkspaceStatus {
        observed_generation: Some(workspace.generation),
        pause_time: match (workspace.spec.paused, held.pause_time) {
            (false, _) => 0,
            (true, 0) => now.as_millisecond(),
            (true, since) => since,
        },
        pending_restart,
        pod_template_options: options,
        pod_template_pod: Some(pod_status(pod, made.service_account.clone())),
        state,
        state_message: bounded(message),
        conditions: Vec::new(),
        ..held.clone()
    };
    status.conditions = if made.undecided {
        held.conditions.clone()
    } else {
        let wanted = [ready(facts, &status), route_ready(&made.route)];
        conditions(&held.conditions, wanted, workspace.generation, now)
    };
    (status, again)
}

/// The state: Paused exactly when it is paused and no pod exists, whatever else is wrong, for people start a Workspace
/// only from there.
fn state(facts: Facts<'_>) -> PodState {
    let Facts { workspace, pod, made, now } = facts;
    let of = |state, message: &str| PodState { state, message: message.to_owned(), again: None };
    match (pod, &made.spec_fault, &made.child_fault) {
        (None, _, _) if workspace.spec.paused => of(WorkspaceState::Paused, "Workspace is paused"),
        (_, Some(fault), _) | (None, None, Some(fault)) => of(WorkspaceState::Error, &fault.message),
        (Some(pod), None, _) => pod_state::of(pod, now),
        (None, None, None) => pod_state::unknown(),
    }
}

fn pod_status(pod: Option<&Pod>, service_account_name: Option<String>) -> PodStatus {
    let Some(pod) = pod else {
        return PodStatus { service_account_name, ..PodStatus::default() };
    };
    let named = |names: &[Box<str>]| names.iter().map(|name| ContainerStatus { name: name.to_string() }).collect();
    PodStatus {
        name: pod.identity.key.name.clone(),
        node_name: pod.node.to_string(),
        service_account_name,
        containers: named(&pod.containers),
        init_containers: named(&pod.init_containers),
    }
}

/// A condition without what depends on its past.
struct Wanted {
    type_: &'static str,
    status: ConditionStatus,
    reason: String,
    message: String,
}

impl Wanted {
    fn new(type_: &'static str, status: ConditionStatus, reason: &str, message: impl Into<String>) -> Self {
        Self { type_, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// Whether what exists matches the spec. A paused Workspace without a pod does.
fn ready(facts: Facts<'_>, status: &WorkspaceStatus) -> Wanted {
    let made = facts.made;
    let broken = |fault: &Fault| Wanted::new(READY, ConditionStatus::False, fault.reason, &fault.message);
    if let Some(fault) = made.spec_fault.as_ref().or(made.child_fault.as_ref()) {
        return broken(fault);
    }
    if let RouteState::Fault(fault) = &made.route {
        return Wanted::new(READY, ConditionStatus::False, "RouteNotReady", &fault.message);
    }
    let (holds, reason) = match status.state {
        WorkspaceState::Running if !facts.workspace.spec.paused => (ConditionStatus::True, "Running"),
        WorkspaceState::Paused => (ConditionStatus::True, "Paused"),
        WorkspaceState::Running => (ConditionStatus::False, "Pausing"),
        WorkspaceState::Terminating => (ConditionStatus::False, "Terminating"),
        WorkspaceState::Pending => (ConditionStatus::False, "Pending"),
        WorkspaceState::Error => (ConditionStatus::False, "PodError"),
        WorkspaceState::Unknown => (ConditionStatus::False, "PodUnknown"),
    };
    let message = status.state_message.clone() + &left_out(&made.left_out) + &changed(&made.changed);
    Wanted::new(READY, holds, reason, message)
}

fn changed(children: &[ChangedChild]) -> String {
    children.iter().fold(String::new(), |text, ChangedChild { kind, name, fields }| {
        format!("{text}; a mutating webhook changed {kind} {name}: {fields}")
    })
}

fn left_out(mounts: &[LeftOutMount]) -> String {
    mounts.iter().fold(String::new(), |text, LeftOutMount { path, volume, kept }| {
        format!("{text}; {volume} is not mounted at {path}, where {kept} is")
    })
}

fn route_ready(route: &RouteState) -> Wanted {
    let unknown = |reason, message| Wanted::new(ROUTE_READY, ConditionStatus::Unknown, reason, message);
    match route {
        RouteState::Unknown => {
            unknown("NotRendered", "the Workspace cannot be rendered; a route that exists stays as it is")
        }
        RouteState::Off => unknown("IstioDisabled", "the controller runs with --use-istio=false"),
        RouteState::NotInstalled => unknown("IstioNotInstalled", "the CRD of VirtualService is not installed"),
        RouteState::Ready => {
            Wanted::new(ROUTE_READY, ConditionStatus::True, "Routed", "the VirtualService is in place")
        }
        RouteState::Fault(fault) => Wanted::new(ROUTE_READY, ConditionStatus::False, fault.reason, &fault.message),
    }
}

/// Ours as wanted, each with the time since which its status is what it is; those of others as they are.
fn conditions<const N: usize>(
    held: &[Condition],
    wanted: [Wanted; N],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let others = held.iter().filter(|condition| wanted.iter().all(|wanted| wanted.type_ != condition.type_)).cloned();
    let mut all: Vec<Condition> = others.collect();
    for Wanted { type_, status, reason, message } in wanted {
        let before = held.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        let last_transition_time = before.map_or_else(|| in_seconds(now), |before| before.last_transition_time.clone());
        all.push(Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time,
            reason,
            message: bounded(message),
        });
    }
    all
}

/// RFC 3339 without fractions, as Kubernetes writes times.
fn in_seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

fn bounded(mut text: String) -> String {
    const CUT: &str = "…";
    if text.len() > MESSAGE_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_MAX - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// The JSON merge patch that makes `from` to `to`; nothing when they are the same. Lists are replaced whole.
pub(super) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for (key, value) in to {
        let change = from.get(key).map_or_else(|| Some(value.clone()), |held| merge_patch(held, value));
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
