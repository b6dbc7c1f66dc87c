//! The image: do the files that build it agree with the workspace?

use std::collections::BTreeSet;

use crate::helm::{documents, text};

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

/// Cargo wants the manifest of every member, even of those that are not built.
#[test]
fn build_context_holds_every_member_of_the_workspace() {
    let manifest = text("Cargo.toml");
    let list = manifest.split_once("\nmembers = [").unwrap().1.split_once(']').unwrap().0;
    let members: BTreeSet<&str> =
        list.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty()).collect();
    let ignore = text(".dockerignore");
    let let_in: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for member in members {
        let found = member == "." && let_in.contains("src") && let_in.contains("Cargo.toml") || let_in.contains(member);
        assert!(found, "{member} is missing from .dockerignore");
    }
    for needed in ["Cargo.lock", "rust-toolchain.toml", ".ci/build-image"] {
        assert!(let_in.contains(needed), "{needed} is missing from .dockerignore");
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
