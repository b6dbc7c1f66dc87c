//! Child processes that are killed when our process exits, however it exits.
//!
//! Each process has a shell as its parent, which holds the reading end of a pipe whose writing end is ours alone. When
//! the pipe is closed, by us or because our process is gone (SIGKILL included), the shell kills the process. Another
//! shell, the janitor, removes the data directory in the same way, once every process that used it has exited.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use crate::error::{Doing as _, tail};
use crate::{Error, Result, wait_for};

pub use rustix::process::Signal;

/// `$1`: the file that holds the process id while the process runs; the rest: its command line.
const GUARD: &str = r#"
running=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
process=$!
echo $process >"$running.new" && mv "$running.new" "$running"
( read -r _ <&3; kill -KILL $process ) >/dev/null 2>&1 &
watcher=$!
exec 3<&- </dev/null
wait $process
status=$?
kill -KILL $watcher 2>/dev/null
rm -f "$running"
exit $status
"#;

/// `$1`: the data directory; its folder `run` holds the files of [`GUARD`]. Gives up after ten seconds of each loop.
const JANITOR: &str = r#"
read -r _
tries=200
while [ $tries -gt 0 ] && [ -n "$(ls -A "$1/run" 2>/dev/null)" ]; do tries=$((tries - 1)); sleep 0.05; done
tries=200
until rm -rf "$1" 2>/dev/null && [ ! -e "$1" ]; do
  tries=$((tries - 1)); [ $tries -gt 0 ] || exit 1
  sleep 0.05
done
"#;

/// The exit status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// What to run.
pub(crate) struct Program<'a> {
    pub name: &'a str,
    pub path: &'a Path,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// The data directory: the log and the process id are kept below it.
    pub dir: &'a Path,
}

/// A process that is killed when this value is dropped, and when our own process exits for whatever reason.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: String,
    guard: Child,
    pipe: Option<ChildStdin>,
    running: PathBuf,
    log: PathBuf,
    exit: Option<Exit>,
}

impl Supervised {
    /// Starts the program; its output goes to `<dir>/logs/<name>.log`.
    pub fn start(program: &Program<'_>) -> Result<Self> {
        let name = program.name;
        let running = program.dir.join("run").join(name);
        let log = program.dir.join("logs").join(format!("{name}.log"));
        for folder in [running.parent(), log.parent()].into_iter().flatten() {
            std::fs::create_dir_all(folder).doing(|| format!("cannot create {}", folder.display()))?;
        }
        let output = File::create(&log).doing(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().doing(|| format!("cannot share {}", log.display()))?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&running)
            .arg(program.path)
            .args(&program.args)
            .env_clear()
            .envs(inherited())
            .envs(program.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C reaches the foreground process group: these processes end through the pipe instead.
            .process_group(0)
            .spawn()
            .doing(|| format!("cannot start {name}"))?;
        let pipe = guard.stdin.take();
        Ok(Self { name: name.to_owned(), guard, pipe, running, log, exit: None })
    }

    /// Its exit status, or `None` while it runs.
    pub fn exited(&mut self) -> Result<Option<Exit>> {
        if self.exit.is_none() {
            let status = self.guard.try_wait().doing(|| format!("cannot ask for the state of {}", self.name))?;
            self.exit = status.map(exit_of_guard);
        }
        Ok(self.exit)
    }

    /// Waits until it has exited.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<Exit> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, timeout, || match self.exited() {
            Ok(Some(exit)) => Ok(exit),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// An error with the end of the log if it has exited.
    pub fn must_run(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(exit) => Err(self.failed(&format!("exited early ({exit:?})"))),
        }
    }

    /// An error about this process with the end of its log.
    pub fn failed(&self, why: &str) -> Error {
        Error::Process { process: self.name.clone(), why: why.to_owned(), log: tail(&self.log, 40) }
    }

    /// Its process id (not that of the shell in front of it).
    pub fn pid(&mut self) -> Result<Pid> {
        let what = format!("the process id of {}", self.name);
        let running = self.running.clone();
        wait_for(&what, Duration::from_secs(10), || {
            if let Err(dead) = self.must_run() {
                return Ok(Err(dead));
            }
            let text = std::fs::read_to_string(&running).map_err(|error| error.to_string())?;
            let number = text.trim().parse().map_err(|_| format!("no process id: {text:?}"))?;
            Pid::from_raw(number).map(Ok).ok_or_else(|| format!("no process id: {text:?}"))
        })?
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        let pid = self.pid()?;
        kill_process(pid, signal)
            .map_err(std::io::Error::from)
            .doing(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Asks the shell in front of it to kill it, without waiting.
    pub fn close(&mut self) {
        drop(self.pipe.take());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.close();
        let _ = self.guard.wait();
    }
}

/// Removes a directory when this value is dropped, and when our own process exits for whatever reason.
#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
    dir: PathBuf,
}

impl Janitor {
    pub fn of(dir: &Path) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .doing(|| "cannot start the shell that cleans up".to_owned())?;
        Ok(Self { shell, dir: dir.to_owned() })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let started = Instant::now();
        let status = self.shell.wait();
        if !status.is_ok_and(|status| status.success()) {
            crate::say(&format!("{} was not removed ({:?})", self.dir.display(), started.elapsed()));
        }
    }
}

/// The variables of our environment that a supervised process gets: where programs and temporary files are, and
/// coverage's output.
fn inherited() -> impl Iterator<Item = (String, String)> {
    ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
}

/// The shell reports a process killed by a signal as 128 plus the signal's number.
fn exit_of_guard(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) => Exit::Signal(code - 128),
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}
