//! What a kind asks for: how activity is probed, how often, and which rules act on it.

use std::time::Duration;

use crds::WorkspaceKindSpec;
use crds::workspace_kind::{ActivityProbe, Culling, PodExecActivityProbe};

use super::rules::{PauseRule, RuleField};

/// The longest that anything runs in a pod, whatever the kind says: no other probe of the Workspace starts before.
pub const EXEC_TIMEOUT_MAX: Duration = Duration::from_mins(5);
/// How long the exit code 0 of a command of `culling` says that the Workspace was active, so how often it has to run.
const COMMAND_INTERVAL: Duration = Duration::from_mins(1);
/// The widest interval of `culling` with Jupyter, which names none: as that of `activityProbe`.
const CULLING_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// Its minimum between two probes, also as that of `activityProbe`.
const CULLING_MIN_INTERVAL: Duration = Duration::from_mins(5);

/// What a kind asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<'a> {
    /// How activity is probed.
    pub probe: ProbeSpec<'a>,
    /// The time between two probes; at least `min_interval`.
    pub interval: Duration,
    /// The minimum time between the starts of two probes, whatever triggers them.
    pub min_interval: Duration,
    /// The rules about pausing, in their order.
    pub rules: Vec<PauseRule<'a>>,
}

/// How activity is probed.
#[derive(Clone, Debug, Hash, PartialEq)]
pub enum ProbeSpec<'a> {
    /// By the API of the Jupyter server on a port of the image.
    Jupyter(JupyterPort<'a>),
    /// By a script that writes JSON.
    Script {
        /// The script, with its shebang.
        script: &'a str,
        /// After how long it is given up.
        timeout: Duration,
    },
    /// By the exit code of a command: 0 active in the last 60 seconds, 1 not active.
    Command {
        /// The command and its arguments.
        command: &'a [String],
        /// After how long it is given up.
        timeout: Duration,
    },
}

impl ProbeSpec<'_> {
    /// How a kind configures it, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Jupyter(_) => "jupyter",
            Self::Script { .. } => "script",
            Self::Command { .. } => "command",
        }
    }
}

/// The port of the Jupyter server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum JupyterPort<'a> {
    /// The port with this id.
    Id(&'a str),
    /// The first port of the image.
    First,
}

impl<'a> Policy<'a> {
    /// What the kind asks for; `None` where it configures no probe, so that nothing is known and nothing paused.
    pub fn of(kind: &'a WorkspaceKindSpec) -> Option<Self> {
        let template = &kind.pod_template;
        let mut rules: Vec<_> = PauseRule::of(&kind.activity_rules).collect();
        if let Some(probe) = &template.activity_probe {
            let min_interval = seconds(probe.min_probe_interval_seconds);
            let interval = seconds(probe.probe_interval_seconds).max(min_interval);
            return Some(Self { probe: probe_spec(probe)?, interval, min_interval, rules });
        }
        let culling = template.culling.as_ref().filter(|culling| culling.enabled)?;
        rules.push(culling_rule(culling));
        let (probe, interval) = culling_probe(culling)?;
        Some(Self { probe, interval, min_interval: interval.min(CULLING_MIN_INTERVAL), rules })
    }
}

/// Why a kind without a policy has none.
pub fn why_unprobed(kind: &WorkspaceKindSpec) -> &'static str {
    match &kind.pod_template.culling {
        Some(culling) if !culling.enabled => "spec.podTemplate.culling.enabled is false",
        _ => "neither spec.podTemplate.activityProbe nor spec.podTemplate.culling is set",
    }
}

fn probe_spec(probe: &ActivityProbe) -> Option<ProbeSpec<'_>> {
    match (&probe.jupyter, &probe.pod_exec) {
        (Some(jupyter), _) => Some(ProbeSpec::Jupyter(JupyterPort::Id(&jupyter.port_id))),
        (None, Some(PodExecActivityProbe { script, timeout_seconds })) => {
            Some(ProbeSpec::Script { script, timeout: seconds(*timeout_seconds).min(EXEC_TIMEOUT_MAX) })
        }
        (None, None) => None,
    }
}

/// The probe of `culling` and its interval. Jupyter says how long ago the last activity was, so half of the time after which
/// it is paused is often enough: the widest interval of which admission does not warn that it is wide.
fn culling_probe(culling: &Culling) -> Option<(ProbeSpec<'_>, Duration)> {
    let probe = &culling.activity_probe;
    if let Some(exec) = &probe.exec {
        let probe = ProbeSpec::Command { command: &exec.command, timeout: COMMAND_INTERVAL };
        return Some((probe, COMMAND_INTERVAL));
    }
    let interval = (seconds(culling.max_inactive_seconds) / 2).clamp(COMMAND_INTERVAL, CULLING_INTERVAL_MAX);
    probe.jupyter.as_ref().map(|_| (ProbeSpec::Jupyter(JupyterPort::First), interval))
}

fn culling_rule(culling: &Culling) -> PauseRule<'_> {
    PauseRule {
        field: RuleField::Culling,
        condition: None,
        pauses: Some(true),
        seconds_since_active: culling.max_inactive_seconds,
        min_running_seconds: 0,
    }
}

