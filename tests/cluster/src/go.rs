//! Builds a program from a Go module of `tests/tools`, once for each state of the module's pin.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::{Doing as _, read, write};
use crate::{Error, Result, say};

/// How often a long build reports that it is still running.
const STILL_BUILDING: Duration = Duration::from_secs(20);

/// Runs `$2...` and ends its whole process group when our end of the pipe is closed: an abandoned build
/// must not continue in the background.
const BUILD_GUARD: &str = r#"
exec 3<&0
( read -r _ <&3; kill -KILL -$$ ) >/dev/null 2>&1 &
watcher=$!
"$@" 3<&- </dev/null
status=$?
kill -KILL $watcher 2>/dev/null
exit $status
"#;

/// A Go module of `tests/tools` and the folder of the cache for its present state.
pub(crate) struct Module {
    source: PathBuf,
    cache: Cache,
    ldflags: String,
    tags: &'static str,
}

impl Module {
    pub fn open(name: &str) -> Result<Self> {
        Self::open_with_tags(name, "")
    }

    /// With Go's build tags, a comma-separated list.
    pub fn open_with_tags(name: &str, tags: &'static str) -> Result<Self> {
        let source = crate::workspace_root().join("tests/tools").join(name);
        let ldflags = ldflags(&read(&source.join("go.mod"))?);
        let cache = Cache::open(name, &source, &["go", "mod", "sum"], &format!("{ldflags}{tags}"))?;
        Ok(Self { source, cache, ldflags, tags })
    }

    /// The built program, from the cache if it is there.
    pub fn program(&self, name: &str, package: &str) -> Result<PathBuf> {
        self.cache.once(name, |partial| {
            say(&format!("{name}: building (once, for the cache {})", self.cache.folder().display()));
            let started = Instant::now();
            let packages = self.build(name, package, partial)?;
            say(&format!("{name}: built in {} s ({packages} packages)", started.elapsed().as_secs()));
            Ok(())
        })
    }

    /// A file made from the content of a required module, without building anything.
    pub fn file(&self, name: &str, from: &str, make: impl FnOnce(&Path) -> Result<String>) -> Result<PathBuf> {
        self.cache.once(name, |partial| {
            let folder = self.download(from)?;
            write(partial, make(&folder)?)?;
            say(&format!("{name}: taken from the Go module {from}"));
            Ok(())
        })
    }

    /// Returns the number of packages that had to be compiled.
    fn build(&self, name: &str, package: &str, output: &Path) -> Result<usize> {
        let mut go = Command::new("sh")
            .args(["-c", BUILD_GUARD, "build", "go", "build", "-v", "-trimpath", "-buildvcs=false"])
            .args(["-tags", self.tags, "-ldflags", &self.ldflags, "-o"])
            .arg(output)
            .arg(package)
            .envs(GO_ENVIRONMENT)
            .current_dir(&self.source)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing(|| "cannot start a shell".to_owned())?;
        // Kept open until the end: when it is closed, the guard kills the build.
        let pipe = go.stdin.take();
        let lines = go.stderr.take().map_or_else(Vec::new, |output| follow(name, output));
        let status = go.wait().doing(|| format!("cannot wait for {name}"))?;
        drop(pipe);
        if status.success() {
            let compiled = |line: &&String| !line.starts_with("go: downloading");
            return Ok(lines.iter().filter(compiled).count());
        }
        let why = if status.code() == Some(127) {
            NO_GO.to_owned()
        } else {
            let from = lines.len().saturating_sub(20);
            format!("go build exited with {status}\n{}", lines[from..].join("\n"))
        };
        Err(Error::Build { program: name.to_owned(), why })
    }

    /// The folder of a required module's content.
    pub fn download(&self, module: &str) -> Result<PathBuf> {
        let failed = |why: String| Error::Build { program: module.to_owned(), why };
        let output = Command::new("go")
            .args(["mod", "download", "-json", module])
            .envs(GO_ENVIRONMENT)
            .current_dir(&self.source)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => failed(NO_GO.to_owned()),
                _ => failed(error.to_string()),
            })?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["Dir"].as_str().map(PathBuf::from).ok_or_else(|| {
            let reason = answer["Error"].as_str().map(str::to_owned);
            failed(reason.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned()))
        })
    }
}

/// Collects the output of `go build -v` (a line for each package it compiles) until it exits, and reports progress now
/// and then.
fn follow(name: &str, output: ChildStderr) -> Vec<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let started = Instant::now();
    let mut said = started;
    let mut lines = Vec::new();
    loop {
        match receiver.recv_timeout(STILL_BUILDING.saturating_sub(said.elapsed())) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Disconnected) => return lines,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if said.elapsed() >= STILL_BUILDING {
            said = Instant::now();
            let seconds = started.elapsed().as_secs();
            let last = lines.last().map_or("nothing to compile so far", String::as_str);
            say(&format!("{name}: {seconds} s, {} packages, the last one {last}", lines.len()));
        }
    }
}

const NO_GO: &str =
    "`go` was not found in PATH; install Go 1.26 or newer (the control plane's servers are built with it, once)";

/// The pin is exact, so Go must neither fetch another toolchain nor use a workspace file around the checkout.
const GO_ENVIRONMENT: [(&str, &str); 3] = [("GOTOOLCHAIN", "local"), ("GOWORK", "off"), ("CGO_ENABLED", "0")];

/// Kubernetes' programs get their version from the linker only; without it kubectl and the API server report v0.0.0.
fn ldflags(go_mod: &str) -> String {
    let mut flags = "-s -w".to_owned();
    let version = go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix("k8s.io/kubernetes v"))
        .map(|version| version.split_whitespace().next().unwrap_or(version));
    if let Some(version) = version {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
        for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
            for (name, value) in
                [("gitVersion", format!("v{version}")), ("gitMajor", major.to_owned()), ("gitMinor", minor.to_owned())]
            {
                let _ = write!(flags, " -X {package}.{name}={value}");
            }
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_pin() {
        let flags = ldflags("module tools\n\nrequire (\n\tk8s.io/kubernetes v1.34.4 // indirect\n)\n");
        assert!(flags.contains(" -X k8s.io/component-base/version.gitVersion=v1.34.4 "), "{flags}");
        assert!(flags.contains("version.gitMinor=34"), "{flags}");
        assert_eq!(ldflags("module tools\n"), "-s -w");
    }
}
