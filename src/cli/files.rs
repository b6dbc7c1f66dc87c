//! The commands that check and render files.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::invocation::Invocation;
use crate::config::{self, Environment, SettingError, settings};
use crate::hand_back::HandBack;
use crate::offline::finding::Severity;
use crate::offline::input::source;
use crate::offline::migrate::Migrate;
use crate::offline::render::{Render, What};
use crate::offline::report::{ReportFormat, ReportOptions};
use crate::offline::validate::Validate;

const VALIDATE_EXAMPLES: &str = "\
All inputs are checked as if they were stored together: the kind of a Workspace is looked up among the inputs and the objects
of --old. Objects of other kinds are skipped and counted.

Exit codes: 0 no findings, 1 findings, 2 wrong flags or settings, 3 something could not be read or written.

Examples:
  workspaces-controller validate kind.yaml workspace.yaml
  workspaces-controller validate --old main/manifests pull-request/manifests
  kubectl kustomize overlays/production | workspaces-controller validate -
  workspaces-controller validate -o sarif ./manifests > findings.sarif
  workspaces-controller validate --fail-on warning --port-dialects id ./manifests";

const RENDER_EXAMPLES: &str = "\
Names of children end in a suffix that is derived from the uid of the Workspace; if it has none, from a uid of zeros. Kinds and
Workspaces that are only in one of OLD and NEW count as being in both.

Exit codes: 0 all rendered, nothing pending; 1 something cannot be rendered, or a restart would be pending; 2 wrong flags or
settings; 3 something could not be read or written.

Examples:
  workspaces-controller render kind.yaml workspace.yaml
  workspaces-controller render --istio-hosts notebooks.example.com ./manifests
  workspaces-controller render --diff main/manifests pull-request/manifests
  kubectl get workspaces,workspacekinds -A -o yaml | workspaces-controller render --diff - new-kind.yaml";

const MIGRATE_EXAMPLES: &str = "\
Every WorkspaceKind and Workspace is validated as if it were new, and every running Workspace is compared with its
StatefulSet, if that is among the inputs. Warnings name fields that would be dropped, finalizers that nobody would remove and,
if they are among the inputs, ClusterRoles of users that must stay. Nothing is changed.

Exit codes: 0 no findings, 1 findings, 2 wrong flags or settings, 3 something could not be read or written.

Examples:
  workspaces-controller migrate --check --cluster --kubeconfig ~/.kube/config
  workspaces-controller migrate --hand-back --cluster --dry-run
  kubectl get workspaces,workspacekinds,statefulsets -A -o yaml > stored.yaml
  workspaces-controller migrate --check --port-dialects id --fail-on warning stored.yaml";

/// All of them.
pub(super) fn commands() -> [Command; 3] {
    [validate_command(), render_command(), migrate_command()]
}

/// The invocation of one of them.
pub(super) fn invocation(
    name: &str,
    matches: &ArgMatches,
    environment: &Environment,
) -> Result<Invocation, Vec<SettingError>> {
    Ok(match name {
        "render" => Invocation::Render(Box::new(render(matches, environment)?)),
        "migrate" if matches.get_flag("hand-back") => Invocation::HandBack(hand_back(matches, environment)),
        "migrate" => Invocation::Migrate(Box::new(migrate(matches, environment)?)),
        _ => Invocation::Validate(Box::new(validate(matches, environment)?)),
    })
}

fn inputs() -> Arg {
    Arg::new("inputs")
        .value_name("FILE|DIR|-")
        .action(ArgAction::Append)
        .num_args(0..)
        .help("YAML or JSON files, directories of them, or - for the standard input")
}

/// The flag that [`fails_on`] reads.
pub(super) fn fail_on() -> Arg {
    Arg::new("fail-on")
        .long("fail-on")
        .value_name("SEVERITY")
        .value_parser(PossibleValuesParser::new(["error", "warning"]))
        .default_value("error")
        .help("Lowest severity that makes the exit code 1")
}

