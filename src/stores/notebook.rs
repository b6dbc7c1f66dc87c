//! The slim form of Notebooks: that they exist.

use serde::{Deserialize, Deserializer};

use super::metadata::WireMetadata;
use super::slim::{Identity, Slim};
use crate::notebook::Notebook;

/// A Notebook, of which only the identity is used.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNotebook(Identity);

impl<'de> Deserialize<'de> for StoredNotebook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: WireMetadata,
        }
        let Wire { mut metadata } = Wire::deserialize(deserializer)?;
        Ok(Self(metadata.identity()))
    }
}

impl Slim for StoredNotebook {
    type Of = Notebook;
    const METADATA_ONLY: bool = true;

    fn identity(&self) -> &Identity {
        &self.0
    }
}
