//! `make demo`, which checks itself at every step, and what the README quotes from it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use cluster::demo::{self, MISTAKES, Style};
use cluster::{Cluster, ControllerOptions, ControllerProcess};

/// Two screens of 80 columns and 24 rows.
const COLUMNS: usize = 80;
const ROWS: usize = 48;

#[test]
fn the_demo_shows_what_it_says_and_the_readme_quotes_it() {
    let product = ControllerOptions::new(env!("CARGO_BIN_EXE_workspaces-controller"));
    let _controller = ControllerProcess::start(Cluster::shared(), &product).unwrap();
    let mut screen = Vec::new();
    let transcript =
        demo::run(Cluster::shared(), Path::new(env!("CARGO_TARGET_TMPDIR")), &mut screen, Style::Plain).unwrap();

    let screen = String::from_utf8(screen).unwrap();
    let rows: usize = screen.lines().map(|line| line.chars().count().div_ceil(COLUMNS).max(1)).sum();
    assert!(rows <= ROWS, "{rows} rows:\n{screen}");

    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let quoted = readme.lines().skip_while(|line| !line.starts_with("$ kubectl apply -f ")).skip(1);
    let quoted: Vec<&str> = quoted.take_while(|line| *line != "```").collect();
    // kubectl prints a space at the end of a line, which editors remove.
    let refused: Vec<&str> = transcript.refused.lines().map(str::trim_end).collect();
    assert_eq!(quoted, refused, "the README quotes something else than `make demo` shows");
    for (_, mistake) in MISTAKES {
        assert!(readme.lines().any(|line| line.trim() == mistake), "the README lacks the line {mistake}");
    }
}
