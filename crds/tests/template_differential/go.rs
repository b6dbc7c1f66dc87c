//! Go's own `text/template`, as a program that answers line by line.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The outcome of a template, here or in Go.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplateOutcome {
    Output(Vec<u8>),
    ParseError(String),
    ExecuteError(String),
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tools/template")
}

/// The path of the program, built once a run. Go caches what it compiled, so this is quick the second time.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-template");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source())
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .output()
        .unwrap_or_else(|error| panic!("this test compares with Go's text/template and needs `go` 1.26: {error}"));
    assert!(built.status.success(), "`go build` failed: {}", String::from_utf8_lossy(&built.stderr));
    program
}

/// What `go run . tables` prints.
pub fn tables() -> String {
    let output = Command::new(program()).arg("tables").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A running program. The answers come in the order of the templates.
pub struct Go {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Go {
    pub fn start() -> Self {
        let mut child = Command::new(program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built program runs");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Runs many templates at once.
    pub fn outcomes(mut self, templates: &[String]) -> Vec<TemplateOutcome> {
        let mut questions = BufWriter::new(self.child.stdin.take().unwrap());
        let outcomes = std::thread::scope(|scope| {
            scope.spawn(move || {
                for template in templates {
                    serde_json::to_writer(&mut questions, &serde_json::json!({ "template": template })).unwrap();
                    questions.write_all(b"\n").unwrap();
                }
                questions.flush().unwrap();
            });
            templates.iter().map(|template| self.answer(template)).collect()
        });
        assert!(self.child.wait().unwrap().success());
        outcomes
    }

    fn answer(&mut self, template: &str) -> TemplateOutcome {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("no answer to {template:?}: {error}"));
        let bytes = |field: &str| base64(answer[field].as_str().unwrap());
        let error = || String::from_utf8_lossy(&bytes("error")).into_owned();
        match answer["stage"].as_str().unwrap() {
            "parse" => TemplateOutcome::ParseError(error()),
            "exec" => TemplateOutcome::ExecuteError(error()),
            _ => TemplateOutcome::Output(bytes("output")),
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| *known == c).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
