//! Runs a script or a command in the container of a Workspace, through the API server, to find out whether it is in use.
//!
//! A WebSocket cannot close the standard input of what it runs, so the script travels as an argument. Closing it does not end
//! what runs, either: a shell in the container does that.

use std::time::Duration;

use crds::activity::shebang;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use k8s_openapi::jiff::Timestamp;
use kube::api::AttachParams;
use kube::client::UpgradeConnectionError;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, copy, sink};

use super::policy::EXEC_TIMEOUT_MAX;
use super::probe;
use super::report::{Found, ProbeFailure, ProbeReport};
use crate::stores::pod::MAIN;

/// For the requests before and after what runs.
const ROUND_TRIP: Duration = Duration::from_secs(5);
/// The longest JSON that is read. The shell sends one byte more, to show that there is more.
const JSON_MAX: usize = 64 << 10;
/// The first line of the shell, and the JSON.
const OUTPUT_MAX: u64 = JSON_MAX as u64 + (1 << 10);

/// Runs a program for at most `$1` seconds. Then it prints one line, its exit code, and the JSON that a script wrote. `$2` names a
/// directory that does not exist yet; `$3` is the script, or empty; the rest is the program, which gets the path of the script as
/// its last argument. What it prints is dropped.
///
/// A bare POSIX shell is enough, but only where there is `setsid` the children of a program that takes too long end with it. The
/// script is a file that its interpreter is started with, as Linux does with one that is executable: so it may be where nothing
/// can be executed, such as `/dev/shm`, which can be written also where the root file system and `/tmp` cannot.
///
/// Each process is waited for by its parent: those left to the first process of the container might stay there as zombies. The
/// timer is killed with a signal that is never lost, and no trap has to win a race against the end of the program: a shell may
/// miss a signal that comes just before it waits.
const SHELL: &str = r#"exec 2>/dev/null
limit=$1 name=$2 script=$3
shift 3
if [ "$script" ]; then
for base in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm "${HOME:-/tmp}"; do
dir=$base/$name
mkdir -m 700 "$dir" && { printf %s "$script" >"$dir/script" && break; rm -rf "$dir"; }
dir=
done
[ "$dir" ] || { echo unwritable; exit; }
export OUTPUT_JSON_PATH="$dir/output.json"
set -- "$@" "$dir/script"
fi
sleep "$limit" >/dev/null &
timer=$!
session=$(command -v setsid)
$session /bin/sh -c 'trap "late=1; kill -s KILL \$job" TERM
exec "$@" &
job=$!
wait $job
code=$?
if [ "$late" ]; then wait $job; else kill -s KILL $0; fi
exit $code' $timer "$@" </dev/null >/dev/null &
job=$!
if wait $timer; then
kill -s TERM -- -$job || kill -s TERM $job
sleep 1
kill -s KILL -- -$job
code=timeout
else
wait $job
code=$?
fi
trap '' PIPE
echo "$code"
if [ "$script" ]; then
[ "$code" = 0 ] && [ -f "$OUTPUT_JSON_PATH" ] && dd if="$OUTPUT_JSON_PATH" bs=65537 count=1
rm -rf "$dir"
fi
exit 0"#;

/// The pod of a Workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PodName<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What the script of `activityProbe.podExec` finds out, which runs for at most `limit` or [`EXEC_TIMEOUT_MAX`].
pub async fn probe_script(client: &Client, pod: PodName<'_>, script: &str, limit: Duration) -> ProbeReport {
    let running = async |limit| {
        let (interpreter, argument) = shebang(script).ok_or(ExecError::Shebang)?;
        let program: Vec<&str> = [interpreter].into_iter().chain(argument).collect();
        found_by_script(&run(client, pod, limit, script, &program).await?)
    };
    probe(limit, running).await
}

