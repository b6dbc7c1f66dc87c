//! From PEM bytes to a pair that can be served: the only place that parses.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::load_error::LoadError;
use crate::pair::{Part, PemPair};
use crate::timestamp::{from_unix, rfc3339};

/// A chain and its key that belong together and were valid when they were loaded.
#[derive(Clone)]
pub struct Loaded {
    /// What rustls presents and signs with.
    pub certified_key: Arc<CertifiedKey>,
    /// The first moment of the server certificate's validity.
    pub not_before: SystemTime,
    /// The last moment of the server certificate's validity.
    pub not_after: SystemTime,
    /// Serial number of the server certificate: lower-case hexadecimal, two digits an octet, no separators, and without
    /// the zero octet that DER puts before a high bit.
    pub serial: String,
    /// SHA-256 of the server certificate's DER: 64 lower-case hexadecimal digits.
    pub fingerprint: String,
}

/// What is read from the first certificate of the chain.
struct Leaf {
    not_before: SystemTime,
    not_after: SystemTime,
    serial: String,
}

impl Loaded {
    /// Parses the pair and checks that the key belongs to the first certificate, and that this one is valid at `now`.
    pub fn from_pem(pair: &PemPair, now: SystemTime) -> Result<Self, LoadError> {
        let loaded = Self::of_any_time(pair)?;
        let place = || pair.certificate_place.clone();
        if now < loaded.not_before {
            return Err(LoadError::NotYetValid { place: place(), not_before: loaded.not_before });
        }
        if now > loaded.not_after {
            return Err(LoadError::Expired { place: place(), not_after: loaded.not_after });
        }
        Ok(loaded)
    }

    /// Parses the pair and checks that the key belongs to the first certificate, whenever this one is valid.
    pub(crate) fn of_any_time(pair: &PemPair) -> Result<Self, LoadError> {
        let chain = certificates(&pair.certificate_place, &pair.certificate)?;
        let key = private_key(&pair.key_place, &pair.key)?;
        let leaf = parse_chain(&pair.certificate_place, &chain)?;
        let fingerprint = hex(&Sha256::digest(&chain[0]));
        let certified_key = match_key(pair, chain, key)?;
        Ok(Self {
            certified_key: Arc::new(certified_key),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            serial: leaf.serial,
            fingerprint,
        })
    }
}

/// Without chain and key: this ends up in logs.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("not_before", &rfc3339(self.not_before))
            .field("not_after", &rfc3339(self.not_after))
            .field("serial", &self.serial)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// At least one certificate, in the order of the text; blocks of other kinds are skipped.
fn certificates(place: &str, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain: Vec<_> = sections(place, content, Part::Certificate)?
        .into_iter()
        .filter_map(|(kind, der)| CertificateDer::from_pem(kind, der))
        .collect();
    if chain.is_empty() {
        return Err(if has_block(content) {
            LoadError::NoCertificate { place: place.to_owned() }
        } else {
            not_pem(place, Part::Certificate)
        });
    }
    Ok(chain)
}

/// The first private key of the text; blocks of other kinds (such as `EC PARAMETERS`) are skipped.
fn private_key(place: &str, content: &[u8]) -> Result<PrivateKeyDer<'static>, LoadError> {
    // The old encrypted format keeps the label of a plain key and adds a header, which is not base64.
    if contains(content, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(content, b"Proc-Type: 4,ENCRYPTED") {
        return Err(LoadError::EncryptedKey { place: place.to_owned() });
    }
    let key =
        sections(place, content, Part::Key)?.into_iter().find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    match key {
        Some(key) => Ok(key),
        None if has_block(content) => Err(LoadError::NoKey { place: place.to_owned() }),
        None => Err(not_pem(place, Part::Key)),
    }
}

/// Every PEM block of the text; a broken block is an error, as a truncated chain would be served otherwise.
fn sections(place: &str, content: &[u8], part: Part) -> Result<Vec<(SectionKind, Vec<u8>)>, LoadError> {
    let place = place.to_owned();
    if content.trim_ascii().is_empty() {
        return Err(LoadError::Empty { place, part });
    }
    // The parser ignores a last line that is cut off before BEGIN, and with it the rest of the chain.
    let last_line = content.rsplit(|byte| *byte == b'\n').next();
    if last_line.is_some_and(|line| !line.is_empty() && b"-----BEGIN ".starts_with(line)) {
        return Err(LoadError::Cut { place, part });
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(content).collect::<Result<_, _>>().map_err(|error| match error {
        pem::Error::MissingSectionEnd { .. } => LoadError::Cut { place, part },
        // The text ends inside the line that opens a block.
        pem::Error::IllegalSectionStart { line } if content.ends_with(&line) => LoadError::Cut { place, part },
        _ => LoadError::DamagedPem { place, part },
    })
}

/// Checks every certificate of the chain, returns the content of the first one.
fn parse_chain(place: &str, chain: &[CertificateDer<'_>]) -> Result<Leaf, LoadError> {
    let mut leaf = None;
    for (index, der) in chain.iter().enumerate() {
        let read = read_certificate(der).map_err(|reason| LoadError::BadCertificate {
            place: place.to_owned(),
            position: index + 1,
            reason,
        })?;
        leaf.get_or_insert(read);
    }
    leaf.ok_or_else(|| LoadError::NoCertificate { place: place.to_owned() })
}

fn read_certificate(der: &[u8]) -> Result<Leaf, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes too many", rest.len()));
    }
    let date = |seconds| from_unix(seconds).ok_or("validity out of range");
    Ok(Leaf {
        not_before: date(certificate.validity().not_before.timestamp())?,
        not_after: date(certificate.validity().not_after.timestamp())?,
        serial: hex(&certificate.serial.to_bytes_be()),
    })
}

fn match_key(
    pair: &PemPair,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, LoadError> {
    let unusable =
        |error: rustls::Error| LoadError::UnusableKey { place: pair.key_place.clone(), reason: error.to_string() };
    let key = ring::default_provider().key_provider.load_private_key(key).map_err(unusable)?;
    let certified_key = CertifiedKey::new(chain, key);
    match certified_key.keys_match() {
        Ok(()) => Ok(certified_key),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(LoadError::Mismatched { certificate: pair.certificate_place.clone(), key: pair.key_place.clone() })
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(unusable(rustls::Error::General("its public key is unknown".to_owned())))
        }
        // Any other error is about the certificate: this parser is stricter than the first one.
        Err(error) => Err(LoadError::BadCertificate {
            place: pair.certificate_place.clone(),
            position: 1,
            reason: error.to_string(),
        }),
    }
}

fn not_pem(place: &str, part: Part) -> LoadError {
    LoadError::NotPem { place: place.to_owned(), part }
}

fn has_block(content: &[u8]) -> bool {
    contains(content, b"-----BEGIN ")
}

fn contains(content: &[u8], words: &[u8]) -> bool {
    content.windows(words.len()).any(|window| window == words)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
