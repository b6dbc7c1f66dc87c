//! Why a pair cannot be served: one line that names the place and says what to do.

use std::time::SystemTime;

use crate::pair::{Part, SourceError};
use crate::timestamp::rfc3339;

/// Why a pair was not loaded.
///
/// Values compare equal when the same error occurs again, so a caller can distinguish a new error from one it has already
/// reported. No variant holds what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The source has no pair.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing but white space.
    #[error("{place}: empty; write the {part} into it as PEM")]
    Empty {
        /// Where it was read.
        place: String,
        /// What belongs there.
        part: Part,
    },
    /// The text ends inside a PEM block.
    #[error("{place}: cut off inside a PEM block; write the whole {part} again")]
    Cut {
        /// Where it was read.
        place: String,
        /// What belongs there.
        part: Part,
    },
    /// No PEM block at all.
    #[error("{place}: not PEM; write the {part} as PEM, from -----BEGIN to -----END")]
    NotPem {
        /// Where it was read.
        place: String,
        /// What belongs there.
        part: Part,
    },
    /// A PEM block whose inside is not base64.
    #[error("{place}: damaged PEM block; write the whole {part} again")]
    DamagedPem {
        /// Where it was read.
        place: String,
        /// What belongs there.
        part: Part,
    },
    /// PEM without a certificate block.
    #[error("{place}: PEM without a certificate; write the certificate chain into it, the server's own first")]
    NoCertificate {
        /// Where the chain was read.
        place: String,
    },
    /// PEM without a private key block.
    #[error("{place}: PEM without a private key; write the private key of the certificate into it")]
    NoKey {
        /// Where the key was read.
        place: String,
    },
    /// A private key that needs a passphrase.
    #[error("{place}: private key is encrypted; write it without a passphrase")]
    EncryptedKey {
        /// Where the key was read.
        place: String,
    },
    /// A certificate block that is not valid X.509.
    #[error("{place}: certificate {position} is not valid X.509 ({reason}); write the certificate chain again")]
    BadCertificate {
        /// Where the chain was read.
        place: String,
        /// Counted from 1 in the order of the chain.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key of an unsupported type or size, or a broken one.
    #[error(
        "{place}: private key cannot be used ({reason}); use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits"
    )]
    UnusableKey {
        /// Where the key was read.
        place: String,
        /// The message of the TLS library.
        reason: String,
    },
    /// Key and certificate do not belong together.
    #[error(
        "{key}: private key does not belong to the first certificate of {certificate}; replace both files together"
    )]
    Mismatched {
        /// Where the chain was read.
        certificate: String,
        /// Where the key was read.
        key: String,
    },
    /// The certificate has expired.
    #[error("{place}: certificate expired at {}; replace it with a valid one", rfc3339(*.not_after))]
    Expired {
        /// Where the chain was read.
        place: String,
        /// The last moment of its validity.
        not_after: SystemTime,
    },
    /// The certificate is not valid yet.
    #[error("{place}: certificate is not valid before {}; check this machine's clock or replace it", rfc3339(*.not_before))]
    NotYetValid {
        /// Where the chain was read.
        place: String,
        /// The first moment of its validity.
        not_before: SystemTime,
    },
}

impl LoadError {
    /// Whether the same bytes may be valid at another time.
    pub(crate) fn depends_on_time(&self) -> bool {
        matches!(self, LoadError::Expired { .. } | LoadError::NotYetValid { .. })
    }
}
