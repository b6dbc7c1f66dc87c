//! Commands that run to completion: kubectl, helm and the like.

use std::process::{Command, Stdio};

use crate::error::Doing as _;
use crate::{Error, Result};

/// The exit status and the output of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// True for exit code 0.
    pub success: bool,
    /// The exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    command: String,
}

impl Output {
    /// Its standard output, or an error with all of its output.
    pub fn ok(self) -> Result<String> {
        if self.success {
            return Ok(self.stdout);
        }
        Err(Error::Command {
            command: self.command,
            status: self.code.map_or("a signal".to_owned(), |code| format!("exit code {code}")),
            stdout: self.stdout,
            stderr: self.stderr,
        })
    }
}

/// Runs a command to completion. A separate thread writes the input, so that neither side blocks the other.
pub fn run(mut command: Command, stdin: Option<&str>) -> Result<Output> {
    use std::io::Write as _;
    let shown = shown(&command);
    let doing = || format!("cannot run {shown}");
    let mut child = command
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(doing)?;
    let pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
            // A program need not read all of its input.
            scope.spawn(move || pipe.write_all(text.as_bytes()).is_ok());
        }
        child.wait_with_output()
    })
    .doing(doing)?;
    Ok(Output {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: shown,
    })
}

/// The program's name without its folder, then its arguments.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}
