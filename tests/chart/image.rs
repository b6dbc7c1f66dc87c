//! The image: do the files that build it agree with the workspace?

use std::process::Command;

use crate::helm::{checkout, documents, text};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn chart_and_image_carry_the_version_of_the_program() {
    let chart = documents(&text("charts/workspaces-controller/Chart.yaml")).remove(0);
    assert_eq!(chart["appVersion"], VERSION);
    assert!(text("Dockerfile").lines().any(|line| line == format!("ARG VERSION={VERSION}")));
}

#[test]
fn image_is_built_with_the_pinned_toolchain() {
    let pinned = text("rust-toolchain.toml");
    let channel = pinned.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap();
    assert!(text("Dockerfile").lines().any(|line| line == format!("ARG RUST_VERSION={channel}")), "{channel}");
}

/// Cargo requires every member of the workspace, even those that are not built.
#[test]
fn build_context_holds_what_cargo_wants_to_see() {
    let context = tempfile::tempdir().unwrap();
    for path in text(".dockerignore").lines().filter_map(|line| line.strip_prefix('!')) {
        let (from, to) = (checkout(path), context.path().join(path));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        assert!(from.exists(), ".dockerignore lets in {path}, which is not there");
        std::os::unix::fs::symlink(from, to).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for needed in ["Cargo.lock", "rust-toolchain.toml", ".ci/build-image"] {
        assert!(context.path().join(needed).exists(), "{needed} is missing from .dockerignore");
    }
}

#[test]
fn image_is_not_root_and_holds_one_file() {
    let dockerfile = text("Dockerfile");
    let last = dockerfile.rsplit_once("\nFROM ").unwrap().1;
    let lines: Vec<&str> = last.lines().collect();
    assert_eq!(lines[0], "scratch");
    assert_eq!(lines.iter().filter(|line| line.starts_with("COPY ")).count(), 1);
    assert!(lines.contains(&"USER 65532:65532"));
    assert!(lines.contains(&r#"ENTRYPOINT ["/manager"]"#));
}
