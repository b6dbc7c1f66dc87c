//! The offline commands: the results of all case files without a server, and the program from outside.

#![allow(clippy::unwrap_used, clippy::panic)]

mod case_files;
mod documents;
mod exit_codes;
mod explain_rules;
mod hostile;
mod mistakes;
mod outputs;
mod renderings;
mod rollout;
mod schema_files;

// The case files of the schemas belong to the test that sends them to the API server.
#[allow(dead_code)]
#[path = "../crd_schema/cases.rs"]
mod cases;
#[allow(dead_code)]
#[path = "../crd_schema/paths.rs"]
mod paths;
#[allow(dead_code)]
#[path = "../crd_schema/schema.rs"]
mod schema;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program in `tests/offline`, with nothing in its environment.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
        .args(arguments)
        .current_dir(root().join("tests/offline"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What the program printed, and its exit code.
fn printed(arguments: &[&str], input: &str) -> (String, i32) {
    let output = run(arguments, input.as_bytes());
    (
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

/// Compares a file with what it should hold, or writes it when `variable` is set.
#[track_caller]
fn assert_file(path: &PathBuf, expected: &str, variable: &str) {
    if std::env::var_os(variable).is_some() {
        std::fs::write(path, expected).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == expected,
        "{} is out of date: {variable}=1 cargo test --test offline writes it anew\n{expected}",
        path.display()
    );
}
