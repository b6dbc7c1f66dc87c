//! The slim form of ConfigMaps with images: the digest of each value, never a value.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use super::metadata::WireMetadata;
use super::slim::{Identity, Slim};

/// The SHA-256 of a value.
type Digest = [u8; 32];

/// A ConfigMap with images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSource {
    identity: Identity,
    /// By key, ordered.
    digests: Box<[(Box<str>, Digest)]>,
}

impl ImageSource {
    /// The SHA-256 of the value of a key, in hex.
    pub fn sha256(&self, key: &str) -> Option<String> {
        let index = self.digests.binary_search_by(|(held, _)| (**held).cmp(key)).ok()?;
        Some(hex(&self.digests[index].1))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl<'de> Deserialize<'de> for ImageSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            metadata: WireMetadata,
            #[serde(default)]
            data: Option<BTreeMap<Box<str>, OfText>>,
            #[serde(default)]
            binary_data: Option<BTreeMap<Box<str>, OfBase64>>,
        }
        let Wire { mut metadata, data, binary_data } = Wire::deserialize(deserializer)?;
        let texts = data.unwrap_or_default().into_iter().map(|(key, OfText(digest))| (key, digest));
        let bytes = binary_data.unwrap_or_default().into_iter().map(|(key, OfBase64(digest))| (key, digest));
        // No key is in both.
        let digests: BTreeMap<Box<str>, Digest> = texts.chain(bytes).collect();
        Ok(Self { identity: metadata.identity(), digests: digests.into_iter().collect() })
    }
}

impl Slim for ImageSource {
    type Of = ConfigMap;

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The digest of a text.
struct OfText(Digest);

impl<'de> Deserialize<'de> for OfText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digesting(|text, sha256| sha256.write_all(text.as_bytes()))).map(Self)
    }
}

/// The digest of the bytes that a text in Base64 stands for.
struct OfBase64(Digest);

impl<'de> Deserialize<'de> for OfBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decode = |text: &str, sha256: &mut Sha256| {
            io::copy(&mut DecoderReader::new(text.as_bytes(), &STANDARD), sha256).map(drop)
        };
        deserializer.deserialize_str(Digesting(decode)).map(Self)
    }
}

/// Digests a text where it is, without a copy.
struct Digesting(fn(&str, &mut Sha256) -> io::Result<()>);

impl Visitor<'_> for Digesting {
    type Value = Digest;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
        let mut sha256 = Sha256::new();
        (self.0)(text, &mut sha256).map_err(E::custom)?;
        Ok(sha256.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn source(data: &serde_json::Value, binary_data: &serde_json::Value) -> ImageSource {
        let object = json!({
            "metadata": {"name": "icons", "namespace": "ns", "uid": "u"}, "data": data, "binaryData": binary_data,
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn digests_are_those_of_the_bytes() {
        let source = source(&json!({"a.svg": "abc", "quoted": "\"\n"}), &json!({"b.svg": "YWJj", "empty": ""}));
        assert_eq!(source.sha256("a.svg").as_deref(), Some(OF_ABC));
        assert_eq!(source.sha256("b.svg").as_deref(), Some(OF_ABC));
        assert_eq!(source.sha256("quoted"), Some(hex(&Sha256::digest("\"\n"))));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(source.sha256("empty").as_deref(), Some(empty));
        assert_eq!(source.sha256("missing"), None);
    }

    #[test]
    fn a_large_value_leaves_its_digest_only() {
        let large = "x".repeat(1 << 20);
        let source = source(&json!({"large": large}), &serde_json::Value::Null);
        assert!(source.sha256("large").is_some());
        assert_eq!(size_of_val(&*source.digests), size_of::<(Box<str>, Digest)>());
    }
}