fn report_format() -> Arg {
    output(&ReportFormat::ALL.map(|(name, _)| name))
}

fn validate_command() -> Command {
    let old =
        Arg::new("old").long("old").value_name("FILE|DIR").action(ArgAction::Append).num_args(1).help(
            "Objects that are already stored: inputs of the same kind, namespace and name are validated as updates of them; repeatable",
        );
    Command::new("validate")
        .about("Checks files as the API server and the webhook would, without a cluster")
        .args([inputs(), old, report_format(), fail_on()])
        .args(settings::policy_arguments())
        .max_term_width(120)
        .after_help(VALIDATE_EXAMPLES)
}

fn render_command() -> Command {
    let diff = Arg::new("diff")
        .long("diff")
        .value_names(["OLD", "NEW"])
        .num_args(2)
        .conflicts_with("inputs")
        .help("List the Workspaces that would have a restart pending, and why, instead");
    Command::new("render")
        .about("Prints what the controller would apply for Workspaces, without a cluster")
        .args([inputs(), diff])
        .args(settings::routing_arguments())
        .max_term_width(120)
        .after_help(RENDER_EXAMPLES)
}

fn migrate_command() -> Command {
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .conflicts_with_all(["hand-back", "namespace", "dry-run", "restart-pending"])
        .help("Check what is stored before this controller takes over; changes nothing");
    let hand_back = Arg::new("hand-back")
        .long("hand-back")
        .action(ArgAction::SetTrue)
        .conflicts_with("inputs")
        .requires("cluster")
        .help("Prepare the StatefulSets of a cluster for the Go controller, without a restart of any pod");
    let dry_run = Arg::new("dry-run")
        .long("dry-run")
        .action(ArgAction::SetTrue)
        .requires("hand-back")
        .help("Print what --hand-back would do, and change nothing");
    let restart_pending = Arg::new("restart-pending")
        .long("restart-pending")
        .action(ArgAction::SetTrue)
        .requires("hand-back")
        .help("Also hand back what has a restart pending: those pods are restarted");
    let namespaces = Arg::new("namespace")
        .long("namespace")
        .value_name("NAME")
        .action(ArgAction::Append)
        .requires("hand-back")
        .help("Only a namespace to which no controller writes, although they go on running; repeatable");
    let task = ArgGroup::new("task").args(["check", "hand-back"]).required(true);
    let cluster = Arg::new("cluster")
        .long("cluster")
        .action(ArgAction::SetTrue)
        .conflicts_with("inputs")
        .help("The objects of a cluster instead of files");
    let dialects =
        settings::policy_arguments().filter(|argument| argument.get_id() != settings::CONNECT_PATH_PREFIX.flag);
    Command::new("migrate")
        .about("Reports what changes when this controller takes over from the Go controller, and prepares the way back")
        .args([
            check,
            hand_back,
            namespaces,
            dry_run,
            restart_pending,
            inputs(),
            cluster,
            kubeconfig_argument().help("Kubeconfig of that cluster [env: KUBECONFIG]"),
            report_format(),
            fail_on(),
        ])
        .group(task)
        .args(dialects)
        .args(settings::routing_arguments())
        .max_term_width(120)
        .after_help(MIGRATE_EXAMPLES)
}

