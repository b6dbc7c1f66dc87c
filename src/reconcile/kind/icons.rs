//! Icons: the digests of the icon and the logo of a kind that are in ConfigMaps, or why they have none. Pure.
//!
//! The user interface reads these texts; they are those of the Go controller.

use crds::labels::IMAGE_SOURCE_LABEL;
use crds::workspace_kind::{Asset, AssetConfigMap, AssetConfigMapStatus, AssetErrorType, AssetStatus};

/// What is known of a key of a ConfigMap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FoundImage {
    /// Nothing yet.
    Unknown,
    /// It may not be read.
    Forbidden,
    /// There is no such ConfigMap with the label.
    NoConfigMap,
    /// The ConfigMap has no such key.
    NoKey,
    /// The SHA-256 of its value.
    Sha256(String),
}

/// The status of an image, `held` while nothing is known. One at a URL has none.
pub(super) fn asset_status(
    asset: &Asset,
    held: Option<&AssetStatus>,
    find: impl Fn(&AssetConfigMap) -> FoundImage,
) -> AssetStatus {
    let Some(source) = asset.config_map.as_ref().filter(|_| asset.url.is_none()) else {
        return AssetStatus::default();
    };
    let AssetConfigMap { name, namespace, key, .. } = source;
    let error = |type_, message| AssetStatus {
        sha256: None,
        config_map: Some(AssetConfigMapStatus { error_type: Some(type_), error_message: Some(message) }),
    };
    match find(source) {
        FoundImage::Unknown => held.cloned().unwrap_or_default(),
        FoundImage::Sha256(sha256) => AssetStatus { sha256: Some(sha256), config_map: None },
        FoundImage::NoConfigMap => error(
            AssetErrorType::NotFound,
            format!(
                "ConfigMap {name:?} not found in namespace {namespace:?} (if it exists, ensure it has the \
                 {IMAGE_SOURCE_LABEL:?} label)"
            ),
        ),
        FoundImage::NoKey => error(
            AssetErrorType::KeyNotFound,
            format!("key {key:?} not found in ConfigMap {name:?} in namespace {namespace:?}"),
        ),
        FoundImage::Forbidden => error(
            AssetErrorType::Other,
            format!(
                "failed to get ConfigMap {name:?} in namespace {namespace:?}: the controller may not list ConfigMaps"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_image_is_its_digest_or_the_reason_why_there_is_none() {
        let source = json!({"name": "icons", "namespace": "ns", "key": "a.svg", "mediaType": "image/svg+xml"});
        let asset: Asset = serde_json::from_value(json!({"configMap": source})).unwrap();
        let held = AssetStatus { sha256: Some("held".to_owned()), config_map: None };
        let status = |held: Option<&AssetStatus>, found: FoundImage| -> Value {
            serde_json::to_value(asset_status(&asset, held, |_| found.clone())).unwrap()
        };
        let error = |type_: &str, message: &str| json!({"configMap": {"errorType": type_, "errorMessage": message}});
        assert_eq!(status(Some(&held), FoundImage::Unknown), json!({"sha256": "held"}));
        assert_eq!(status(None, FoundImage::Unknown), json!({}));
        assert_eq!(status(Some(&held), FoundImage::Sha256("ab".to_owned())), json!({"sha256": "ab"}));
        let message = r#"ConfigMap "icons" not found in namespace "ns" (if it exists, ensure it has the "notebooks.kubeflow.org/image-source" label)"#;
        assert_eq!(status(Some(&held), FoundImage::NoConfigMap), error("NotFound", message));
        let message = r#"key "a.svg" not found in ConfigMap "icons" in namespace "ns""#;
        assert_eq!(status(Some(&held), FoundImage::NoKey), error("KeyNotFound", message));
        let message = r#"failed to get ConfigMap "icons" in namespace "ns": the controller may not list ConfigMaps"#;
        assert_eq!(status(Some(&held), FoundImage::Forbidden), error("Other", message));
        let at_url: Asset = serde_json::from_value(json!({"url": "https://example.com/a.svg"})).unwrap();
        assert_eq!(asset_status(&at_url, Some(&held), |_| FoundImage::NoKey), AssetStatus::default());
    }
}
