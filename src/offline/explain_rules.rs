//! The command `explain-rules`: which activity rule of a kind decides about a Workspace, and when it would be paused.

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::nearest::nearest;
use crds::workspace_kind::PodConfigValue;

use super::command_output::CommandOutput;
use super::given::Given;
use super::input::source;
use super::render::input_errors;
use crate::activity::policy::{self, Policy, ProbeSpec};
use crate::activity::rules::{Applies, Decision, Labels, MalformedRule, PauseRule, RuleField};
use crate::config::SettingError;
use crate::config::values::written;

/// The arguments of `explain-rules`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ExplainRules {
    /// The name of the kind; where it is read from files with one kind, it may be left out.
    pub kind: Option<String>,
    /// Files and directories to read it from, or `-`; none is a cluster.
    pub files: Vec<String>,
    /// The kubeconfig of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The Workspace.
    pub workspace: Supposed,
}

/// The Workspace that is asked about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Supposed {
    /// The labels of its namespace; `None` where none are given, which is the same as none.
    pub namespace_labels: Option<Labels>,
    /// The id of its podConfig; `None` is the default one of the kind.
    pub pod_config: Option<String>,
    /// For how long it has not been active.
    pub idle: Option<Duration>,
    /// For how long it has been running.
    pub running: Option<Duration>,
}

/// Explains the rules of a kind in files; `input` is the standard input.
///
/// # Errors
/// The kind or its podConfig is not there.
pub fn run(command: &ExplainRules, input: &mut dyn Read) -> Result<CommandOutput, SettingError> {
    let (sources, unreadable) = source::read(&command.files, input);
    let given = Given::read(&sources);
    let errors = input_errors(&[&given], &unreadable);
    let names = || given.kinds.keys().map(String::as_str);
    let kind = match (&command.kind, given.kinds.len()) {
        (Some(name), _) => given.kinds.get(name).ok_or_else(|| no_kind(name, names())),
        (None, 1) => given.kinds.values().next().ok_or_else(|| which_kind(names())),
        (None, _) => Err(which_kind(names())),
    };
    match kind {
        Ok(kind) => {
            let explained = explain(kind, &command.workspace)?;
            Ok(CommandOutput {
                stdout: explained.stdout,
                has_findings: explained.has_findings || errors.has_findings,
                ..errors
            })
        }
        // Why it is not there.
        Err(_) if errors.has_unreadable || errors.has_findings => Ok(errors),
        Err(error) => Err(error),
    }
}

/// How many names of kinds an error lists.
const NAMES_MAX: usize = 10;

/// The error that a kind is not among those with these names. The nearest one is suggested, or the first few are listed.
pub fn no_kind<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> SettingError {
    let others: Vec<&str> = others.into_iter().collect();
    let rest = match (nearest(name, others.iter().copied()), &*others) {
        (Some(nearest), _) => did_you_mean(Some(nearest)),
        (None, []) => " (there is none)".to_owned(),
        (None, few) if few.len() <= NAMES_MAX => format!(" (there are: {})", few.join(", ")),
        (None, many) => {
            format!(" (there are: {} and {} more)", many[..NAMES_MAX].join(", "), many.len() - NAMES_MAX)
        }
    };
    wrong("KIND", Some(name), format!("no such WorkspaceKind{rest}"))
}

fn which_kind<'a>(names: impl Iterator<Item = &'a str>) -> SettingError {
    let rule = match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "there is no WorkspaceKind among the inputs".to_owned(),
        names => format!("there are several among the inputs, name one of them: {names}"),
    };
    wrong("KIND", None, rule)
}

fn wrong(name: &str, value: Option<&str>, rule: String) -> SettingError {
    SettingError { name: name.to_owned(), value: value.map(str::to_owned), rule }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|suggestion| format!(", did you mean {suggestion:?}?")).unwrap_or_default()
}

