//! What can go wrong with the control plane itself. A test unwraps it, so `Debug` reads like `Display`.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the control plane, or a request to it, failed. Every message says what to check.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file or process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A program could not be built.
    #[error("cannot build {program}: {why}")]
    Build {
        /// The program's name.
        program: String,
        /// The output of Go, or what is missing.
        why: String,
    },
    /// Certificates or keys could not be issued.
    #[error("cannot issue {what}: {why}")]
    Issue {
        /// What for.
        what: String,
        /// The reason.
        why: String,
    },
    /// A server or the controller exited, or did not become ready.
    #[error("{process} {why}; the end of its log:\n{log}")]
    Process {
        /// Its name.
        process: String,
        /// What happened.
        why: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A command of ours (kubectl, for one) failed.
    #[error("`{command}` failed with {status}\nstdout: {stdout}\nstderr: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it printed.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// The API server answered with an error.
    #[error("{method} {path}: {status} {message}")]
    Api {
        /// The HTTP method.
        method: &'static str,
        /// The request path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The message of the `Status`, or the unchanged body.
        message: String,
    },
    /// A request got no answer.
    #[error("{method} {path}: {why}")]
    Request {
        /// The HTTP method.
        method: &'static str,
        /// The request path or URL.
        path: String,
        /// The error of the client.
        why: String,
    },
    /// A condition did not come true in time.
    #[error("waited {after:?} for {what}; last seen: {last}")]
    Timeout {
        /// The condition.
        what: String,
        /// How long.
        after: Duration,
        /// What was observed instead.
        last: String,
    },
    /// The caller named something that does not exist.
    #[error("{0}")]
    Unknown(String),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Adds what was being done when the system returned an error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

/// Reads a whole text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).doing(|| format!("cannot read {}", path.display()))
}

/// Writes a whole file that only its owner may read: most of what is written here is a key or a token.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_ref()))
        .doing(|| format!("cannot write {}", path.display()))
}

/// The last `lines` lines of a log file; empty if there is none.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let content = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
