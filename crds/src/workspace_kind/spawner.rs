//! How a kind is shown to users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::labels::data_key_dots_fault;

/// How a kind is shown to users who create a Workspace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spawner {
    /// The name shown to users.
    #[schemars(length(min = 2, max = 128))]
    pub display_name: String,

    /// What the kind is for.
    #[schemars(length(min = 2, max = 4096))]
    pub description: String,

    /// Whether the kind is hidden from the spawner. Existing Workspaces are not affected.
    #[serde(default)]
    pub hidden: bool,

    /// Whether the kind is deprecated. Existing Workspaces are not affected.
    #[serde(default)]
    pub deprecated: bool,

    /// What to use instead, shown while the kind is deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256))]
    pub deprecation_message: Option<String>,

    /// A small image, such as a favicon.
    pub icon: Asset,

    /// A larger square image, shown on the card of the kind.
    pub logo: Asset,
}

/// An image: either at a URL or in a ConfigMap.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.url) && has(self.configMap)) && (has(self.url) || has(self.configMap))",
    "message": "must specify exactly one of 'url' or 'configMap'",
}]))]
pub struct Asset {
    /// The URL that the browser loads the image from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// The ConfigMap that holds the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<AssetConfigMap>,
}

/// A key of a ConfigMap that holds an image.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetConfigMap {
    /// The name of the ConfigMap.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,

    /// The namespace of the ConfigMap.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,

    /// The key in the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,

    /// The media type of the image.
    pub media_type: AssetMediaType,
}

impl AssetConfigMap {
    /// Why no ConfigMap has such a key, if so; the schema checks its length and characters.
    pub fn key_fault(&self) -> Option<&'static str> {
        data_key_dots_fault(&self.key)
    }
}

/// The media type of an image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AssetMediaType {
    /// Scalable Vector Graphics.
    #[serde(rename = "image/svg+xml")]
    Svg,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_names_of_directories() {
        let fault = |key: &str| {
            let (name, namespace, key) = ("icons".to_owned(), "kubeflow".to_owned(), key.to_owned());
            AssetConfigMap { name, namespace, key, media_type: AssetMediaType::Svg }.key_fault()
        };
        assert_eq!(fault("."), Some("must not be '.'"));
        assert_eq!(fault(".."), Some("must not be '..'"));
        for key in ["..data", "...", "..svg"] {
            assert_eq!(fault(key), Some("must not start with '..'"), "{key}");
        }
        for key in ["icon.svg", ".icon", "a..b", "-", ".-", "_"] {
            assert_eq!(fault(key), None, "{key}");
        }
    }
}