/// What the command of `culling.activityProbe.exec` finds out by its exit code, which runs for at most `limit` or [`EXEC_TIMEOUT_MAX`].
pub async fn probe_command(client: &Client, pod: PodName<'_>, command: &[String], limit: Duration) -> ProbeReport {
    let running = async |limit| {
        let program: Vec<&str> = command.iter().map(String::as_str).collect();
        found_by_command(&run(client, pod, limit, "", &program).await?)
    };
    probe(limit, running).await
}

async fn probe(limit: Duration, running: impl AsyncFnOnce(Duration) -> Result<Found, ExecError>) -> ProbeReport {
    let limit = limit.clamp(Duration::from_secs(1), EXEC_TIMEOUT_MAX);
    let found = async {
        running(limit).await.map_err(|error| match error {
            ExecError::TimedOut => ProbeFailure::Timeout,
            error => ProbeFailure::Failed(format!("PodExec probe failed: {error}")),
        })
    };
    probe::within(limit + ROUND_TRIP, found).await
}

/// Why a script or a command says nothing.
#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error("it did not end in time")]
    TimedOut,
    #[error("the script does not begin with a shebang")]
    Shebang,
    #[error("exit code {0}")]
    ExitCode(i32),
    #[error("no directory can be written: neither $TMPDIR, /tmp, /var/tmp, /dev/shm nor $HOME")]
    Unwritable,
    #[error("the JSON has more than {JSON_MAX} bytes")]
    TooLong,
    #[error("the JSON is not as documented")]
    Undecodable,
    #[error("the container has no /bin/sh")]
    NoShell,
    #[error("the shell was ended (exit code {0})")]
    ShellEnded(i32),
    #[error("the kubelet or the container runtime failed ({0})")]
    Kubelet(String),
    #[error("the connection was closed before the end")]
    Closed,
    #[error("the API server answered {}", answer(*.0))]
    Refused(u16),
    #[error("the API server could not be reached")]
    Unreachable,
}

/// The status of an answer of the API server, with the right that is missing.
fn answer(code: u16) -> String {
    let status = StatusCode::from_u16(code).map_or_else(|_| code.to_string(), |status| status.to_string());
    let hint = if code == 403 { " (are pods/exec allowed, with the verbs create and get?)" } else { "" };
    status + hint
}

impl From<kube::Error> for ExecError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status.code),
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => {
                Self::Refused(status.as_u16())
            }
            kube::Error::Service(error) if error.is::<tower::timeout::error::Elapsed>() => Self::TimedOut,
            _ => Self::Unreachable,
        }
    }
}

/// Runs a program in the container, and returns what the shell printed.
async fn run(
    client: &Client,
    pod: PodName<'_>,
    limit: Duration,
    script: &str,
    program: &[&str],
) -> Result<Vec<u8>, ExecError> {
    let seconds = limit.as_secs().to_string();
    let directory = format!(".activity-probe-{:x}", Timestamp::now().as_nanosecond());
    let mut command = vec!["/bin/sh", "-c", SHELL, "sh", &seconds, &directory, script];
    command.extend(program);
    let params = AttachParams::default().container(MAIN).stdin(false).stdout(true).stderr(false);
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace);
    let mut process = pods.exec(pod.name, command, &params).await?;
    let status = process.take_status();
    let output = match process.stdout() {
        Some(stdout) => bounded(stdout).await,
        None => Vec::new(),
    };
    let status = match status {
        Some(status) => status.await.ok_or(ExecError::Closed)?,
        None => return Err(ExecError::Closed),
    };
    ended(&status).map(|()| output)
}

/// The beginning of what is read. The rest is read, too, or the end would never come.
async fn bounded(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut start = Vec::new();
    // It ends where the connection does; whether that was in order, the status says.
    let _ = (&mut stream).take(OUTPUT_MAX).read_to_end(&mut start).await;
    let _ = copy(&mut stream, &mut sink()).await;
    start
}

