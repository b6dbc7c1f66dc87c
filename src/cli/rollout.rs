//! The command `rollout`.

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::files::{kubeconfig, kubeconfig_argument};
use crate::config::{Environment, SettingError, values};
use crate::rollout::Rollout;

pub(super) const NAME: &str = "rollout";

/// A shorter time is none: some probes only say whether it was used within the last minute.
const IDLE_FOR_MIN: Duration = Duration::from_mins(1);

const EXAMPLES: &str = "\
Restarts by the annotation notebooks.kubeflow.org/restart-at, evenly spaced: the Workspace whose restart has been pending for longest
first, with --only-idle the one that has been idle for longest. Each is read anew just before: one that its user has restarted,
paused or deleted meanwhile is left. Ctrl-C stops after the write in flight, with the summary; run it again to go on.

With --only-idle each is restarted within 30 seconds of an activity probe that found it idle, so it takes at least one
probeIntervalSeconds. One that is in use, or not known to be idle, is left.

It waits while --max-unavailable restarted Workspaces are not available again, and stops when none becomes available for
--progress-deadline: an image that does not start takes down no more than that.

Exit codes: 0 all that was due is restarted and available again, 1 a restart was refused, or restarted Workspaces are not available
again, 2 wrong flags, no such kind, or one without a probe, 3 something could not be read or written, 4 stopped by a signal.

Examples:
  workspaces-controller rollout jupyterlab --max 5/min --dry-run
  workspaces-controller rollout jupyterlab --max 5/min --only-idle
  workspaces-controller rollout jupyterlab --max 60/h --only-idle --idle-for 2h --namespace team-a
  workspaces-controller rollout jupyterlab --max 30/min --max-unavailable 20";

pub(super) fn command() -> Command {
    let text = |flag: &'static str, value: &'static str| Arg::new(flag).long(flag).value_name(value).num_args(1);
    let switch = |flag: &'static str| Arg::new(flag).long(flag).action(ArgAction::SetTrue);
    Command::new(NAME)
        .about("Restarts the Workspaces of a kind whose restart is pending, a few at a time")
        .args([
            Arg::new("kind").value_name("KIND").help("Name of the WorkspaceKind"),
            text("max", "N/UNIT").help("How many are restarted in a time at most, such as 5/min, 1/s or 100/h"),
            switch("only-idle")
                .help("Only Workspaces that an activity probe has just found idle; takes at least one probe interval"),
            text("idle-for", "DURATION")
                .default_value("30m")
                .help("How long they must have been idle; with --only-idle"),
            text("max-unavailable", "N")
                .default_value("5")
                .help("How many restarted Workspaces may be unavailable at a time"),
            text("progress-deadline", "DURATION")
                .default_value("10m")
                .help("Stop when no restarted Workspace becomes available for so long"),
            text("namespace", "NAME").short('n').help("Only Workspaces of this namespace [default: all]"),
            switch("dry-run").help("Print which would be restarted and in which order, and change nothing"),
            kubeconfig_argument(),
        ])
        .override_usage("workspaces-controller rollout KIND --max N/UNIT [OPTIONS]")
        .max_term_width(120)
        .after_help(EXAMPLES)
}

/// What is asked for; all errors together.
pub(super) fn invocation(matches: &ArgMatches, environment: &Environment) -> Result<Rollout, Vec<SettingError>> {
    let mut errors = Vec::new();
    let idle_for = value(matches, "idle-for", idle_for, "", &mut errors);
    let parsed = (
        value(matches, "max", str::parse, "needs a rate, such as 5/min", &mut errors),
        value(matches, "max-unavailable", values::concurrency, "", &mut errors),
        value(matches, "progress-deadline", values::patience, "", &mut errors),
    );
    let is_given = matches.value_source("idle-for") == Some(ValueSource::CommandLine);
    if is_given && !matches.get_flag("only-idle") {
        errors.push(SettingError { name: "--idle-for".to_owned(), value: None, rule: "needs --only-idle".to_owned() });
    }
    let kind = matches.get_one::<String>("kind").cloned();
    if kind.is_none() {
        let rule = "needs the name of a WorkspaceKind on the cluster".to_owned();
        errors.push(SettingError { name: NAME.to_owned(), value: None, rule });
    }
    let (Some(kind), (Some(max), Some(max_unavailable), Some(progress_deadline)), true) =
        (kind, parsed, errors.is_empty())
    else {
        return Err(errors);
    };
    Ok(Rollout {
        kind,
        kubeconfig: kubeconfig(matches, environment),
        namespace: matches.get_one::<String>("namespace").cloned(),
        max,
        idle_for: idle_for.filter(|_| matches.get_flag("only-idle")),
        max_unavailable,
        progress_deadline,
        dry_run: matches.get_flag("dry-run"),
    })
}

fn idle_for(value: &str) -> Result<Duration, String> {
    let age = values::age(value).ok().filter(|age| *age >= IDLE_FOR_MIN);
    age.ok_or_else(|| "must be a duration such as 30m or 2h, at least 1m".to_owned())
}

/// The value of a flag, if it is right. `missing` is the error where it is neither given nor has a default.
fn value<T>(
    matches: &ArgMatches,
    flag: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    missing: &str,
    errors: &mut Vec<SettingError>,
) -> Option<T> {
    let given = matches.get_one::<String>(flag);
    let parsed = given.map_or_else(|| Err(missing.to_owned()), |given| parse(given));
    let error = |rule| SettingError { name: format!("--{flag}"), value: given.cloned(), rule };
    parsed.map_err(|rule| errors.push(error(rule))).ok()
}
