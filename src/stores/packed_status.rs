//! The status of a Workspace in the form in which it is kept: text is a third of what its many small parts take.

use crds::conditions::{Condition, ConditionStatus};
use crds::workspace::{
    ActivityProbeStatus, ActivityRulesStatus, ContainerStatus, OptionStatus, PodStatus, PodTemplateOptionsStatus,
    RedirectStep, WorkspaceActivity, WorkspaceState, WorkspaceStatus,
};

/// The status of a Workspace. Unpacked once for each reconcile.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedStatus {
    /// JSON, as lists without the names of fields: [`Packed`].
    text: Box<str>,
    state: WorkspaceState,
}

type Packed<T> = (
    Option<i64>,
    Option<PackedActivity>,
    i64,
    i64,
    bool,
    Option<PackedOptions<T>>,
    Option<PackedPod<T>>,
    WorkspaceState,
    T,
    Vec<PackedCondition<T>>,
);
type PackedActivity = (i64, i64, Option<ActivityProbeStatus>, Option<ActivityRulesStatus>);
type PackedOptions<T> = [(Option<T>, Vec<RedirectStep>); 2];
type PackedPod<T> = (T, T, Option<T>, Vec<T>, Vec<T>);
type PackedCondition<T> = (T, ConditionStatus, Option<i64>, T, T, T);

impl From<&WorkspaceStatus> for PackedStatus {
    fn from(status: &WorkspaceStatus) -> Self {
        // Without `..`: a field that is forgotten here does not compile.
        let WorkspaceStatus {
            observed_generation,
            activity,
            last_running_time,
            pause_time,
            pending_restart,
            pod_template_options,
            pod_template_pod,
            state,
            state_message,
            conditions,
        } = status;
        let packed = (
            observed_generation,
            activity.as_ref().map(pack_activity),
            last_running_time,
            pause_time,
            pending_restart,
            pod_template_options.as_ref().map(pack_options),
            pod_template_pod.as_ref().map(pack_pod),
            state,
            state_message,
            conditions.iter().map(pack_condition).collect::<Vec<_>>(),
        );
        // Our own types always serialize.
        let text = serde_json::to_string(&packed).unwrap_or_default().into();
        Self { text, state: *state }
    }
}

impl PackedStatus {
    /// Its `state`.
    pub fn state(&self) -> WorkspaceState {
        self.state
    }

    /// All of it.
    pub fn unpack(&self) -> WorkspaceStatus {
        // It was packed here.
        let Ok(packed) = serde_json::from_str::<Packed<String>>(&self.text) else { return WorkspaceStatus::default() };
        let (observed_generation, activity, last_running_time, pause_time, pending_restart, options, pod, ..) = packed;
        let (.., state, state_message, conditions) = packed;
        WorkspaceStatus {
            observed_generation,
            activity: activity.map(unpack_activity),
            last_running_time,
            pause_time,
            pending_restart,
            pod_template_options: options.map(unpack_options),
            pod_template_pod: pod.map(unpack_pod),
            state,
            state_message,
            conditions: conditions.into_iter().map(unpack_condition).collect(),
        }
    }
}

fn pack_activity(activity: &WorkspaceActivity) -> PackedActivity {
    let WorkspaceActivity { last_activity, last_update, last_probe, rules } = activity.clone();
    (last_activity, last_update, last_probe, rules)
}

fn unpack_activity((last_activity, last_update, last_probe, rules): PackedActivity) -> WorkspaceActivity {
    WorkspaceActivity { last_activity, last_update, last_probe, rules }
}

fn pack_options(options: &PodTemplateOptionsStatus) -> PackedOptions<&str> {
    let PodTemplateOptionsStatus { image_config, pod_config } = options;
    [image_config, pod_config]
        .map(|OptionStatus { desired, redirect_chain }| (desired.as_deref(), redirect_chain.clone()))
}

fn unpack_options(options: PackedOptions<String>) -> PodTemplateOptionsStatus {
    let [image_config, pod_config] = options.map(|(desired, redirect_chain)| OptionStatus { desired, redirect_chain });
    PodTemplateOptionsStatus { image_config, pod_config }
}

fn pack_pod(pod: &PodStatus) -> PackedPod<&str> {
    fn names(containers: &[ContainerStatus]) -> Vec<&str> {
        containers.iter().map(|ContainerStatus { name }| &**name).collect()
    }
    let PodStatus { name, node_name, service_account_name, containers, init_containers } = pod;
    (name, node_name, service_account_name.as_deref(), names(containers), names(init_containers))
}

fn unpack_pod((name, node_name, service_account_name, containers, init_containers): PackedPod<String>) -> PodStatus {
    let named = |names: Vec<String>| names.into_iter().map(|name| ContainerStatus { name }).collect();
    let (containers, init_containers) = (named(containers), named(init_containers));
    PodStatus { name, node_name, service_account_name, containers, init_containers }
}

fn pack_condition(condition: &Condition) -> PackedCondition<&str> {
    let Condition { type_, status, observed_generation, last_transition_time, reason, message } = condition;
    (type_, *status, *observed_generation, last_transition_time, reason, message)
}

fn unpack_condition(condition: PackedCondition<String>) -> Condition {
    let (type_, status, observed_generation, last_transition_time, reason, message) = condition;
    Condition { type_, status, observed_generation, last_transition_time, reason, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_unpacked_as_it_was() {
        let option = json!({"desired": "large", "redirectChain": [{"source": "small", "target": "large"}]});
        let probe = json!({"startTime": 3, "endTime": 4, "result": "Success", "message": "\"ü\""});
        let condition = |type_: &str, status: &str| {
            json!({
                "type": type_, "status": status, "observedGeneration": 7, "lastTransitionTime": "2026-01-01T00:00:10Z",
                "reason": "Because", "message": format!("of {type_}"),
            })
        };
        let mut foreign = condition("Theirs", "Unknown");
        foreign.as_object_mut().unwrap().remove("observedGeneration");
        let whole = json!({
            "observedGeneration": 7,
            "activity": {
                "lastActivity": 1, "lastUpdate": 2, "lastProbe": probe, "rules": {"pauseWorkspace": {"eligibleAfter": 5}},
            },
            "lastRunningTime": 8, "pauseTime": 9, "pendingRestart": true,
            "podTemplateOptions": {"imageConfig": option, "podConfig": {"desired": "tiny"}},
            "podTemplatePod": {
                "name": "ws-lab-0", "nodeName": "node", "serviceAccountName": "ws-lab",
                "containers": [{"name": "main"}, {"name": "istio-proxy"}], "initContainers": [{"name": "init"}],
            },
            "state": "Running", "stateMessage": "it runs",
            "conditions": [condition("Ready", "True"), condition("Available", "False"), foreign],
        });
        for status in [whole, json!({}), json!({"podTemplatePod": {}, "state": "Paused"})] {
            let status: WorkspaceStatus = serde_json::from_value(status).unwrap();
            let packed = PackedStatus::from(&status);
            assert_eq!((packed.unpack(), packed.state()), (status.clone(), status.state));
            assert_eq!(packed, PackedStatus::from(&status));
        }
    }
}