/// Whether the shell itself ended in order.
fn ended(status: &Status) -> Result<(), ExecError> {
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let mut causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code =
        causes.find(|cause| cause.reason.as_deref() == Some("ExitCode")).and_then(|cause| cause.message.as_ref());
    if let Some(code) = code.and_then(|code| code.parse().ok()) {
        // As container runtimes report a program that they cannot start.
        return Err(if matches!(code, 126..=128) { ExecError::NoShell } else { ExecError::ShellEnded(code) });
    }
    // The runtime's message names what it could not start; nothing else of it is repeated.
    if status.message.as_ref().is_some_and(|message| message.contains("/bin/sh")) {
        return Err(ExecError::NoShell);
    }
    Err(ExecError::Kubelet(status.reason.clone().unwrap_or_else(|| "for no reason".to_owned())))
}

/// The exit code of the program, and what follows.
fn exit_code(output: &[u8]) -> Result<(i32, &[u8]), ExecError> {
    let end = output.iter().position(|byte| *byte == b'\n').ok_or(ExecError::Closed)?;
    match &output[..end] {
        b"timeout" => Err(ExecError::TimedOut),
        b"unwritable" => Err(ExecError::Unwritable),
        line => {
            let code = str::from_utf8(line).ok().and_then(|code| code.parse().ok()).ok_or(ExecError::Closed)?;
            Ok((code, &output[end + 1..]))
        }
    }
}

fn found_by_command(output: &[u8]) -> Result<Found, ExecError> {
    match exit_code(output)? {
        (0, _) => Ok(Found::ActiveNow),
        (1, _) => Ok(Found::Inactive),
        (code, _) => Err(ExecError::ExitCode(code)),
    }
}

/// What a script writes to `$OUTPUT_JSON_PATH`.
#[derive(Debug, Deserialize)]
struct ScriptOutput {
    has_activity: Option<bool>,
    /// Ignored beside `has_activity`, whatever it is.
    last_activity: Option<Value>,
}

