//! The table of exit codes, for every command that runs once: 0 nothing found, 1 findings, 2 wrong settings, 3 something
//! could not be read or written. A closed pipe changes none of them.

use std::fs::{File, OpenOptions};
use std::io::pipe;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::root;

/// The state of an output stream.
#[derive(Clone, Copy, Debug)]
enum Stream {
    /// Always writable.
    Open,
    /// A closed pipe.
    Closed,
    /// A full device.
    Full,
}

impl Stream {
    fn open(self) -> Stdio {
        match self {
            Self::Open => Stdio::null(),
            Self::Closed => pipe().unwrap().1.into(),
            Self::Full => full().into(),
        }
    }
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Runs the program with nothing in its environment.
#[track_caller]
fn code(arguments: &[&str], output: Stream, errors: Stream) -> i32 {
    let status = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output.open())
        .stderr(errors.open())
        .status()
        .unwrap();
    status.code().unwrap_or_else(|| panic!("{arguments:?}: {status}"))
}

/// Commands without findings, each with output.
const CLEAN: [&[&str]; 12] = [
    &["validate", KIND, WORKSPACE],
    &["render", KIND, WORKSPACE],
    &["render", "--diff", "docs/examples", "docs/examples"],
    &["migrate", "--check", KIND, WORKSPACE],
    &["crds"],
    &["explain"],
    &["explain", "WSK003"],
    &["explain-rules", "-f", KIND],
    &["completion", "bash"],
    &["version"],
    &["--help"],
    &["validate", "--help"],
];
const KIND: &str = "docs/examples/jupyterlab-kind.yaml";
const WORKSPACE: &str = "docs/examples/jupyterlab-workspace.yaml";

/// Commands with findings, on the standard output.
fn with_findings(edited: &str) -> Vec<Vec<&str>> {
    let broken = "tests/offline/mistakes/template_single_quotes.yaml";
    vec![
        vec!["validate", broken],
        vec!["validate", "-o", "json", broken],
        vec!["migrate", "--check", broken],
        // Some Workspaces are rendered, and the kind of another one is invalid.
        vec!["render", "docs/examples", "tests/offline/mistakes/workspace_and_kind.yaml"],
        vec!["render", "--diff", "docs/examples", edited],
    ]
}

/// The example kind with another variable.
fn edited() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kind.yaml");
    let kind = std::fs::read_to_string(root().join(KIND)).unwrap();
    std::fs::write(&path, kind.replace("name: NB_PREFIX", "name: OTHER_PREFIX")).unwrap();
    (folder, path)
}

#[test]
fn nothing_found_is_0_also_with_a_closed_pipe() {
    for arguments in CLEAN {
        assert_eq!(code(arguments, Stream::Open, Stream::Open), 0, "{arguments:?}");
        assert_eq!(code(arguments, Stream::Closed, Stream::Closed), 0, "{arguments:?}");
    }
}

