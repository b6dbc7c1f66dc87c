//! A pair of PEM texts that has not been parsed, and the sources of such pairs.

use std::fmt;

use sha2::{Digest, Sha256};

/// A source of the pair that should be served: files, or anything else that holds one.
pub trait PairSource: fmt::Debug + Send {
    /// Both texts of one publication. May block, but not for long.
    fn read(&self) -> Result<PemPair, SourceError>;
}

/// Why a source has no pair: one line that names the place and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// The bytes of both texts, from one publication, not parsed yet.
pub struct PemPair {
    /// Where the chain was read; for messages.
    pub certificate_place: String,
    /// Where the key was read; for messages.
    pub key_place: String,
    /// The certificate chain as PEM.
    pub certificate: Vec<u8>,
    /// The private key as PEM.
    pub key: Vec<u8>,
}

/// Which of the two texts an error is about.
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

impl PemPair {
    /// Identifies the content without keeping a second copy of the key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        // The length keeps bytes that move from one text to the other from hashing alike.
        hash.update(self.certificate.len().to_le_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_move_between_the_texts_change_the_digest() {
        let pair = |certificate: &str, key: &str| PemPair {
            certificate_place: "tls.crt".into(),
            key_place: "tls.key".into(),
            certificate: certificate.into(),
            key: key.into(),
        };
        assert_eq!(pair("ab", "c").digest(), pair("ab", "c").digest());
        assert_ne!(pair("ab", "c").digest(), pair("a", "bc").digest());
        assert_ne!(pair("ab", "c").digest(), pair("ab", "d").digest());
    }
}
