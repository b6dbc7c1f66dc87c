//! The built program, run without a cluster unless a test passes one.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{DAY, leaf, new_ca};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_workspaces-controller");

/// A shell between the test and the program: it kills the program when the pipe is closed, so a killed test leaves no process.
const GUARD: &str = r#"
limit=$1; shift
exec 3<&0
ulimit -n "$limit"
"$@" </dev/null 3<&- &
pid=$!
(cat <&3 >/dev/null; kill -9 $pid 2>/dev/null) </dev/null >/dev/null 2>&1 &
echo $pid
wait $pid; code=$?
exit $code
"#;

/// How to run it.
pub struct Binary {
    dir: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    descriptors: usize,
    ca_pem: String,
}

/// A running program. Killed when dropped.
pub struct Running {
    guard: Child,
    pipe: Option<ChildStdin>,
    pub pid: String,
    log: Arc<Mutex<String>>,
    _dir: TempDir,
    pub ca_pem: String,
}

/// Where it listens.
pub struct Listening {
    pub webhook: SocketAddr,
    pub health: SocketAddr,
    pub metrics: SocketAddr,
    pub status: SocketAddr,
}

impl Binary {
    /// With a valid certificate and a kubeconfig whose API server does not exist.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = new_ca();
        let issued = leaf(&ca, DAY);
        std::fs::create_dir(dir.path().join("certs")).unwrap();
        std::fs::write(dir.path().join("certs/tls.crt"), &issued.chain_pem).unwrap();
        std::fs::write(dir.path().join("certs/tls.key"), &issued.key_pem).unwrap();
        std::fs::write(dir.path().join("kubeconfig"), unreachable_kubeconfig()).unwrap();
        let arguments = vec![
            "--webhook-bind-address=127.0.0.1:0".to_owned(),
            "--health-probe-bind-address=127.0.0.1:0".to_owned(),
            "--metrics-bind-address=127.0.0.1:0".to_owned(),
            "--status-bind-address=127.0.0.1:0".to_owned(),
            format!("--webhook-cert-dir={}", dir.path().join("certs").display()),
            format!("--kubeconfig={}", dir.path().join("kubeconfig").display()),
        ];
        Self { dir, arguments, environment: Vec::new(), descriptors: 4096, ca_pem: ca.cert_pem() }
    }

    /// The file descriptors it may open.
    pub fn descriptors(mut self, descriptors: usize) -> Self {
        self.descriptors = descriptors;
        self
    }

    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder of the certificate.
    pub fn cert_dir(&self) -> PathBuf {
        self.dir.path().join("certs")
    }

    /// Starts it with logs in JSON.
    pub fn start(self) -> Running {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh", &self.descriptors.to_string(), PROGRAM])
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, seen) = (BufReader::new(guard.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *seen.lock().unwrap() += &(line + "\n");
            }
        });
        let pipe = guard.stdin.take();
        Running { guard, pipe, pid: pid.trim().to_owned(), log, _dir: self.dir, ca_pem: self.ca_pem }
    }
}

/// Runs it until it exits, with only these arguments and variables.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

/// For a port without a listener.
pub fn unreachable_kubeconfig() -> String {
    kubeconfig_for("https://127.0.0.1:1")
}

fn kubeconfig_for(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: x, cluster: {{server: \"{url}\"}}}}]\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
         users: [{{name: x, user: {{token: not-a-secret}}}}]\n"
    )
}

impl Running {
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for the first log line with that text.
    pub fn wait_log(&self, text: &str, limit: Duration) -> String {
        let began = Instant::now();
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < limit, "{text:?} is not logged within {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn listening(&self) -> Listening {
        let line: Value =
            serde_json::from_str(&self.wait_log("\"message\":\"listening\"", Duration::from_secs(20))).unwrap();
        let address = |field: &str| line[field].as_str().unwrap().parse().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        Listening {
            webhook: address("webhook_address"),
            health: address("health_address"),
            metrics: address("metrics_address"),
            status: address("status_address"),
        }
    }

    /// Status and body of a path, over plain HTTP.
    pub async fn get(&self, address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let answer =
            crate::client::exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await.unwrap();
        (answer.status, answer.body)
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid]).status().unwrap().success());
    }

    pub fn must_run(&self) {
        assert!(
            Command::new("kill").args(["-0", &self.pid]).status().unwrap().success(),
            "it has exited:\n{}",
            self.log()
        );
    }

    /// Waits for its exit code.
    pub fn wait_exit(&mut self, limit: Duration) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.guard.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(began.elapsed() < limit, "it has not exited within {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without its pipe the guard kills the program.
        drop(self.pipe.take());
        let _ = self.guard.wait();
    }
}
