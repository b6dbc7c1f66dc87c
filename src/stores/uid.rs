//! The uid of an object, without an allocation of its own: most of what is kept has two.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};

/// The length of a UUID, which every uid is that the API server gives.
const UUID_LENGTH: usize = 36;

/// The uid of an object; empty where it is not known.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Uid(Text);

#[derive(Clone, Eq, Hash, PartialEq)]
enum Text {
    Uuid([u8; UUID_LENGTH]),
    Other(Box<str>),
}

impl Deref for Uid {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // It came of a text.
            Text::Uuid(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Text::Other(text) => text,
        }
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().try_into().map_or_else(|_| Text::Other(text.into()), Text::Uuid))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::from("")
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a>(#[serde(borrow)] Cow<'a, str>);
        Ok(Self::from(&*Wire::deserialize(deserializer)?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_kept_as_it_is() {
        let uuid = "0b7a2f9e-6a1c-4d5e-9f00-1234567890ab";
        let of_its_length = "ü".repeat(UUID_LENGTH / 2);
        for text in ["", "u-1", uuid, &of_its_length, &format!("{uuid}0")] {
            assert_eq!(&*Uid::from(text), text);
        }
        assert_ne!(Uid::from(uuid), Uid::from("0b7a2f9e-6a1c-4d5e-9f00-1234567890ac"));
        assert_eq!(size_of::<Option<Uid>>(), 40);
    }
}
