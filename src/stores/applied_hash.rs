//! The hash of an object as it was applied, which an annotation of the object holds.

use std::fmt;

use crds::labels::APPLIED_HASH_LENGTH;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

/// Each is two hexadecimal digits in the annotation.
const BYTES: usize = APPLIED_HASH_LENGTH / 2;

/// The hash of an object as it was applied: the first 16 bytes of its SHA-256. Its text, the value of the annotation, is 32
/// hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AppliedHash([u8; BYTES]);

impl AppliedHash {
    /// That of an object with this SHA-256.
    pub fn of_sha256(sha256: Sha256) -> Self {
        let digest: [u8; 32] = sha256.finalize().into();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&digest[..BYTES]);
        Self(bytes)
    }

    /// That of an annotation. Where somebody wrote another text into it, it is that of no object.
    pub fn of_text(text: &str) -> Self {
        let read = u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes()));
        let read = read.ok().filter(|hash| hash.to_string() == text);
        read.unwrap_or_else(|| Self::of_sha256(Sha256::new_with_prefix(text)))
    }
}

impl fmt::Display for AppliedHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0width$x}", u128::from_be_bytes(self.0), width = APPLIED_HASH_LENGTH)
    }
}

impl<'de> Deserialize<'de> for AppliedHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of_text(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_hash_is_read_as_one() {
        let text = "0041e9fd5cf59d3f472f277021c333ec";
        assert_eq!(AppliedHash::of_text(text).to_string(), text);
        let plus = format!("+{}", &text[1..]);
        for other in ["", "abc", &text[1..], &text.to_uppercase(), &plus] {
            let hash = AppliedHash::of_text(other);
            assert_ne!(hash, AppliedHash::of_text(text), "{other}");
            assert_ne!(hash.to_string(), other);
            assert_eq!(hash, AppliedHash::of_text(other));
        }
    }
}
