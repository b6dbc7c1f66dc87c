//! The commands of the program, and the one table of exit codes.
//!
//! A one-shot command computes its whole output before it writes any of it, so a closed pipe cannot change the exit
//! code; but for `rollout`, which says what it does while it does it, and `cleanup`, which says it before. Without a command the controller runs until it is stopped ([`app`]).

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crds::published::CRD_FILES;
use kube::Client;
use tokio::runtime::Builder;

use crate::api::inventory;
use crate::app::{self, RunError};
use crate::check::{self, Check};
use crate::cleanup::{self, Cleanup};
use crate::cli::Invocation;
use crate::client::Access;
use crate::config::SettingError;
use crate::hand_back::{self, HandBack};
use crate::offline::explain_rules::{self, ExplainRules};
use crate::offline::migrate::Migrate;
use crate::offline::{self, CommandOutput};
use crate::rollout::{self, Ending, Rollout};
use crate::shutdown;
use crate::tls;

/// The result of the program; the table in `docs/install.md` has them by code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExitStatus {
    /// No findings that count, or an orderly shutdown.
    Success,
    /// `validate`, `render`, `migrate`, `check` and `explain-rules`: there are findings that count; `rollout`: not all is restarted and
    /// available again.
    Findings,
    /// The controller failed after it had started; a restart may help.
    RunFailed,
    /// Flags, arguments or settings are wrong; a restart does not help.
    WrongSettings,
    /// Something could not be read or written, so the output is incomplete. Outranks findings.
    ReadOrWriteFailed,
    /// A signal stopped `rollout` before its end.
    Stopped,
}

