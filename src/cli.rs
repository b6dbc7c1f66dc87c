//! The command line: which command to run, with which settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::config::settings;
use crate::config::{Environment, SettingError, Settings};
use crate::offline::explain;

mod check;
mod cleanup;
mod explain_rules;
mod files;
mod invocation;
mod rollout;

use files::output;
pub use invocation::Invocation;

const EXAMPLES: &str = "\
Flags win over environment variables; an empty variable counts as unset. Flags may be written with one or two dashes.

Exit codes: 0 shut down as asked; 1 failed after the start, a restart may help; 2 wrong flags or settings, a restart does not
help. Commands: 0 no findings, 1 findings, 2 wrong flags or settings, 3 something could not be read or written, 4 stopped by a
signal (rollout).

Examples:
  workspaces-controller --kubeconfig ~/.kube/config --webhook-cert-dir ./certs
  workspaces-controller --istio-gateway istio-system/public --istio-hosts notebooks.example.com
  USE_ISTIO=false workspaces-controller --metrics-bind-address=0
  workspaces-controller crds | kubectl apply --server-side -f -
  workspaces-controller crds --dir ./crds
  workspaces-controller validate ./manifests
  workspaces-controller migrate --check --cluster
  workspaces-controller rollout jupyterlab --max 5/min --dry-run
  workspaces-controller check --wait=60s";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  workspaces-controller explain
  workspaces-controller explain WSK003
  workspaces-controller explain request-header";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(workspaces-controller completion bash)
  workspaces-controller completion zsh > \"${fpath[1]}/_workspaces-controller\"
  workspaces-controller completion fish > ~/.config/fish/completions/workspaces-controller.fish";

const NAME: &str = "workspaces-controller";
/// All commands; without one the controller runs.
const COMMANDS: [&str; 11] = [
    GO_STYLE_COMMAND,
    "validate",
    "render",
    "migrate",
    rollout::NAME,
    check::NAME,
    cleanup::NAME,
    "explain",
    explain_rules::NAME,
    "completion",
    "version",
];
/// The one whose flags may be in Go's style, as those of the controller itself; those of others are left as they are: `-o=json`.
const GO_STYLE_COMMAND: &str = "crds";

/// Parses the command line, the program's name first. All errors are returned together.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Invocation, Vec<SettingError>> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_left =
        |argument: &OsString| COMMANDS.iter().any(|command| *command != GO_STYLE_COMMAND && argument == command);
    if !arguments.get(1).is_some_and(is_left) {
        arguments = arguments.into_iter().map(with_two_dashes).collect();
    }
    let mut errors = Vec::new();
    loop {
        let error = match command().try_get_matches_from(&arguments) {
            Ok(matches) => return invocation(&matches, environment, errors),
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Ok(Invocation::Print(error.to_string()));
        }
        let error = setting_error(&error);
        // The parser stops at the first wrong argument: remove it and parse the others.
        let wrong = arguments.iter().skip(1).position(|argument| argument.to_string_lossy().starts_with(&error.name));
        errors.push(error);
        match wrong {
            Some(index) => drop(arguments.remove(index + 1)),
            None => return Err(errors),
        }
    }
}

fn command() -> Command {
    let dir = Arg::new("dir").long("dir").value_name("DIR").value_parser(value_parser!(PathBuf));
    Command::new(NAME)
        .version(version())
        .about("Validates WorkspaceKinds and Workspaces at admission, reconciles Workspaces, and routes their traffic.")
        .after_help(after_help())
        .args(settings::arguments())
        .args_conflicts_with_subcommands(true)
        .max_term_width(120)
        .subcommand(
            Command::new("crds")
                .about("Prints the CustomResourceDefinitions as YAML")
                .arg(dir.help("Write one file for each kind into this directory instead")),
        )
        .subcommands(files::commands())
        .subcommand(rollout::command())
        .subcommand(check::command())
        .subcommand(cleanup::command())
        .subcommand(
            Command::new("explain")
                .about("Explains a validation rule, or lists all of them")
                .arg(Arg::new("rule").value_name("RULE").help("Code or name of the rule, such as WSK003"))
                .after_help(EXPLAIN_EXAMPLES),
        )
        .subcommand(explain_rules::command())
        .subcommand(
            Command::new("completion")
                .about("Prints the completion script of a shell")
                .arg(
                    Arg::new("shell")
                        .value_name("SHELL")
                        .required(true)
                        .help("The shell")
                        .value_parser(value_parser!(Shell)),
                )
                .after_help(COMPLETION_EXAMPLES),
        )
        .subcommand(Command::new("version").about("Prints the version").arg(output(&["text", "json"])))
}

/// The settings without a flag, exit codes and examples.
fn after_help() -> String {
    let without_flag = settings::ALL.iter().filter(|setting| setting.flag.is_empty());
    let lines: Vec<String> = without_flag
        .map(|setting| format!("  {}=<{}>  {}", setting.name(), setting.placeholder, setting.help_line()))
        .collect();
    format!("Environment only:\n{}\n\n{EXAMPLES}", lines.join("\n"))
}