/// At least one: the schema requires that, and a stored zero would probe without a pause.
fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default().max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    /// What a kind with these fields of the pod template and these rules asks for.
    fn kind(template: Value, rules: Value) -> WorkspaceKindSpec {
        let mut spec = crds::testing::workspace_kind("lab").spec;
        let Value::Object(fields) = template else { unreachable!() };
        let mut value = serde_json::to_value(&spec.pod_template).unwrap();
        value.as_object_mut().unwrap().extend(fields);
        spec.pod_template = serde_json::from_value(value).unwrap();
        spec.activity_rules = serde_json::from_value(rules).unwrap();
        spec
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_kind_without_a_probe_asks_for_nothing() {
        let rule = || json!([{"config": {"secondsSinceActive": 60}, "effect": {"pauseWorkspace": true}}]);
        assert_eq!(Policy::of(&kind(json!({}), rule())), None);
        let jupyter = json!({"jupyter": {"lastActivity": true}});
        let disabled = json!({"culling": {"enabled": false, "activityProbe": jupyter}});
        assert_eq!(Policy::of(&kind(disabled, rule())), None);
        assert_eq!(Policy::of(&kind(json!({"activityProbe": {}}), rule())), None);
    }

    #[test]
    fn an_activity_probe_has_its_intervals() {
        let jupyter = json!({"lastActivity": true, "portId": "jupyterlab"});
        let of = |probe: Value| {
            let kind = kind(json!({"activityProbe": probe}), json!([]));
            let policy = Policy::of(&kind).unwrap();
            assert_eq!(policy.probe, ProbeSpec::Jupyter(JupyterPort::Id("jupyterlab")));
            (policy.interval, policy.min_interval)
        };
        assert_eq!(of(json!({"jupyter": jupyter})), (secs(3600), secs(300)));
        let both = json!({"jupyter": jupyter, "probeIntervalSeconds": 900, "minProbeIntervalSeconds": 60});
        assert_eq!(of(both), (secs(900), secs(60)));
        // Stored before the schema refused it.
        let odd = json!({"jupyter": jupyter, "probeIntervalSeconds": 10, "minProbeIntervalSeconds": 60});
        assert_eq!(of(odd), (secs(60), secs(60)));
        let odd = json!({"jupyter": jupyter, "probeIntervalSeconds": -1, "minProbeIntervalSeconds": 0});
        assert_eq!(of(odd), (secs(1), secs(1)));
    }

    #[test]
    fn a_script_is_given_up_after_its_timeout_or_five_minutes() {
        for (timeout, expected) in [(30, 30), (300, 300), (86_400, 300)] {
            let probe = json!({"podExec": {"script": "#!/bin/sh\n", "timeoutSeconds": timeout}});
            let kind = kind(json!({"activityProbe": probe}), json!([]));
            let expected = ProbeSpec::Script { script: "#!/bin/sh\n", timeout: secs(expected) };
            assert_eq!(Policy::of(&kind).unwrap().probe, expected);
        }
    }

    #[test]
    fn culling_is_a_probe_and_a_rule_for_all_workspaces() {
        let command = json!({"exec": {"command": ["is-active", "-q"]}});
        let spec = kind(json!({"culling": {"maxInactiveSeconds": 600, "activityProbe": command}}), json!([]));
        let rule = PauseRule {
            field: RuleField::Culling,
            condition: None,
            pauses: Some(true),
            seconds_since_active: 600,
            min_running_seconds: 0,
        };
        let command = ["is-active".to_owned(), "-q".to_owned()];
        let probe = ProbeSpec::Command { command: &command, timeout: secs(60) };
        let expected = Policy { probe, interval: secs(60), min_interval: secs(60), rules: vec![rule] };
        assert_eq!(Policy::of(&spec), Some(expected));

        for (idle, interval, min_interval) in [(86_400, 3600, 300), (1800, 900, 300), (400, 200, 200), (60, 60, 60)] {
            let jupyter = json!({"jupyter": {"lastActivity": true}});
            let spec = kind(json!({"culling": {"maxInactiveSeconds": idle, "activityProbe": jupyter}}), json!([]));
            let policy = Policy::of(&spec).unwrap();
            assert_eq!(policy.probe, ProbeSpec::Jupyter(JupyterPort::First));
            assert_eq!((policy.interval, policy.min_interval), (secs(interval), secs(min_interval)), "{idle}");
        }
    }

    /// So a kind can be moved rule by rule.
    #[test]
    fn rules_come_before_that_of_culling() {
        let rules = json!([{"config": {"secondsSinceActive": 60}, "effect": {"pauseWorkspace": false}}]);
        let culling = json!({"culling": {"activityProbe": {"jupyter": {"lastActivity": true}}}});
        let spec = kind(culling, rules);
        let fields: Vec<_> = Policy::of(&spec).unwrap().rules.iter().map(|rule| rule.field.to_string()).collect();
        assert_eq!(fields, ["spec.activityRules[0]", "spec.podTemplate.culling"]);
    }
}
