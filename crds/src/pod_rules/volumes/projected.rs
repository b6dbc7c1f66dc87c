//! The source `projected`: several sources in one directory.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection};

use super::files::{validate_file_path, validate_items, validate_mode, validate_pod_fields};
use crate::field_path::FieldPath;
use crate::pod_rules::faults::PodFaults;
use crate::pod_rules::syntax::validate_required;

/// The shortest and the longest life of a token, in seconds.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

/// Validates the source `projected` at `at`.
///
/// A `clusterTrustBundle` is not judged: the API server drops it unless the feature gate `ClusterTrustBundleProjection`
/// is on, which it is not by default.
pub(super) fn validate(source: &ProjectedVolumeSource, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_mode(source.default_mode, &at.field("defaultMode"), faults);
    let sources_at = at.field("sources");
    let mut paths = BTreeSet::new();
    for (index, source) in source.sources.iter().flatten().enumerate() {
        validate_source(source, &sources_at.index(index), faults);
        for (path, value) in paths_of(source) {
            if !path.is_empty() && !paths.insert(path) {
                faults.invalid(at, value, "conflicting duplicate paths");
            }
        }
    }
}

fn validate_source(source: &VolumeProjection, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let VolumeProjection { config_map, downward_api, secret, service_account_token, cluster_trust_bundle: _ } = source;
    if let Some(secret) = secret {
        let at = at.field("secret");
        validate_required(&[("name", &secret.name)], &at, faults);
        validate_items(secret.items.as_deref(), &at, faults);
    }
    if let Some(config_map) = config_map {
        let at = at.field("configMap");
        validate_required(&[("name", &config_map.name)], &at, faults);
        validate_items(config_map.items.as_deref(), &at, faults);
    }
    if let Some(downward_api) = downward_api {
        validate_pod_fields(downward_api.items.as_deref(), &at.field("downwardAPI"), faults);
    }
    if let Some(token) = service_account_token {
        validate_token(token, &at.field("serviceAccountToken"), faults);
    }
    let given = [secret.is_some(), config_map.is_some(), downward_api.is_some(), service_account_token.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        faults.forbidden(at, "may not specify more than 1 volume type per source");
    }
}

fn validate_token(token: &ServiceAccountTokenProjection, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let seconds_at = at.field("expirationSeconds");
    match token.expiration_seconds {
        Some(seconds) if seconds < TOKEN_SECONDS_MIN => {
            faults.invalid(&seconds_at, seconds, "may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > TOKEN_SECONDS_MAX => {
            faults.invalid(&seconds_at, seconds, "may not specify a duration larger than 2^32 seconds");
        }
        _ => {}
    }
    validate_file_path(&token.path, &at.field("path"), faults);
}

/// The paths of the files of a source, each with the value that the API server quotes where it has been used before. It
/// does not compare the path of a token.
fn paths_of(source: &VolumeProjection) -> impl Iterator<Item = (&str, &str)> {
    let secret =
        source.secret.iter().flat_map(|secret| secret.items.iter().flatten().map(|item| (&*item.path, &*secret.name)));
    let config_map = source
        .config_map
        .iter()
        .flat_map(|config_map| config_map.items.iter().flatten().map(|item| (&*item.path, &*config_map.name)));
    let downward_api = source.downward_api.iter().flat_map(|downward_api| downward_api.items.iter().flatten());
    secret.chain(config_map).chain(downward_api.map(|item| (&*item.path, &*item.path)))
}
