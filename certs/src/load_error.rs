//! Every way a pair of files can be unfit to serve, as one line that names the path and says what to do.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::timestamp::rfc3339;

/// Which of the two files a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `tls.crt`: the certificate and its intermediates.
    Certificate,
    /// `tls.key`: the private key.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Certificate => "certificate chain",
            Part::Key => "private key",
        })
    }
}

/// Why a pair was not loaded.
///
/// Values compare equal when the same fault is found again, so a caller can tell a new fault from one it has already
/// reported. No variant holds file contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The directory is not there.
    #[error("{}: no such directory; create it with tls.crt and tls.key inside", .dir.display())]
    MissingDirectory {
        /// The directory as configured.
        dir: PathBuf,
    },
    /// The path of the directory leads to something else.
    #[error("{}: not a directory; name the directory that holds tls.crt and tls.key", .dir.display())]
    NotADirectory {
        /// The directory as configured.
        dir: PathBuf,
    },
    /// The directory is there, the file is not.
    #[error("{}: no such file; put the {part} there as PEM", .path.display())]
    MissingFile {
        /// The missing file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// A symbolic link whose target is not there.
    #[error("{}: link to {}, which does not exist; restore the target or replace the link", .path.display(), .target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// What the link says, as written in it.
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
    /// The process may not read the file or look into a directory on the way to it.
    #[error("{}: permission denied; let the user of this process read it", .path.display())]
    PermissionDenied {
        /// The path that could not be read.
        path: PathBuf,
    },
    /// Any other failure of the file system.
    #[error("{}: cannot be read ({reason}); check the volume it is on", .path.display())]
    Unreadable {
        /// The path that could not be read.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The links kept changing while the files were being read.
    #[error("{}: files changed during every one of {attempts} readings; they are read again at the next poll", .dir.display())]
    Unsettled {
        /// The directory as configured.
        dir: PathBuf,
        /// How many readings were tried.
        attempts: usize,
    },
    /// More than any real chain or key needs.
    #[error("{}: larger than {limit} bytes; put only the {part} there", .path.display())]
    TooLarge {
        /// The oversized file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
        /// The accepted size in bytes.
        limit: u64,
    },
    /// Nothing but white space.
    #[error("{}: empty; write the {part} into it as PEM", .path.display())]
    Empty {
        /// The empty file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// The file ends inside a PEM block.
    #[error("{}: cut off inside a PEM block; write the whole {part} again", .path.display())]
    Cut {
        /// The cut file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// No PEM block at all.
    #[error("{}: not PEM; write the {part} as PEM, from -----BEGIN to -----END", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// A PEM block whose inside is not base64.
    #[error("{}: damaged PEM block; write the whole {part} again", .path.display())]
    DamagedPem {
        /// The file.
        path: PathBuf,
        /// What belongs into it.
        part: Part,
    },
    /// PEM, but no block of a certificate.
    #[error("{}: PEM without a certificate; write the certificate chain into it, the server's own first", .path.display())]
    NoCertificate {
        /// The certificate file.
        path: PathBuf,
    },
    /// PEM, but no block of a private key.
    #[error("{}: PEM without a private key; write the private key of the certificate into it", .path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// A private key that needs a passphrase.
    #[error("{}: private key is encrypted; write it without a passphrase", .path.display())]
    EncryptedKey {
        /// The key file.
        path: PathBuf,
    },
    /// A certificate block that is not X.509, or not wholly.
    #[error("{}: certificate {position} is not valid X.509 ({reason}); write the certificate chain again", .path.display())]
    BadCertificate {
        /// The certificate file.
        path: PathBuf,
        /// Counted from 1 in the order of the file.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key of a kind or size that TLS here does not use, or a broken one.
    #[error("{}: private key cannot be used ({reason}); use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits", .path.display())]
    UnusableKey {
        /// The key file.
        path: PathBuf,
        /// The TLS library's words.
        reason: String,
    },
    /// Key and certificate do not belong together.
    #[error("{}: private key does not belong to the first certificate of {}; replace both files together", .key.display(), .certificate.display())]
    Mismatched {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The end of validity has passed.
    #[error("{}: certificate expired at {}; replace it with a valid one", .path.display(), rfc3339(*.not_after))]
    Expired {
        /// The certificate file.
        path: PathBuf,
        /// The last moment of its validity.
        not_after: SystemTime,
    },
    /// Validity has not begun.
    #[error("{}: certificate is not valid before {}; check this machine's clock or replace it", .path.display(), rfc3339(*.not_before))]
    NotYetValid {
        /// The certificate file.
        path: PathBuf,
        /// The first moment of its validity.
        not_before: SystemTime,
    },
}

impl LoadError {
    /// Whether the same bytes may be fine at another time.
    pub(crate) fn depends_on_time(&self) -> bool {
        matches!(self, LoadError::Expired { .. } | LoadError::NotYetValid { .. })
    }
}
