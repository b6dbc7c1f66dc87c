//! The command line: what to do, and with which settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::settings;
use crate::config::{Environment, Fault, Settings};

const EXAMPLES: &str = "\
Flags win over environment variables; an empty variable counts as unset. Flags may be written with one or two dashes.

Examples:
  workspaces-controller --kubeconfig ~/.kube/config --webhook-cert-dir ./certs
  workspaces-controller --istio-gateway istio-system/public --istio-hosts notebooks.example.com
  USE_ISTIO=false workspaces-controller --metrics-bind-address=0
  workspaces-controller crds | kubectl apply --server-side -f -
  workspaces-controller crds --dir ./crds";

/// Everything that is not a run.
const COMMANDS: [&str; 2] = ["crds", "version"];

/// What the user asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// Run until told to stop.
    Run(Box<Settings>),
    /// Print the CRDs, or write them into a directory.
    Crds {
        /// Where to; `None` is the standard output.
        dir: Option<PathBuf>,
    },
    /// Print a text (help or version) and end.
    Print(String),
}

/// Reads the command line, the program's name first. Every fault is found in one go.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Invocation, Vec<Fault>> {
    let mut arguments: Vec<OsString> = arguments.into_iter().map(with_two_dashes).collect();
    let mut faults = Vec::new();
    loop {
        let error = match command().try_get_matches_from(&arguments) {
            Ok(matches) => return invocation(&matches, environment, faults),
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Ok(Invocation::Print(error.to_string()));
        }
        let fault = fault_of(&error);
        // The parser stops at the first argument it does not like: look at the others without it.
        let liked = arguments.iter().skip(1).position(|argument| argument.to_string_lossy().starts_with(&fault.name));
        faults.push(fault);
        match liked {
            Some(index) => drop(arguments.remove(index + 1)),
            None => return Err(faults),
        }
    }
}

fn command() -> Command {
    let dir = Arg::new("dir").long("dir").value_name("DIR").value_parser(value_parser!(PathBuf));
    Command::new("workspaces-controller")
        .version(version())
        .about(
            "Validates WorkspaceKinds and Workspaces at admission, makes Workspaces real, and routes people to them.",
        )
        .after_help(after_help())
        .args(settings::arguments())
        .args_conflicts_with_subcommands(true)
        .max_term_width(120)
        .subcommand(
            Command::new("crds")
                .about("Prints the CustomResourceDefinitions as YAML")
                .arg(dir.help("Write one file for each kind into this directory instead")),
        )
        .subcommand(Command::new("version").about("Prints the version"))
}

/// What has no flag, and examples.
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
    mut faults: Vec<Fault>,
) -> Result<Invocation, Vec<Fault>> {
    let invocation = match matches.subcommand() {
        Some(("crds", matches)) => Invocation::Crds { dir: matches.get_one::<PathBuf>("dir").cloned() },
        Some(_) => Invocation::Print(format!("workspaces-controller {}\n", version())),
        None => match Settings::load(matches, environment) {
            Ok(settings) => Invocation::Run(Box::new(settings)),
            Err(more) => {
                faults.extend(more);
                return Err(faults);
            }
        },
    };
    if faults.is_empty() { Ok(invocation) } else { Err(faults) }
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

/// One line for what the parser prints as a paragraph.
fn fault_of(error: &clap::Error) -> Fault {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument =
        context(ContextKind::InvalidArg).or_else(|| context(ContextKind::InvalidSubcommand)).unwrap_or_default();
    // For known flags the parser adds how to write them: `--flag <VALUE>`.
    let name = argument.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let suggestion = context(ContextKind::SuggestedArg).or_else(|| context(ContextKind::SuggestedSubcommand));
    let rule = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand if name.starts_with('-') => match suggestion {
            Some(suggestion) => format!("no such flag, did you mean {suggestion}? (--help lists all)"),
            None => "no such flag (--help lists all)".to_owned(),
        },
        ErrorKind::ArgumentConflict if COMMANDS.contains(&name.as_str()) => {
            "cannot be used together with flags".to_owned()
        }
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => {
            "no such command; use crds, version or none, and write boolean flags as --flag=false".to_owned()
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            "needs a value".to_owned()
        }
        ErrorKind::InvalidUtf8 => "must be UTF-8".to_owned(),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    let name = if name.is_empty() { "command line".to_owned() } else { name };
    Fault { name, value: None, rule }
}
