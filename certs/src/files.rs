//! Reads `tls.crt` and `tls.key` so that the two always belong to one publication.
//!
//! A kubelet publishes a new pair by one rename: `tls.crt` and `tls.key` are links into `..data`, `..data` is a link to
//! a directory that is never written again, and the rename points `..data` to the next one. Reading the two paths one
//! after the other can therefore see one file of the old pair and one of the new. So both paths are resolved first, the
//! files are read from where they were resolved to, and the reading counts only if the paths still lead there
//! afterwards. Modification times play no part: they may go backwards or stay the same.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::pair::{PairSource, Part, PemPair, SourceError};

mod error;

pub use error::FileError;

/// A swap can invalidate a reading, and the next one too. A writer that swaps without a pause invalidates about every
/// fourth, so this many in a row are not swaps but a broken volume; they take a few milliseconds.
const ATTEMPTS: usize = 32;

/// As much as a Secret can hold; a chain needs a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// A directory with `tls.crt` and `tls.key`, as the kubelet or cert-manager fill it.
#[derive(Debug, Clone)]
pub struct FileSource {
    dir: PathBuf,
}

impl FileSource {
    /// Names the directory; nothing is read yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory as configured.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads both files of one version without parsing them. Blocks on the file system.
    pub fn read_files(&self) -> Result<PemPair, FileError> {
        read_pair(&self.dir, Resolved::of, read_file)
    }
}

impl PairSource for FileSource {
    fn read(&self) -> Result<PemPair, SourceError> {
        Ok(self.read_files()?)
    }
}

/// The targets of the two paths at one moment.
#[derive(PartialEq, Eq)]
struct Resolved {
    certificate: PathBuf,
    key: PathBuf,
}

impl Resolved {
    fn of(dir: &Path) -> Result<Self, FileError> {
        check_directory(dir)?;
        Ok(Self { certificate: resolve(dir, "tls.crt", Part::Certificate)?, key: resolve(dir, "tls.key", Part::Key)? })
    }
}

/// `resolve` and `read` are parameters so that a test can swap the pair in the middle of a reading.
fn read_pair(
    dir: &Path,
    mut resolve: impl FnMut(&Path) -> Result<Resolved, FileError>,
    mut read: impl FnMut(&Path, &Path, Part) -> Result<Vec<u8>, FileError>,
) -> Result<PemPair, FileError> {
    let certificate_path = dir.join("tls.crt");
    let key_path = dir.join("tls.key");
    let mut last_error = unsettled(dir);
    for _ in 0..ATTEMPTS {
        // An error may come from a swap in progress (the old directory is removed right after it): only a persistent
        // one counts.
        let before = match resolve(dir) {
            Ok(before) => before,
            Err(error) => {
                last_error = error;
                continue;
            }
        };
        let certificate = read(&certificate_path, &before.certificate, Part::Certificate);
        let key = read(&key_path, &before.key, Part::Key);
        if resolve(dir).is_ok_and(|after| after == before) {
            return Ok(PemPair {
                certificate: certificate?,
                key: key?,
                certificate_place: certificate_path.display().to_string(),
                key_place: key_path.display().to_string(),
            });
        }
        last_error = unsettled(dir);
    }
    Err(last_error)
}

fn unsettled(dir: &Path) -> FileError {
    FileError::Unsettled { dir: dir.to_owned(), attempts: ATTEMPTS }
}

fn check_directory(dir: &Path) -> Result<(), FileError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(FileError::NotADirectory { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(match fs::read_link(dir) {
            Ok(target) => FileError::DanglingLink { path: dir.to_owned(), target },
            Err(_) => FileError::MissingDirectory { dir: dir.to_owned() },
        }),
        Err(error) => Err(unreadable(dir, &error)),
    }
}

fn resolve(dir: &Path, name: &str, part: Part) -> Result<PathBuf, FileError> {
    let path = dir.join(name);
    fs::canonicalize(&path).map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return unreadable(&path, &error);
        }
        match fs::read_link(&path) {
            Ok(target) => FileError::DanglingLink { path, target },
            Err(_) => FileError::MissingFile { path, part },
        }
    })
}

/// Reads the file at `resolved`; errors name `path`, as it was configured.
fn read_file(path: &Path, resolved: &Path, part: Part) -> Result<Vec<u8>, FileError> {
    let named = |error: io::Error| unreadable(path, &error);
    // Checked before it is opened: opening a pipe would block until there is a writer.
    let kind = fs::metadata(resolved).map_err(named)?.file_type();
    if kind.is_dir() {
        return Err(FileError::IsADirectory { path: path.to_owned(), part });
    }
    if !kind.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned(), part });
    }
    let mut content = Vec::new();
    fs::File::open(resolved).map_err(named)?.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(named)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned(), part, limit: MAX_BYTES });
    }
    Ok(content)
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => FileError::PermissionDenied { path },
        _ => FileError::Unreadable { path, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
