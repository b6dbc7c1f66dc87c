//! Where the programs come from when Go is missing, and when another process has built some of them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use cluster::{ASSETS_VARIABLE, CACHE_VARIABLE, Tools};

/// The programs are requested with an empty cache and a PATH that has a shell and nothing else.
fn build_without_go(dir: &Path, assets: Option<&Path>) -> Output {
    let shell = ["/bin/sh", "/usr/bin/sh"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    let path = dir.join("path");
    std::fs::create_dir(&path).unwrap();
    symlink(shell, path.join("sh")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.arg("--build-only").env("PATH", &path).env(CACHE_VARIABLE, dir.join("cache")).env_remove(ASSETS_VARIABLE);
    if let Some(assets) = assets {
        command.env(ASSETS_VARIABLE, assets);
    }
    command.output().unwrap()
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn says_in_one_line_that_go_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let output = build_without_go(dir.path(), None);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        last_line(&output),
        "control-plane: cannot build etcd: `go` was not found in PATH; install Go 1.26 or newer \
         (the control plane's servers are built with it, once)"
    );
}

#[test]
fn takes_what_kubebuilder_assets_has() {
    let dir = tempfile::tempdir().unwrap();
    let assets = dir.path().join("assets");
    std::fs::create_dir(&assets).unwrap();
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        std::fs::write(assets.join(name), "").unwrap();
    }
    let output = build_without_go(dir.path(), Some(&assets));
    // The first one that no such folder ever has.
    let line = last_line(&output);
    assert!(line.starts_with("control-plane: cannot build kube-controller-manager: `go` was not found"), "{line}");
}

#[test]
fn asking_twice_builds_nothing() {
    let first = Tools::ensure().unwrap();
    let modified = |tools: &Tools| std::fs::metadata(&tools.kwok).unwrap().modified().unwrap();
    let before = modified(&first);
    assert_eq!(modified(&Tools::ensure().unwrap()), before);
}
