//! A Secret volume as the kubelet writes it, and pairs to put into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use certs::{Ca, FileSource, Issued, Loaded};
use tempfile::TempDir;

pub const DAY: Duration = Duration::from_hours(24);

/// The names every test server is issued for.
pub const NAMES: [&str; 2] = ["webhook.test.svc", "127.0.0.1"];

pub struct Volume {
    dir: TempDir,
    version: usize,
}

impl Volume {
    /// An empty directory: nothing has been published yet.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), version: 0 }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn source(&self) -> FileSource {
        FileSource::new(self.path())
    }

    /// What is published, as it can be served at `now`.
    pub fn load(&self, now: SystemTime) -> Loaded {
        Loaded::from_pem(&self.source().read_files().unwrap(), now).unwrap()
    }

    /// Fills a new version directory with `fill`, then does the kubelet's steps: a link `..data_tmp` to it, renamed
    /// over `..data`, and the version before removed.
    pub fn publish_with(&mut self, fill: impl FnOnce(&Path)) {
        let old = self.version_dir();
        self.version += 1;
        let new = self.version_dir();
        fs::create_dir(&new).unwrap();
        fill(&new);
        let tmp = self.path().join("..data_tmp");
        symlink(new.file_name().unwrap(), &tmp).unwrap();
        fs::rename(&tmp, self.path().join("..data")).unwrap();
        if self.version == 1 {
            for name in ["tls.crt", "tls.key"] {
                symlink(Path::new("..data").join(name), self.path().join(name)).unwrap();
            }
        } else {
            fs::remove_dir_all(old).unwrap();
        }
    }

    pub fn publish(&mut self, issued: &Issued) {
        self.publish_with(|dir| write(dir, &issued.chain_pem, &issued.key_pem));
    }

    fn version_dir(&self) -> PathBuf {
        self.path().join(format!("..version_{}", self.version))
    }
}

pub fn write(dir: &Path, certificate: &str, key: &str) {
    fs::write(dir.join("tls.crt"), certificate).unwrap();
    fs::write(dir.join("tls.key"), key).unwrap();
}

pub fn ca(now: SystemTime) -> Ca {
    Ca::issue("test ca", now, 10 * DAY).unwrap()
}

pub fn leaf(ca: &Ca, now: SystemTime) -> Issued {
    ca.issue_leaf(&NAMES.map(Into::into), now, DAY).unwrap()
}