/// The version of the program, as `--version` and the `version` subcommand print it.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn invocation(
    matches: &ArgMatches,
    environment: &Environment,
    mut errors: Vec<SettingError>,
) -> Result<Invocation, Vec<SettingError>> {
    let invocation = match matches.subcommand() {
        Some(("crds", matches)) => Invocation::Crds { dir: matches.get_one::<PathBuf>("dir").cloned() },
        Some((name @ ("validate" | "render" | "migrate"), matches)) => {
            match files::invocation(name, matches, environment) {
                Ok(invocation) => invocation,
                Err(more) => {
                    errors.extend(more);
                    return Err(errors);
                }
            }
        }
        Some((rollout::NAME, matches)) => match rollout::invocation(matches, environment) {
            Ok(command) => Invocation::Rollout(Box::new(command)),
            Err(more) => {
                errors.extend(more);
                return Err(errors);
            }
        },
        Some((check::NAME, matches)) => match check::invocation(matches, environment) {
            Ok(command) => Invocation::Check(Box::new(command)),
            Err(more) => {
                errors.extend(more);
                return Err(errors);
            }
        },
        Some((cleanup::NAME, matches)) => Invocation::Cleanup(cleanup::invocation(matches, environment)),
        Some((explain_rules::NAME, matches)) => match explain_rules::invocation(matches, environment) {
            Ok(command) => Invocation::ExplainRules(Box::new(command)),
            Err(more) => {
                errors.extend(more);
                return Err(errors);
            }
        },
        Some(("explain", matches)) => match explained(matches.get_one::<String>("rule")) {
            Ok(text) => Invocation::Print(text),
            Err(error) => {
                errors.push(error);
                return Err(errors);
            }
        },
        Some(("completion", matches)) => Invocation::Print(completion(matches)),
        Some((_, matches)) => Invocation::Print(version_as(matches.get_one::<String>("output"))),
        None => match Settings::load(matches, environment) {
            Ok(settings) => Invocation::Run(Box::new(settings)),
            Err(more) => {
                errors.extend(more);
                return Err(errors);
            }
        },
    };
    if errors.is_empty() { Ok(invocation) } else { Err(errors) }
}

fn explained(rule: Option<&String>) -> Result<String, SettingError> {
    let Some(text) = rule else { return Ok(explain::list()) };
    explain::find(text).map(explain::rule).map_err(|nearest| {
        let hint = nearest.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        let rule = format!("unknown rule{hint} (explain without a rule lists all)");
        SettingError { name: "explain".to_owned(), value: Some(text.clone()), rule }
    })
}

fn completion(matches: &ArgMatches) -> String {
    let mut script = Vec::new();
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command(), NAME, &mut script);
    }
    String::from_utf8_lossy(&script).into_owned()
}

fn version_as(format: Option<&String>) -> String {
    if format.is_none_or(|format| format == "text") {
        return format!("{NAME} {}\n", version());
    }
    let version = serde_json::json!({
        "name": NAME,
        "version": version(),
        "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION),
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
    });
    format!("{version:#}\n")
}

/// Go's flags may have one dash: `-leader-elect` is `--leader-elect`.
fn with_two_dashes(argument: OsString) -> OsString {
    let flag = argument.to_str().and_then(|text| text.strip_prefix('-'));
    match flag {
        Some(flag) if flag.len() > 1 && flag.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            format!("--{flag}").into()
        }
        _ => argument,
    }
}

/// The parser's error, which prints as a paragraph, in one line.
fn setting_error(error: &clap::Error) -> SettingError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument =
        context(ContextKind::InvalidArg).or_else(|| context(ContextKind::InvalidSubcommand)).unwrap_or_default();
    // For known flags the parser appends the usage: `--flag <VALUE>`.
    let name = argument.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let suggestion = context(ContextKind::SuggestedArg).or_else(|| context(ContextKind::SuggestedSubcommand));
    let value = context(ContextKind::InvalidValue).filter(|value| !value.is_empty());
    let rule = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand if name.starts_with('-') => match suggestion {
            Some(suggestion) => format!("unknown flag, did you mean {suggestion}? (--help lists all)"),
            None => "unknown flag (--help lists all)".to_owned(),
        },
        ErrorKind::ArgumentConflict if COMMANDS.contains(&name.as_str()) => {
            "cannot be used together with flags".to_owned()
        }
        ErrorKind::ArgumentConflict if name.starts_with('-') => "can be given only once, and conflicts with some other flags (--help)".to_owned(),
        ErrorKind::MissingRequiredArgument if name.contains("--check") => {
            "one of them is required: --check changes nothing, --hand-back prepares the way back".to_owned()
        }
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => {
            "unknown command; use crds, validate, render, migrate, rollout, check, cleanup, explain, explain-rules, completion, version or none, and write boolean flags as --flag=false".to_owned()
        }
        ErrorKind::MissingRequiredArgument if name.contains("--dry-run") => {
            "one of them is required: --dry-run changes nothing, --yes does what it prints".to_owned()
        }
        ErrorKind::MissingRequiredArgument => "required argument is missing (--help shows the usage)".to_owned(),
        ErrorKind::InvalidValue if value.is_some() => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) => format!("must be one of {}", valid.join(", ")),
            _ => "is not a valid value".to_owned(),
        },
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            "needs a value".to_owned()
        }
        ErrorKind::InvalidUtf8 => "must be UTF-8".to_owned(),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    let name = if name.is_empty() { "command line".to_owned() } else { name };
    let value = value.filter(|_| error.kind() == ErrorKind::InvalidValue);
    SettingError { name, value, rule }
}
