//! Rules of `spec.podTemplate.activityProbe` and `spec.activityRules`.

use std::collections::BTreeSet;

use crds::WorkspaceKindSpec;
use crds::activity::shebang_fault;
use crds::field_path::FieldPath;
use crds::ports::Dialect;
use crds::workspace_kind::{ActivityProbe, ActivityRule, PodTemplate, ProxiedPort};

use crate::field::{Fault, Findings};
use crate::metadata::validate_selector;
use crate::rule::Rule;

const PROBE: &str = "spec.podTemplate.activityProbe";

/// Validates the probe (script, port), that there is one where rules pause, and the rules themselves.
pub(super) fn validate(spec: &WorkspaceKindSpec, findings: &mut Findings) {
    let template = &spec.pod_template;
    if let Some(probe) = &template.activity_probe {
        validate_probe(probe, template, findings);
    }
    if !template.has_activity_probe() && spec.activity_rules.iter().any(ActivityRule::pauses) {
        let detail = "activityProbe must be configured when activityRules with pauseWorkspace effect exist";
        findings.faults.push(Fault::required(Rule::ProbeMissing, PROBE, detail));
    }
    validate_rules(spec, findings);
}

/// Validates the first line of the script, and the port of the Jupyter server.
fn validate_probe(probe: &ActivityProbe, template: &PodTemplate, findings: &mut Findings) {
    if let Some(exec) = &probe.pod_exec
        && let Some(detail) = shebang_fault(&exec.script)
    {
        let field = format!("{PROBE}.podExec.script");
        findings.faults.push(Fault::invalid(Rule::ProbeShebang, field, &exec.script, detail));
    }
    let Some(jupyter) = &probe.jupyter else { return };
    let dialect = template.dialect();
    let ids: BTreeSet<&str> = match dialect {
        Dialect::PortId => template.image_port_ids(),
        Dialect::Id => template.proxied_ports().iter().map(ProxiedPort::key).collect(),
    };
    if !ids.contains(&*jupyter.port_id) {
        let detail = match dialect {
            Dialect::PortId => "must reference a valid port of some imageConfig value",
            Dialect::Id => "must reference a valid port defined in spec.podTemplate.ports",
        };
        let fault = Fault::invalid(Rule::ProbePort, format!("{PROBE}.jupyter.portId"), &jupyter.port_id, detail);
        findings.push_suggesting(fault.about(&jupyter.port_id), &jupyter.port_id, ids);
    }
}

/// Validates the selectors of the rules, and that the rule without a `match` is the only one and the last.
fn validate_rules(spec: &WorkspaceKindSpec, findings: &mut Findings) {
    let (rules, rules_at) = (&spec.activity_rules, FieldPath::root("spec.activityRules"));
    let mut catch_all_seen = false;
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        let field = at.to_string();
        let match_at = at.field("match");
        let conditions = rule.match_.iter();
        let conditions = conditions
            .flat_map(|all| [("matchNamespace", &all.match_namespace), ("matchPodConfig", &all.match_pod_config)]);
        for (name, condition) in conditions {
            if let Some(condition) = condition {
                let at = match_at.field(name);
                validate_selector(Rule::ActivitySelector, &at.field("selector"), &condition.selector, findings);
            }
        }
        if rule.is_catch_all() && rule.decides_pause() {
            let mut misplaced = |detail| {
                let field = format!("{field}.match");
                findings.faults.push(Fault::invalid_block(Rule::ActivityCatchAll, field, &rule.match_, detail));
            };
            if catch_all_seen {
                misplaced("at most one catch-all (empty match) rule is allowed for pauseWorkspace effect");
            }
            if rules[index + 1..].iter().any(ActivityRule::decides_pause) {
                misplaced("catch-all (empty match) rule must be the last rule configuring the pauseWorkspace effect");
            }
            catch_all_seen = true;
        }
        let idle = rule.config.seconds_since_active;
        let interval = spec.pod_template.activity_probe.as_ref().map(|probe| probe.probe_interval_seconds);
        if let Some(interval) = interval
            && rule.pauses()
            && i64::from(idle) < 2 * i64::from(interval)
        {
            let field = format!("{field}.config.secondsSinceActive");
            let text = format!(
                "{field} ({idle}) is less than twice the probeIntervalSeconds ({interval}): may pause too early"
            );
            findings.warn(Rule::PausedEarly, field, text);
        }
    }
}