#[test]
fn findings_are_1_also_with_a_closed_pipe() {
    let (_folder, edited) = edited();
    for arguments in with_findings(edited.to_str().unwrap()) {
        for (output, errors) in
            [(Stream::Open, Stream::Open), (Stream::Closed, Stream::Open), (Stream::Closed, Stream::Closed)]
        {
            assert_eq!(code(&arguments, output, errors), 1, "{arguments:?} {output:?} {errors:?}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_3_with_and_without_findings() {
    let (_folder, edited) = edited();
    let findings = with_findings(edited.to_str().unwrap());
    for arguments in CLEAN.into_iter().chain(findings.iter().map(Vec::as_slice)) {
        assert_eq!(code(arguments, Stream::Full, Stream::Open), 3, "{arguments:?}");
    }
    // What cannot be rendered is reported on the standard error.
    let without_kind = ["render", WORKSPACE];
    assert_eq!(code(&without_kind, Stream::Open, Stream::Open), 1);
    assert_eq!(code(&without_kind, Stream::Open, Stream::Closed), 1);
    assert_eq!(code(&without_kind, Stream::Open, Stream::Full), 3);
    assert_eq!(code(&["crds", "--dir=/nonexistent"], Stream::Open, Stream::Open), 3);
}

#[test]
fn what_cannot_be_written_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .arg("crds")
        .env_clear()
        .stdout(full())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: standard output: No space left on device"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn what_cannot_be_read_is_3_and_outranks_findings() {
    let broken = "tests/offline/mistakes/template_single_quotes.yaml";
    let unreachable = tempfile::NamedTempFile::new().unwrap();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{name: x, cluster: {server: \"https://127.0.0.1:1\"}}]\n\
         contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: not-a-secret}}]\n";
    std::fs::write(unreachable.path(), kubeconfig).unwrap();
    let cases: [&[&str]; 10] = [
        &["validate", "missing.yaml"],
        &["validate", broken, "missing.yaml"],
        &["validate", "--old", "missing.yaml", KIND],
        &["render", KIND, WORKSPACE, "missing.yaml"],
        &["render", "--diff", "docs/examples", "missing.yaml"],
        &["migrate", "--check", broken, "missing.yaml"],
        &["migrate", "--check", "--cluster", "--kubeconfig", unreachable.path().to_str().unwrap()],
        &["explain-rules", "-f", KIND, "-f", "missing.yaml"],
        &["explain-rules", "jupyterlab", "--kubeconfig", unreachable.path().to_str().unwrap()],
        &["rollout", "jupyterlab", "--max=5/min", "--kubeconfig", unreachable.path().to_str().unwrap()],
    ];
    for arguments in cases {
        assert_eq!(code(arguments, Stream::Open, Stream::Open), 3, "{arguments:?}");
        assert_eq!(code(arguments, Stream::Closed, Stream::Closed), 3, "{arguments:?}");
    }
}

#[test]
fn wrong_settings_are_2_whatever_happens_to_the_message() {
    let cases: [&[&str]; 16] = [
        &["--no-such-flag"],
        &["--istio-gateway=nowhere"],
        &["no-such-command"],
        &["validate", "--no-such-flag", KIND],
        &["validate"],
        &["render", "--connect-path-prefix=x/", KIND],
        &["migrate", KIND],
        &["migrate", "--check", "--cluster", "--kubeconfig=/nonexistent"],
        &["crds", "--no-such-flag"],
        &["explain", "no-such-rule"],
        &["explain-rules"],
        &["explain-rules", "-f", KIND, "--pod-config=no-such-id"],
        &["explain-rules", "jupyterlab", "--kubeconfig=/nonexistent"],
        &["rollout", "jupyterlab"],
        &["rollout", "jupyterlab", "--max=5/min", "--kubeconfig=/nonexistent"],
        &["completion", "no-such-shell"],
    ];
    for arguments in cases {
        for errors in [Stream::Open, Stream::Closed, Stream::Full] {
            assert_eq!(code(arguments, Stream::Open, errors), 2, "{arguments:?} {errors:?}");
        }
    }
}

/// In the help of the commands that have findings, and in `docs/install.md`.
#[test]
fn the_codes_are_documented() {
    let install = std::fs::read_to_string(root().join("docs/install.md")).unwrap();
    let section = install.split("\n## Exit codes\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    for code in 0..=4 {
        assert!(section.contains(&format!("\n| {code} | ")), "{code} is missing in {section}");
    }
    let commands = ["validate", "render", "migrate", "rollout", "explain-rules"].map(|command| vec![command, "--help"]);
    for command in std::iter::once(vec!["--help"]).chain(commands) {
        let (help, _) = super::printed(&command, "");
        let codes = help.split("Exit codes: ").nth(1).and_then(|rest| rest.split("\n\n").next());
        let codes = codes.unwrap_or_else(|| panic!("no codes in {help}"));
        for code in ["0 ", " 1 ", " 2 ", " 3 "] {
            assert!(codes.contains(code), "{command:?}: {code} is missing in {codes}");
        }
        let can_be_stopped = command.len() == 1 || command[0] == "rollout";
        assert_eq!(codes.contains(" 4 "), can_be_stopped, "{command:?}: {codes}");
    }
}