fn found_by_script(output: &[u8]) -> Result<Found, ExecError> {
    let json = match exit_code(output)? {
        (0, json) => json.trim_ascii(),
        (code, _) => return Err(ExecError::ExitCode(code)),
    };
    if json.len() > JSON_MAX {
        return Err(ExecError::TooLong);
    }
    if json.is_empty() {
        return Ok(Found::ActiveNow);
    }
    let output: ScriptOutput = serde_json::from_slice(json).map_err(|_| ExecError::Undecodable)?;
    match output {
        ScriptOutput { has_activity: Some(false), .. } => Ok(Found::Inactive),
        ScriptOutput { has_activity: None, last_activity: Some(time) } => {
            let time: Option<Timestamp> = time.as_str().and_then(|time| time.parse().ok());
            time.map(Found::LastActive).ok_or(ExecError::Undecodable)
        }
        ScriptOutput { .. } => Ok(Found::ActiveNow),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use kube::core::response::StatusSummary;
    use serde_json::json;

    use super::*;

    fn found(output: &str) -> Result<Found, String> {
        found_by_script(output.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_script_says_what_it_knows_in_json() {
        let time = Found::LastActive("2026-01-02T03:04:05.25Z".parse().unwrap());
        let undecodable = Err("the JSON is not as documented".to_owned());
        for (output, expected) in [
            ("0\n", Ok(Found::ActiveNow)),
            ("0\n \n", Ok(Found::ActiveNow)),
            ("0\n{}", Ok(Found::ActiveNow)),
            ("0\n{\"has_activity\": null}", Ok(Found::ActiveNow)),
            ("0\n{\"has_activity\": true, \"last_activity\": \"2026-01-02T03:04:05.25Z\"}\n", Ok(Found::ActiveNow)),
            ("0\n{\"has_activity\": false, \"last_activity\": 3}", Ok(Found::Inactive)),
            ("0\n{\"last_activity\": \"2026-01-02T03:04:05.25Z\", \"more\": []}", Ok(time)),
            ("0\n{\"last_activity\": \"2026-01-02T05:04:05.250000+02:00\"}", Ok(time)),
            // Of BusyBox: date -Iseconds
            ("0\n{\"last_activity\": \"2026-01-02T05:04:05.25+0200\"}", Ok(time)),
            ("0\n{\"last_activity\": \"2026-01-02T03:04:05\"}", undecodable.clone()),
            ("0\n{\"last_activity\": 1767323045}", undecodable.clone()),
            ("0\n{\"has_activity\": \"no\"}", undecodable.clone()),
            ("0\nactive", undecodable.clone()),
            ("0\n[]", undecodable.clone()),
            ("0\n{} {}", undecodable),
            ("3\n{}", Err("exit code 3".to_owned())),
            ("timeout\n{}", Err("it did not end in time".to_owned())),
            ("", Err("the connection was closed before the end".to_owned())),
            ("0", Err("the connection was closed before the end".to_owned())),
            ("x\n{}", Err("the connection was closed before the end".to_owned())),
            (
                "unwritable\n",
                Err("no directory can be written: neither $TMPDIR, /tmp, /var/tmp, /dev/shm nor $HOME".to_owned()),
            ),
        ] {
            assert_eq!(found(output), expected, "{output:?}");
        }
        let json = |length: usize| format!("0\n\"{}\"", "a".repeat(length - 2));
        assert_eq!(found(&json(JSON_MAX)), Err("the JSON is not as documented".to_owned()));
        assert_eq!(found(&json(JSON_MAX + 1)), Err("the JSON has more than 65536 bytes".to_owned()));
    }

    #[test]
    fn a_command_says_it_with_its_exit_code() {
        let found = |output: &str| found_by_command(output.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(found("0\n"), Ok(Found::ActiveNow));
        assert_eq!(found("1\n"), Ok(Found::Inactive));
        assert_eq!(found("2\n"), Err("exit code 2".to_owned()));
        assert_eq!(found("127\n"), Err("exit code 127".to_owned()));
    }

    #[test]
    fn what_ended_the_shell_is_named_but_nothing_it_printed() {
        let ended = |status: Value| {
            let status: Status = serde_json::from_value(status).unwrap();
            ended(&status).map_err(|error| error.to_string())
        };
        assert_eq!(ended(json!({"status": "Success"})), Ok(()));
        let code = |code: &str| {
            let causes = json!([{"reason": "ExitCode", "message": code}]);
            json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "secret", "details": {"causes": causes}})
        };
        assert_eq!(ended(code("137")), Err("the shell was ended (exit code 137)".to_owned()));
        assert_eq!(ended(code("127")), Err("the container has no /bin/sh".to_owned()));
        let internal = |message: &str| json!({"status": "Failure", "reason": "InternalError", "message": message});
        let missing = "Internal error occurred: error executing command in container: failed to exec in container: failed to \
                       start exec \"6f0\": OCI runtime exec failed: exec failed: unable to start container process: exec: \
                       \"/bin/sh\": stat /bin/sh: no such file or directory: unknown";
        assert_eq!(ended(internal(missing)), Err("the container has no /bin/sh".to_owned()));
        let other = "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused";
        assert_eq!(
            ended(internal(other)),
            Err("the kubelet or the container runtime failed (InternalError)".to_owned())
        );
    }

    #[test]
    fn an_answer_that_is_no_connection_is_named_by_its_code() {
        let refused = |code| {
            let status = kube::core::Status {
                status: Some(StatusSummary::Failure),
                code,
                message: "secret".to_owned(),
                ..kube::core::Status::default()
            };
            ExecError::from(kube::Error::Api(Box::new(status))).to_string()
        };
        assert_eq!(refused(404), "the API server answered 404 Not Found");
        assert_eq!(
            refused(403),
            "the API server answered 403 Forbidden (are pods/exec allowed, with the verbs create and get?)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_takes_longer_than_five_minutes() {
        let service = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, tower::BoxError>>().await
        });
        let client = Client::new(service, "default");
        let pod = PodName { namespace: "team", name: "ws-lab-0" };
        for (limit, seconds) in [(0, 6), (60, 65), (300, 305), (31_536_000, 305)] {
            let began = tokio::time::Instant::now();
            let report = probe_script(&client, pod, "#!/bin/sh", Duration::from_secs(limit)).await;
            assert_eq!(report.result, Err(ProbeFailure::Timeout));
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
    }

    /// The shell as it runs in a container, with these variables.
    fn shell(directory: &str, variables: &[(&str, &Path)], seconds: u32, script: &str, program: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SHELL, "sh", &seconds.to_string(), directory, script]).args(program);
        command.env_clear().envs(variables.iter().copied()).env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(home: &Path, seconds: u32, script: &str) -> String {
        let (interpreter, argument) = shebang(script).unwrap();
        let program: Vec<&str> = [interpreter].into_iter().chain(argument).collect();
        let output = shell(".probe", &[("TMPDIR", home)], seconds, script, &program).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(std::fs::read_dir(home).unwrap().count(), 0, "something is left of {script:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_script_runs_as_if_it_were_executable() {
        let home = tempfile::tempdir().unwrap();
        let run = |script: &str| run(home.path(), 20, script);
        assert_eq!(run("#!/bin/sh\nprintf '{\"a\": 1}' >$OUTPUT_JSON_PATH"), "0\n{\"a\": 1}");
        assert_eq!(run("#!/bin/sh -u\nprintf %s $- >$OUTPUT_JSON_PATH"), "0\nu");
        assert_eq!(run("#!/bin/sh\necho noise; echo noise >&2; echo \"it's $# 'quoted'\\n\" | cat"), "0\n");
        assert_eq!(run("#!/bin/sh\nread line; echo \"$?\" >$OUTPUT_JSON_PATH"), "0\n1\n");
        assert_eq!(run("#!/bin/sh\necho '{}' >$OUTPUT_JSON_PATH; exit 3"), "3\n");
        assert_eq!(run("#!/bin/sh\nkill -s KILL $$"), "137\n");
        assert_eq!(run("#!/bin/no-such-interpreter"), "127\n");
        assert_eq!(run("#!/bin/sh\nmkdir $OUTPUT_JSON_PATH"), "0\n");
        let much = run("#!/bin/sh\nhead -c 9000000 /dev/zero; yes | head -c 9000000 >$OUTPUT_JSON_PATH");
        assert_eq!(much.len(), "0\n".len() + JSON_MAX + 1);
    }

    #[test]
    fn a_script_that_hangs_ends_with_its_children() {
        let home = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let pids = tempfile::tempdir().unwrap();
        let file = pids.path().join("pids");
        let script = format!(
            "#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! $$ >{0}.new; mv {0}.new {0}; sleep 1000",
            file.display()
        );
        assert_eq!(run(home.path(), 1, &script), "timeout\n");
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
        let pids = std::fs::read_to_string(file).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2);
        for pid in pids.split_whitespace() {
            // Killed, but perhaps not waited for yet by the first process of this machine.
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| ") Z".to_owned());
            assert!(state.contains(") Z"), "{pid} still runs: {state}");
        }
    }

    #[test]
    fn the_end_of_a_program_is_never_missed() {
        let began = Instant::now();
        for _ in 0..50 {
            let output = shell(".probe", &[], 600, "", &["true"]).output().unwrap();
            assert_eq!(output.stdout, b"0\n");
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    }

    #[test]
    fn a_directory_that_can_be_written_is_looked_for() {
        let script = "#!/bin/sh\nprintf %s $OUTPUT_JSON_PATH >$OUTPUT_JSON_PATH";
        let output = |name: &str| {
            // Nothing can be created there, not even by root.
            let variables = [("TMPDIR", Path::new("/proc")), ("HOME", Path::new("/proc"))];
            let output = shell(name, &variables, 20, script, &["/bin/sh"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let name = format!(".probe-{}", std::process::id());
        assert_eq!(output(&name), format!("0\n/tmp/{name}/output.json"));
        assert_eq!(output("no/such/directory"), "unwritable\n");
    }
}