impl ExitStatus {
    /// The code that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Findings | Self::RunFailed => 1,
            Self::WrongSettings => 2,
            Self::ReadOrWriteFailed => 3,
            Self::Stopped => 4,
        }
    }

    fn of(output: &CommandOutput) -> Self {
        if output.has_unreadable {
            Self::ReadOrWriteFailed
        } else if output.has_findings {
            Self::Findings
        } else {
            Self::Success
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// Runs a command, or the controller.
pub fn start(invocation: Invocation) -> ExitStatus {
    match invocation {
        Invocation::Run(settings) => match app::run(*settings) {
            Ok(()) => ExitStatus::Success,
            Err(RunError::Settings(errors)) => refuse(&errors),
            Err(RunError::Failed) => ExitStatus::RunFailed,
        },
        Invocation::Validate(mut validate) => {
            validate.options.colours = wants_colours();
            print_output(&offline::validate::run(&validate, &mut io::stdin().lock()))
        }
        Invocation::Render(render) => print_output(&offline::render::run(&render, &mut io::stdin().lock())),
        Invocation::Migrate(migrate) => check_migration(*migrate),
        Invocation::HandBack(command) => hand_back(&command),
        Invocation::Rollout(command) => roll_out(&command),
        Invocation::Check(command) => check(&command),
        Invocation::Cleanup(command) => clean_up(&command),
        Invocation::ExplainRules(command) => explain_rules(&command),
        Invocation::Print(text) => print(&text),
        Invocation::Crds { dir: None } => print(&CRD_FILES.map(|(_, yaml)| yaml).join("---\n")),
        Invocation::Crds { dir: Some(dir) } => write_crds(&dir),
    }
}

/// Prints one line for each error in flags or settings.
pub fn refuse(errors: &[SettingError]) -> ExitStatus {
    for error in errors {
        print_error(&error.to_string());
    }
    ExitStatus::WrongSettings
}

/// Whether to colour what is printed, see <https://no-color.org>.
fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
}

/// Checks files or a cluster.
fn check_migration(mut migrate: Migrate) -> ExitStatus {
    migrate.options.colours = wants_colours();
    let read =
        |kubeconfig: &Option<PathBuf>| on_cluster(kubeconfig.as_deref(), async |client| inventory::read(&client).await);
    let stored = match migrate.cluster.as_ref().map(read) {
        None => Vec::new(),
        Some(Ok(stored)) => stored,
        Some(Err(error)) => return fail(&error),
    };
    print_output(&offline::migrate::run(&migrate, stored, &mut io::stdin().lock()))
}

/// Explains the activity rules of a kind in files or on a cluster.
fn explain_rules(command: &ExplainRules) -> ExitStatus {
    if !command.files.is_empty() {
        return match explain_rules::run(command, &mut io::stdin().lock()) {
            Ok(output) => print_output(&output),
            Err(error) => refuse(&[error]),
        };
    }
    let name = command.kind.as_deref().unwrap_or_default();
    let read = on_cluster(command.kubeconfig.as_deref(), async |client| inventory::kind(&client, name).await);
    let explained = match read {
        Ok(Ok(kind)) => explain_rules::explain(&kind, &command.workspace),
        Ok(Err(names)) => Err(explain_rules::no_kind(name, names.iter().map(String::as_str))),
        Err(error) => return fail(&error),
    };
    match explained {
        Ok(output) => print_output(&output),
        Err(error) => refuse(&[error]),
    }
}

/// Why nothing came of the work on a cluster.
enum ClusterError {
    /// The kubeconfig is missing or wrong.
    Settings(SettingError),
    /// A request failed, or was not sent for a reason.
    Request(String),
}

/// Prepares a cluster for the Go controller.
fn hand_back(command: &HandBack) -> ExitStatus {
    let done =
        on_cluster(command.kubeconfig.as_deref(), async |client| hand_back::run(&client, command, print_note).await);
    match done {
        Ok(output) => print_output(&output),
        Err(error) => fail(&error),
    }
}

/// Says whether an installation works.
fn check(command: &Check) -> ExitStatus {
    let done =
        on_cluster(command.kubeconfig.as_deref(), async |client| Ok(check::run(&client, command, print_note).await));
    match done {
        Ok(output) => print_output(&output),
        Err(error) => fail(&error),
    }
}

/// Takes away what an installation leaves behind.
fn clean_up(command: &Cleanup) -> ExitStatus {
    // A list that nobody reads is no reason to stop half-way.
    let print = |text: &str| drop(write(text, &mut io::stdout().lock()));
    let done = on_cluster(command.kubeconfig.as_deref(), async |client| {
        cleanup::run(&client, command, print, print_note).await
    });
    match done {
        Ok(output) => print_output(&output),
        Err(error) => fail(&error),
    }
}

/// Restarts the Workspaces of a kind.
fn roll_out(command: &Rollout) -> ExitStatus {
    let done = on_cluster(command.kubeconfig.as_deref(), async |client| {
        let signals = shutdown::signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
        rollout::run(&client, command, signals).await
    });
    match done {
        Ok(Ok(Ending::Complete)) => ExitStatus::Success,
        Ok(Ok(Ending::Incomplete)) => ExitStatus::Findings,
        Ok(Ok(Ending::Stopped)) => ExitStatus::Stopped,
        Ok(Ok(Ending::Failed(reason))) => fail(&ClusterError::Request(reason)),
        Ok(Err(fault)) => refuse(&[fault]),
        Err(error) => fail(&error),
    }
}

/// Prints why nothing came of the work on a cluster.
fn fail(error: &ClusterError) -> ExitStatus {
    match error {
        ClusterError::Settings(fault) => refuse(std::slice::from_ref(fault)),
        ClusterError::Request(reason) => {
            print_error(reason);
            ExitStatus::ReadOrWriteFailed
        }
    }
}

/// Runs what a command does on a cluster. Its error is a sentence for the user.
fn on_cluster<T>(
    kubeconfig: Option<&Path>,
    work: impl AsyncFnOnce(Client) -> Result<T, String>,
) -> Result<T, ClusterError> {
    tls::install_crypto_provider();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ClusterError::Request(error.to_string()))?;
    runtime.block_on(async {
        let access = Access::configure(kubeconfig).await.map_err(ClusterError::Settings)?;
        let client = access.client().map_err(ClusterError::Settings)?;
        work(client).await.map_err(ClusterError::Request)
    })
}

fn write_crds(dir: &Path) -> ExitStatus {
    for (name, yaml) in CRD_FILES {
        let path = dir.join(name);
        if let Err(error) = std::fs::write(&path, yaml) {
            print_error(&format!("{}: {error}", path.display()));
            return ExitStatus::ReadOrWriteFailed;
        }
    }
    ExitStatus::Success
}

fn print(text: &str) -> ExitStatus {
    print_output(&CommandOutput { stdout: text.to_owned(), ..CommandOutput::default() })
}

fn print_output(output: &CommandOutput) -> ExitStatus {
    // Errors first: behind thousands of objects they would be missed.
    let stderr = write(&output.stderr, &mut io::stderr().lock()).map_err(|error| format!("standard error: {error}"));
    let stdout = write(&output.stdout, &mut io::stdout().lock()).map_err(|error| format!("standard output: {error}"));
    match stderr.and(stdout) {
        Ok(()) => ExitStatus::of(output),
        Err(error) => {
            print_error(&error);
            ExitStatus::ReadOrWriteFailed
        }
    }
}

fn print_note(note: &str) {
    // As with errors.
    let _ = write(&format!("note: {note}\n"), &mut io::stderr().lock());
}

fn print_error(error: &str) {
    // A failure to write here cannot be reported anywhere.
    let _ = write(&format!("error: {error}\n"), &mut io::stderr().lock());
}

/// Writes all of a text. A closed pipe is not an error: the reader has read enough.
fn write(text: &str, stream: &mut dyn Write) -> io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