/// Explains the rules of a kind. There is a finding where a rule is malformed, so that none decides.
///
/// # Errors
/// The kind has no such podConfig.
pub fn explain(kind: &WorkspaceKind, workspace: &Supposed) -> Result<CommandOutput, SettingError> {
    let name = kind.metadata.name.as_deref().unwrap_or_default();
    let pod_config = pod_config(kind, name, workspace.pod_config.as_deref())?;
    let mut text = header(name, pod_config, workspace);
    let Some(policy) = Policy::of(&kind.spec) else {
        let why = policy::why_unprobed(&kind.spec);
        let _ = writeln!(text, "\nNo Workspace of this kind is paused: {why}, so nothing is known about activity.");
        return Ok(CommandOutput { stdout: text, ..CommandOutput::default() });
    };
    let labels = (workspace.namespace_labels.clone().unwrap_or_default(), labels_of(pod_config));
    let judged = judge(&policy.rules, &labels.0, &labels.1, &mut text);
    let has_findings = judged.is_err();
    match judged {
        Ok(decision) => text.push_str(&consequence(decision, &policy, workspace)),
        Err(malformed) => {
            let _ = write!(
                text,
                "  malformed: {malformed}\n\nNo Workspace that the rules before it do not decide about is paused: the \
                 rule may be one that exempts it. Correct the selector.\n"
            );
        }
    }
    Ok(CommandOutput { stdout: text, has_findings, ..CommandOutput::default() })
}

fn pod_config<'a>(
    kind: &'a WorkspaceKind,
    name: &str,
    id: Option<&str>,
) -> Result<Option<&'a PodConfigValue>, SettingError> {
    let options = &kind.spec.pod_template.options.pod_config;
    let wanted = id.unwrap_or(&options.spawner.default);
    let found = options.values.iter().find(|value| value.id == wanted);
    match (found, id) {
        (None, Some(id)) => {
            let ids = || options.values.iter().map(|value| value.id.as_str());
            let (suggestion, valid) = (did_you_mean(nearest(id, ids())), ids().collect::<Vec<_>>().join(", "));
            let rule = format!("no such podConfig in WorkspaceKind {name}{suggestion} (its ids: {valid})");
            Err(wrong("--pod-config", Some(id), rule))
        }
        (found, _) => Ok(found),
    }
}

fn labels_of(pod_config: Option<&PodConfigValue>) -> Labels {
    pod_config.map(|value| value.spawner.label_map()).unwrap_or_default()
}

/// What the Workspace is supposed to be.
fn header(kind: &str, pod_config: Option<&PodConfigValue>, workspace: &Supposed) -> String {
    let id = pod_config.map_or("", |value| value.id.as_str());
    let default = if workspace.pod_config.is_none() { " (the default of the kind)" } else { "" };
    let namespace = match &workspace.namespace_labels {
        Some(labels) => listed(labels),
        None => "none (--namespace-labels is not set)".to_owned(),
    };
    let of_pod_config = listed(&labels_of(pod_config));
    format!(
        "WorkspaceKind {kind}\n  namespace labels: {namespace}\n  podConfig: {id}{default}\n  podConfig labels: \
         {of_pod_config}\n"
    )
}

fn listed(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "none".to_owned() } else { pairs.join(",") }
}

