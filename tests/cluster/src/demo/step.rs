//! One step: a line of narration, the command as one types it, and what it prints.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::error::Doing as _;
use crate::{ADMIN, Cluster, Error, Output, Result, run, workspace_root};

/// How narration is highlighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With the colours of a terminal.
    Terminal,
}

/// Where the demo is printed.
pub(super) struct Screen<'a, W> {
    cluster: &'a Cluster,
    out: W,
    style: Style,
    begun: bool,
}

/// The output of a command, both streams interleaved, and whether it succeeded.
pub(super) struct CommandOutput {
    pub text: String,
    pub success: bool,
    pub command: String,
}

impl<'a, W: Write> Screen<'a, W> {
    pub fn new(cluster: &'a Cluster, out: W, style: Style) -> Self {
        Self { cluster, out, style, begun: false }
    }

    /// A line about what comes next.
    pub fn say(&mut self, narration: &str) -> Result<()> {
        let gap = if std::mem::replace(&mut self.begun, true) { "\n" } else { "" };
        match self.style {
            Style::Plain => writeln!(self.out, "{gap}# {narration}"),
            Style::Terminal => writeln!(self.out, "{gap}\x1b[1m# {narration}\x1b[0m"),
        }
        .doing(cannot_print)
    }

    /// Runs a command in the checkout, with this control plane's kubectl and kubeconfig, and shows what it prints.
    pub fn run(&mut self, command: &str) -> Result<CommandOutput> {
        let prompt = match self.style {
            Style::Plain => format!("$ {command}"),
            Style::Terminal => format!("\x1b[32m$\x1b[0m {command}"),
        };
        writeln!(self.out, "{prompt}").and_then(|()| self.out.flush()).doing(cannot_print)?;
        let mut shell = Command::new("sh");
        // Both streams in one, as on a terminal.
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(workspace_root())
            .env("PATH", path(&self.cluster.tools().kubectl)?)
            .env("KUBECONFIG", self.cluster.kubeconfig(ADMIN)?)
            .env("HOME", self.cluster.dir().join("home"));
        let Output { stdout: text, success, .. } = run(shell, None)?;
        let end = if text.ends_with('\n') { "" } else { "\n" };
        write!(self.out, "{text}{end}").and_then(|()| self.out.flush()).doing(cannot_print)?;
        Ok(CommandOutput { text, success, command: command.to_owned() })
    }
}

fn cannot_print() -> String {
    "cannot print the demo".to_owned()
}

/// `PATH` with the folder of kubectl in front.
fn path(kubectl: &Path) -> Result<OsString> {
    let folders = kubectl.parent().map(Path::to_owned).into_iter();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folders.chain(std::env::split_paths(&inherited)))
        .map_err(|error| Error::Unknown(format!("PATH cannot hold the folder of kubectl: {error}")))
}

/// An error with the whole output, unless it is as expected.
pub(super) fn expect(fits: bool, what: &str, answer: &CommandOutput) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::Unknown(format!("expected {what}, but `{}` printed:\n{}", answer.command, answer.text)))
}
