//! The example of the demo, and the same with mistakes.

use std::path::Path;

use crate::error::{Doing as _, read};
use crate::{Error, Result, workspace_root};

/// The kind, as one types it in the checkout.
pub const KIND_FILE: &str = "docs/examples/rstudio-kind.yaml";

/// A Workspace of it.
pub const WORKSPACE_FILE: &str = "docs/examples/rstudio-workspace.yaml";

/// The line of the example that the mistakes replace.
const TEMPLATE: &str = r#"X-RStudio-Root-Path: '{{ httpPathPrefix "rstudio" }}'"#;

/// The field of each mistake and its line, in the order of the file.
pub const MISTAKES: [(&str, &str); 3] = [
    (
        "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-RStudio-Root-Path]",
        r#"X-RStudio-Root-Path: '{{ httpPathPrefix "r-studio" }}'"#,
    ),
    ("spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Quota]", "X-Quota: 100%"),
    ("spec.podTemplate.ports[0].httpProxy.requestHeaders.set[Content-Length]", r#"Content-Length: "0""#),
];

/// Writes the kind with the mistakes.
pub(super) fn write_broken(file: &Path) -> Result<()> {
    let example = read(&workspace_root().join(KIND_FILE))?;
    let line = example.lines().find(|line| line.trim() == TEMPLATE);
    let line = line.ok_or_else(|| Error::Unknown(format!("{KIND_FILE} has no line {TEMPLATE}")))?;
    let indent = line.trim_end_matches(TEMPLATE);
    let mistakes = MISTAKES.map(|(_, mistake)| format!("{indent}{mistake}")).join("\n");
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).doing(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(file, example.replacen(line, &mistakes, 1)).doing(|| format!("cannot write {}", file.display()))
}

/// A path as one types it in the checkout.
pub(super) fn shown(path: &Path) -> String {
    path.strip_prefix(workspace_root()).unwrap_or(path).display().to_string()
}
