//! The product's binary, run with exactly the arguments and the environment that a test gives it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use cluster::wait_for;

/// Kills the program when our end of the pipe is closed, also because this process was killed.
const GUARD: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
process=$!
( read -r _ <&3; kill -KILL $process ) >/dev/null 2>&1 &
watcher=$!
trap 'kill -TERM $process' TERM
until wait $process; status=$?; ! kill -0 $process 2>/dev/null; do :; done
kill -KILL $watcher 2>/dev/null
exit $status
"#;

/// A running binary.
pub struct Process {
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; its output goes to `log`.
    pub fn start(binary: &Path, args: Vec<String>, env: Vec<(String, String)>, log: PathBuf) -> Self {
        let output = std::fs::File::create(&log).unwrap();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(binary)
            .args(args)
            .env_clear()
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { guard, log }
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Fails the test, with the log, if it has exited.
    pub fn must_run(&mut self) {
        if let Some(status) = self.guard.try_wait().unwrap() {
            panic!("the controller exited early ({status}):\n{}", self.log());
        }
    }

    /// Waits until `/readyz` reports it ready.
    pub fn wait_ready(&mut self, health_port: u16, timeout: Duration) {
        let ready = wait_for("the controller to be ready", timeout, || {
            self.must_run();
            match get(health_port, "/readyz") {
                Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => Ok(()),
                Ok(answer) => Err(answer),
                Err(error) => Err(error.to_string()),
            }
        });
        ready.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Waits until it exits by itself.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        wait_for("the end of the controller", timeout, || self.guard.try_wait().unwrap().ok_or("still running"))
            .unwrap()
    }

    /// Sends SIGTERM and returns the exit status.
    pub fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        let pid = self.guard.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.wait(timeout)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The answer to a request to 127.0.0.1, head and body.
pub fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