/// Writes what becomes of each rule up to the one that decides.
fn judge(
    rules: &[PauseRule<'_>],
    namespace: &Labels,
    pod_config: &Labels,
    text: &mut String,
) -> Result<Option<Decision>, MalformedRule> {
    for rule in rules {
        let _ = write!(text, "\n{}: {}\n", rule.field, fields(rule));
        match rule.applies(namespace, pod_config)? {
            Applies::NotConfigured => text.push_str("  skipped: effect.pauseWorkspace is not set\n"),
            Applies::Unmet { field, unmet } => drop(writeln!(text, "  does not match: {field} requires {unmet}")),
            Applies::Decides => {
                let after = rules.iter().skip_while(|other| other.field != rule.field).skip(1).count();
                let later = match after {
                    0 => String::new(),
                    1 => "; the rule after it is not considered".to_owned(),
                    after => format!("; the {after} rules after it are not considered"),
                };
                let _ = writeln!(text, "  decides: it matches{later}");
                return Ok(rule.decision());
            }
        }
    }
    Ok(None)
}

/// The fields of a rule, but for its selectors.
fn fields(rule: &PauseRule<'_>) -> String {
    let PauseRule { seconds_since_active: idle, min_running_seconds: running, .. } = rule;
    match rule.field {
        RuleField::Culling => format!("maxInactiveSeconds {idle}"),
        RuleField::ActivityRules(_) => {
            let effect = rule.pauses.map_or("not set".to_owned(), |pauses| pauses.to_string());
            format!(
                "effect.pauseWorkspace {effect}, config.secondsSinceActive {idle}, config.minRunningSeconds {running}"
            )
        }
    }
}

/// When a Workspace like this one would be paused.
fn consequence(decision: Option<Decision>, policy: &Policy<'_>, workspace: &Supposed) -> String {
    let Some(decision) = decision else {
        return "\nNo rule matches: the Workspace is not paused.\n".to_owned();
    };
    let rule = decision.rule;
    if !decision.pauses {
        return format!("\n{rule} exempts the Workspace: it is not paused.\n");
    }
    let (idle, running) = (seconds(decision.seconds_since_active), seconds(decision.min_running_seconds));
    let mut text = format!("\n{rule} pauses the Workspace once it has not been active for {}", written(idle));
    if !running.is_zero() {
        let _ = write!(text, " and has been running for {}", written(running));
    }
    text.push_str(".\n");
    text.push_str(&remaining(idle, running, workspace));
    let _ = writeln!(
        text,
        "It is paused by a successful probe that finds no activity. It is probed {} every {}, and when it may be paused, but \
         not more often than every {}.",
        probe(&policy.probe),
        written(policy.interval),
        written(policy.min_interval),
    );
    text
}

/// In how long that would be, for the times that are given.
fn remaining(idle: Duration, running: Duration, workspace: &Supposed) -> String {
    // One that was never active counts from when it runs, and one that is idle has been running at least for so long.
    let (Some(is_idle), Some(is_running)) =
        (workspace.idle.or(workspace.running), workspace.running.or(workspace.idle))
    else {
        return String::new();
    };
    let left = idle.saturating_sub(is_idle).max(running.saturating_sub(is_running));
    let supposed = match (workspace.idle, workspace.running) {
        (Some(is_idle), None) => format!("Idle for {}", written(is_idle)),
        (None, _) => format!("Running for {} and never seen active", written(is_running)),
        (Some(is_idle), Some(is_running)) => {
            format!("Idle for {} and running for {}", written(is_idle), written(is_running))
        }
    };
    if left.is_zero() {
        format!("{supposed}, it may be paused now.\n")
    } else {
        format!("{supposed}, it may be paused in {}.\n", written(left))
    }
}

fn probe(probe: &ProbeSpec<'_>) -> &'static str {
    match probe {
        ProbeSpec::Jupyter(_) => "with the API of Jupyter",
        ProbeSpec::Script { .. } => "with a script",
        ProbeSpec::Command { .. } => "with a command",
    }
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_kinds_the_nearest_one_or_the_first_few_are_named() {
        let names: Vec<String> = (10..22).map(|number| format!("lab-{number}")).collect();
        let error = |name: &str, kinds: usize| no_kind(name, names[..kinds].iter().map(String::as_str)).to_string();
        assert_eq!(error("lab10", 12), "KIND=\"lab10\": no such WorkspaceKind, did you mean \"lab-10\"?");
        assert_eq!(error("rstudio", 0), "KIND=\"rstudio\": no such WorkspaceKind (there is none)");
        assert_eq!(error("rstudio", 2), "KIND=\"rstudio\": no such WorkspaceKind (there are: lab-10, lab-11)");
        let many = "KIND=\"rstudio\": no such WorkspaceKind (there are: lab-10, lab-11, lab-12, lab-13, lab-14, lab-15, \
                    lab-16, lab-17, lab-18, lab-19 and 2 more)";
        assert_eq!(error("rstudio", 12), many);
    }
}
