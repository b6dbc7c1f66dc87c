//! The command `explain-rules`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::files::{kubeconfig, kubeconfig_argument, texts};
use crate::config::{Environment, SettingError, values};
use crate::offline::explain_rules::{ExplainRules, Supposed};

pub(super) const NAME: &str = "explain-rules";

const EXAMPLES: &str = "\
The kind is read from a cluster, or from files. For a Workspace that was never active, the time counts from when it became
Running: so it does if only --running is given. If only --idle is given, it has been running for at least as long.

Exit codes: 0 explained, 1 a rule is malformed, so that none decides, 2 wrong flags, or no such kind or podConfig, 3 something
could not be read or written.

Examples:
  workspaces-controller explain-rules jupyterlab
  workspaces-controller explain-rules jupyterlab --namespace-labels team=ml,tier=gold --pod-config big_gpu
  workspaces-controller explain-rules jupyterlab --idle 2h --running 3h
  workspaces-controller explain-rules -f kind.yaml --idle 90m";

pub(super) fn command() -> Command {
    let text = |flag: &'static str, value: &'static str| Arg::new(flag).long(flag).value_name(value).num_args(1);
    Command::new(NAME)
        .about("Explains which activity rule of a kind decides about a Workspace, and when it would be paused")
        .args([
            Arg::new("kind")
                .value_name("KIND")
                .help("Name of the WorkspaceKind; with --filename only needed if there are several"),
            text("filename", "FILE|DIR|-").short('f').action(ArgAction::Append).help(
                "File or directory that has the kind, or - for the standard input, instead of a cluster; repeatable",
            ),
            text("namespace-labels", "KEY=VALUE,...").help("Labels of the namespace of the Workspace [default: none]"),
            text("pod-config", "ID").help("podConfig of the Workspace [default: that of the kind]"),
            text("idle", "DURATION").help("How long ago the Workspace was last active, such as 2h or 1h30m"),
            text("running", "DURATION").help("How long the Workspace has been running"),
            kubeconfig_argument().conflicts_with("filename"),
        ])
        .max_term_width(120)
        .after_help(EXAMPLES)
}

/// What is asked for; all errors together.
pub(super) fn invocation(matches: &ArgMatches, environment: &Environment) -> Result<ExplainRules, Vec<SettingError>> {
    let mut errors = Vec::new();
    let workspace = Supposed {
        namespace_labels: value(matches, "namespace-labels", values::labels, &mut errors),
        pod_config: matches.get_one::<String>("pod-config").cloned(),
        idle: value(matches, "idle", values::age, &mut errors),
        running: value(matches, "running", values::age, &mut errors),
    };
    let (kind, files) = (matches.get_one::<String>("kind").cloned(), texts(matches, "filename"));
    if kind.is_none() && files.is_empty() {
        let rule = "needs the name of a WorkspaceKind on the cluster, or --filename".to_owned();
        errors.push(SettingError { name: NAME.to_owned(), value: None, rule });
    }
    let kubeconfig = kubeconfig(matches, environment);
    if errors.is_empty() { Ok(ExplainRules { kind, files, kubeconfig, workspace }) } else { Err(errors) }
}

/// The value of a flag, if it is given and right.
fn value<T>(
    matches: &ArgMatches,
    flag: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    errors: &mut Vec<SettingError>,
) -> Option<T> {
    let given = matches.get_one::<String>(flag)?;
    parse(given)
        .map_err(|rule| errors.push(SettingError { name: format!("--{flag}"), value: Some(given.clone()), rule }))
        .ok()
}
