//! The hash of an object as it is applied: kept in its annotation, so that a later reconcile knows what was applied without
//! reading it.

use std::io;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::render::Manifest;

pub(in crate::reconcile) use crate::stores::applied_hash::AppliedHash as Hash;

/// The hash of an object as it will be applied, but for the annotation that holds it.
///
/// It is that of the body of the apply: what an earlier version wrote otherwise has another one, and is applied again.
pub(in crate::reconcile) fn hash(object: &dyn Manifest) -> Hash {
    hash_written(|sink| object.write_body(sink))
}

/// The hash of a value as JSON.
pub(in crate::reconcile) fn hash_of(value: &impl Serialize) -> Hash {
    hash_written(|sink| serde_json::to_writer(sink, value))
}

fn hash_written(write: impl FnOnce(&mut dyn io::Write) -> serde_json::Result<()>) -> Hash {
    let mut sink = HashSink(Sha256::new());
    // Neither the types nor the sink can fail; were one to, what was hashed so far still distinguishes versions.
    let _ = write(&mut io::BufWriter::new(&mut sink));
    Hash::of_sha256(sink.0)
}

struct HashSink(Sha256);

impl io::Write for HashSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crds::labels::APPLIED_HASH_LENGTH;
    use k8s_openapi::api::core::v1::{Container, EnvVar};

    use super::*;
    use crate::config::Routing;
    use crate::render::{Desired, RenderInput, Route, render};

    fn desired() -> Desired {
        let kind = crds::testing::workspace_kind("k");
        let workspace = crds::testing::workspace("ns", "lab", "k");
        render(RenderInput::from(&workspace), &kind.spec, &Routing::default()).unwrap()
    }

    /// A route whose successor is refused stays only if its hash is that of what is stored, so with another hash for the
    /// same route an update would delete it. A change here has to handle that.
    #[test]
    fn the_hash_of_a_route_is_that_of_earlier_versions() {
        let Route::Wanted(route) = desired().route else { unreachable!() };
        assert_eq!(hash(&*route).to_string(), "e841e9fd5cf59d3f472f277021c333ec");
    }

    /// Each claim and Secret is mounted once: such sets are not written anew by a later version.
    #[test]
    fn the_hash_of_a_stateful_set_is_that_of_earlier_versions() {
        let mut workspace = crds::testing::workspace("ns", "lab", "k");
        workspace.spec.pod_template.volumes = serde_json::from_value(serde_json::json!({
            "home": "home",
            "data": [
                {"pvcName": "data", "mountPath": "/data"},
                {"pvcName": "shared", "mountPath": "/shared", "readOnly": true},
            ],
            "secrets": [{"secretName": "token", "mountPath": "/token"}],
        }))
        .unwrap();
        let mut kind = crds::testing::workspace_kind("k");
        let template = &mut kind.spec.pod_template;
        template.extra_volumes = serde_json::from_value(serde_json::json!([
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": true}},
            {"name": "ca", "secret": {"secretName": "ca"}},
        ]))
        .unwrap();
        template.extra_volume_mounts = serde_json::from_value(serde_json::json!([
            {"name": "models", "mountPath": "/models"},
            {"name": "ca", "mountPath": "/ca"},
            {"name": "home-volume", "mountPath": "/mnt/home"},
        ]))
        .unwrap();
        let set = render(RenderInput::from(&workspace), &kind.spec, &Routing::default()).unwrap().stateful_set;
        assert_eq!(hash(&set).to_string(), "048f108c05b2f1d20be4f3f1e5b05fff");
    }

    /// The extra volumes have no mount that is made, so each claim and Secret is mounted once here too.
    #[test]
    fn the_hash_of_a_stateful_set_with_volumes_that_are_not_mounted_is_that_of_earlier_versions() {
        let mut workspace = crds::testing::workspace("ns", "lab", "k");
        workspace.spec.pod_template.volumes = serde_json::from_value(serde_json::json!({
            "home": "h",
            "data": [{"pvcName": "models", "mountPath": "/models", "readOnly": true}],
            "secrets": [{"secretName": "s", "mountPath": "/s"}],
        }))
        .unwrap();
        let mut kind = crds::testing::workspace_kind("k");
        let template = &mut kind.spec.pod_template;
        template.extra_volumes = serde_json::from_value(serde_json::json!([
            {"name": "m", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "unused", "persistentVolumeClaim": {"claimName": "h"}},
            {"name": "token", "secret": {"secretName": "s"}},
        ]))
        .unwrap();
        template.extra_volume_mounts =
            serde_json::from_value(serde_json::json!([{"name": "m", "mountPath": "/models"}])).unwrap();
        let set = render(RenderInput::from(&workspace), &kind.spec, &Routing::default()).unwrap().stateful_set;
        assert_eq!(hash(&set).to_string(), "472d8a3030a3d2bd206e65cd40ab708b");
    }

    /// As it was before apply bodies were escaped, where nothing is: those objects are not written anew.
    #[test]
    fn the_hash_is_that_of_plain_json_unless_a_yaml_reader_would_misread_it() {
        let mut set = desired().stateful_set;
        let plain = |set: &k8s_openapi::api::apps::v1::StatefulSet| {
            format!("{:x}", Sha256::digest(serde_json::to_vec(set).unwrap()))[..APPLIED_HASH_LENGTH].to_owned()
        };
        assert_eq!(hash(&set).to_string(), plain(&set));
        let spec = set.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
        let variable = EnvVar { name: "A".to_owned(), value: Some("a\u{85}b".to_owned()), ..EnvVar::default() };
        spec.containers = vec![Container { env: Some(vec![variable]), ..Container::default() }];
        assert_ne!(hash(&set).to_string(), plain(&set));
    }
}