/// The flag for the format of the output.
pub(super) fn output(formats: &[&'static str]) -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(formats.to_vec()))
        .default_value("text")
        .help("Output format")
}

pub(super) fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

fn is(matches: &ArgMatches, name: &str, value: &str) -> bool {
    matches.get_one::<String>(name).is_some_and(|given| given == value)
}

fn options(matches: &ArgMatches) -> ReportOptions {
    let format = ReportFormat::ALL.into_iter().find(|(name, _)| is(matches, "output", name));
    ReportOptions {
        format: format.map_or(ReportFormat::Text, |(_, format)| format),
        fail_on: fails_on(matches),
        colours: false,
    }
}

/// The lowest severity that counts.
pub(super) fn fails_on(matches: &ArgMatches) -> Severity {
    if is(matches, "fail-on", "warning") { Severity::Warning } else { Severity::Error }
}

/// Every command needs an input.
fn needs_input(command: &str) -> SettingError {
    let rule = "needs a file, a directory or - for the standard input".to_owned();
    SettingError { name: command.to_owned(), value: None, rule }
}

fn read_twice(flag: &str) -> SettingError {
    let rule = "the standard input can be read only once".to_owned();
    SettingError { name: flag.to_owned(), value: Some(source::STANDARD_INPUT.to_owned()), rule }
}

fn validate(matches: &ArgMatches, environment: &Environment) -> Result<Validate, Vec<SettingError>> {
    let (inputs, old) = (texts(matches, "inputs"), texts(matches, "old"));
    let mut errors = Vec::new();
    if inputs.is_empty() {
        errors.push(needs_input("validate"));
    }
    if [&inputs, &old].iter().all(|arguments| arguments.iter().any(|argument| argument == source::STANDARD_INPUT)) {
        errors.push(read_twice("--old"));
    }
    match config::policy(matches, environment) {
        Ok(policy) if errors.is_empty() => Ok(Validate { inputs, old, options: options(matches), policy }),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

fn render(matches: &ArgMatches, environment: &Environment) -> Result<Render, Vec<SettingError>> {
    let routing = config::routing_of(matches, environment);
    let (inputs, diff) = (texts(matches, "inputs"), texts(matches, "diff"));
    let what = match (inputs.is_empty(), diff.as_slice()) {
        (_, [old, new]) if old == source::STANDARD_INPUT && new == old => Err(read_twice("--diff")),
        (_, [old, new]) => Ok(What::Difference { old: old.clone(), new: new.clone() }),
        (true, _) => Err(needs_input("render")),
        (false, _) => Ok(What::Objects(inputs)),
    };
    match (what, routing) {
        (Ok(what), Ok(routing)) => Ok(Render { what, routing }),
        (what, routing) => Err(what.err().into_iter().chain(routing.err().into_iter().flatten()).collect()),
    }
}

fn hand_back(matches: &ArgMatches, environment: &Environment) -> HandBack {
    HandBack {
        kubeconfig: kubeconfig(matches, environment),
        namespaces: matches.get_many::<String>("namespace").into_iter().flatten().cloned().collect(),
        dry_run: matches.get_flag("dry-run"),
        restart_pending: matches.get_flag("restart-pending"),
    }
}

/// The flag that [`kubeconfig`] reads.
pub(super) fn kubeconfig_argument() -> Arg {
    Arg::new("kubeconfig")
        .long("kubeconfig")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Kubeconfig of the cluster [env: KUBECONFIG]")
}

pub(super) fn kubeconfig(matches: &ArgMatches, environment: &Environment) -> Option<PathBuf> {
    let given = matches.get_one::<PathBuf>("kubeconfig").cloned();
    given.or_else(|| environment.path(&settings::KUBECONFIG))
}

fn migrate(matches: &ArgMatches, environment: &Environment) -> Result<Migrate, Vec<SettingError>> {
    let inputs = texts(matches, "inputs");
    let cluster = matches.get_flag("cluster").then(|| kubeconfig(matches, environment));
    let mut errors = Vec::new();
    if inputs.is_empty() && cluster.is_none() {
        let rule = "needs files or directories with what is stored, or --cluster".to_owned();
        errors.push(SettingError { name: "migrate".to_owned(), value: None, rule });
    }
    match (config::policy(matches, environment), config::routing_of(matches, environment)) {
        (Ok(policy), Ok(routing)) if errors.is_empty() => {
            Ok(Migrate { inputs, cluster, options: options(matches), policy, routing })
        }
        (policy, routing) => {
            errors.extend(policy.err().into_iter().flatten());
            // The path prefix is part of both.
            errors.extend(
                routing.err().into_iter().flatten().filter(|error| !errors.contains(error)).collect::<Vec<_>>(),
            );
            Err(errors)
        }
    }
}
