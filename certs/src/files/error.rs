//! Why the two files cannot be read: one line that names the path and says what to do.

use std::path::PathBuf;

use crate::pair::{Part, SourceError};

/// Why the two files were not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The directory does not exist.
    #[error("{}: no such directory; create it with tls.crt and tls.key inside", .dir.display())]
    MissingDirectory {
        /// The directory as configured.
        dir: PathBuf,
    },
    /// The path is not a directory.
    #[error("{}: not a directory; name the directory that holds tls.crt and tls.key", .dir.display())]
    NotADirectory {
        /// The directory as configured.
        dir: PathBuf,
    },
    /// The file does not exist.
    #[error("{}: no such file; put the {part} there as PEM", .path.display())]
    MissingFile {
        /// The missing file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// A symbolic link whose target does not exist.
    #[error("{}: link to {}, which does not exist; restore the target or replace the link", .path.display(), .target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// The target, as written in the link.
        target: PathBuf,
    },
    /// A directory where a file belongs.
    #[error("{}: is a directory; replace it with a file that holds the {part} as PEM", .path.display())]
    IsADirectory {
        /// The path of the directory.
        path: PathBuf,
        /// What belongs there.
        part: Part,
    },
    /// A socket, pipe or device where a file belongs.
    #[error("{}: not a regular file; replace it with a file that holds the {part} as PEM", .path.display())]
    NotAFile {
        /// The path found.
        path: PathBuf,
        /// What belongs there.
        part: Part,
    },
    /// The process may not read the file, or a directory on its path.
    #[error("{}: permission denied; let the user of this process read it", .path.display())]
    PermissionDenied {
        /// The path that could not be read.
        path: PathBuf,
    },
    /// Any other error of the file system.
    #[error("{}: cannot be read ({reason}); check the volume it is on", .path.display())]
    Unreadable {
        /// The path that could not be read.
        path: PathBuf,
        /// The message of the operating system.
        reason: String,
    },
    /// The links changed during every reading.
    #[error("{}: files changed during every one of {attempts} readings; they are read again at the next poll", .dir.display())]
    Unsettled {
        /// The directory as configured.
        dir: PathBuf,
        /// How many readings were tried.
        attempts: usize,
    },
    /// The file is larger than any chain or key.
    #[error("{}: larger than {limit} bytes; put only the {part} there", .path.display())]
    TooLarge {
        /// The oversized file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
        /// The accepted size in bytes.
        limit: u64,
    },
}

impl From<FileError> for SourceError {
    fn from(error: FileError) -> Self {
        Self(error.to_string())
    }
}
