//! What is built or fetched once and kept outside the checkout: a folder for each state of a pin, and programs or files in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Doing as _, read};
use crate::{Error, Result, say};

/// Overrides the cache folder.
pub const CACHE_VARIABLE: &str = "WORKSPACES_CONTROLLER_TOOLS_DIR";

/// The folder for one state of a pin.
#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// The folder of what is pinned by the files with these extensions in `source`; `more` is what else decides the outcome.
    pub fn open(name: &str, source: &Path, extensions: &[&str], more: &str) -> Result<Self> {
        let pin = pin(source, extensions, more)?;
        Ok(Self(root()?.join(format!("{name}-{pin}"))))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Creates the entry `name` under a lock, completely or not at all.
    pub fn once(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let target = self.0.join(name);
        if target.exists() {
            return Ok(target);
        }
        std::fs::create_dir_all(&self.0)
            .doing(|| format!("cannot create {} (see {CACHE_VARIABLE})", self.0.display()))?;
        let lock_path = self.0.join("lock");
        let lock = File::create(&lock_path).doing(|| format!("cannot create {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say(&format!("{name}: waiting for another process that is building it"));
                lock.lock().doing(|| format!("cannot lock {}", lock_path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                Err(error).doing(|| format!("cannot lock {}", lock_path.display()))?;
            }
        }
        if target.exists() {
            return Ok(target);
        }
        let partial = self.0.join(format!(".{name}.partial"));
        make(&partial)?;
        std::fs::rename(&partial, &target).doing(|| format!("cannot rename {}", partial.display()))?;
        Ok(target)
    }
}

/// A short hash of everything that decides what is made.
fn pin(source: &Path, extensions: &[&str], more: &str) -> Result<String> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(source)
        .doing(|| format!("cannot read {}", source.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| extensions.contains(&extension))
        })
        .collect();
    names.sort();
    let mut hash = Sha256::new();
    hash.update(more);
    for path in names {
        let content = read(&path)?;
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(content);
    }
    Ok(format!("{:x}", hash.finalize())[..16].to_owned())
}

fn root() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(own) = variable(CACHE_VARIABLE) {
        return std::path::absolute(own).doing(|| format!("cannot use {CACHE_VARIABLE}"));
    }
    let base = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or_else(|| Error::Unknown(format!("no cache folder: set HOME or {CACHE_VARIABLE}")))?;
    Ok(base.join("workspaces-controller/tools"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::error::write;

    #[test]
    fn the_pin_follows_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let pin = || pin(dir.path(), &["mod", "sum"], "").unwrap();
        std::fs::write(dir.path().join("go.mod"), "module a\n").unwrap();
        let before = pin();
        std::fs::write(dir.path().join("README"), "not part of it").unwrap();
        assert_eq!(pin(), before);
        std::fs::write(dir.path().join("go.sum"), "").unwrap();
        assert_ne!(pin(), before);
    }

    #[test]
    fn a_cache_entry_is_made_once_and_never_half() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().join("cache"));
        let failed = cache.once("x", |partial| {
            write(partial, "half")?;
            Err(Error::Unknown("killed".to_owned()))
        });
        assert!(failed.is_err());
        assert!(!dir.path().join("cache/x").exists());
        let path = cache.once("x", |partial| write(partial, "whole")).unwrap();
        assert_eq!(read(&path).unwrap(), "whole");
        let again = cache.once("x", |_| panic!("it is there"));
        assert_eq!(again.unwrap(), path);
    }
}
