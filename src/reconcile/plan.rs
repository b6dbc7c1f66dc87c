//! What should exist for a Workspace, in the form that is cheap to keep: hashes instead of objects.
//!
//! Most looks at a Workspace are about its pod. They need not render anything as long as Workspace and kind are those
//! of the last rendering.

use std::fmt::Write as _;
use std::io;

use crds::{WorkspaceKind, apply_body};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::Routing;
use crate::render::{self, Desired, LeftOutMount, RenderFault, Route, RouteFault};
use crate::stores::workspace::StoredWorkspace;

/// Bytes of the hash in the annotation.
const HASH_BYTES: usize = 16;

/// What a rendering depends on. The settings do not change while the process lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Inputs {
    workspace: (Box<str>, i64),
    kind: (String, i64),
    /// Whether no pod may run for now.
    held: bool,
}

impl Inputs {
    pub fn new(workspace: &StoredWorkspace, kind: &WorkspaceKind, held: bool) -> Self {
        let metadata = &kind.metadata;
        Self {
            workspace: (workspace.identity.uid.clone(), workspace.generation),
            kind: (metadata.uid.clone().unwrap_or_default(), metadata.generation.unwrap_or_default()),
            held,
        }
    }
}

/// What should exist, as hashes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    inputs: Inputs,
    /// None where the kind names an existing account.
    pub service_account: Option<Hash>,
    pub stateful_set: Hash,
    pub service: Hash,
    pub route: RoutePlan,
    pub left_out: Vec<LeftOutMount>,
}

#[derive(Clone, Debug)]
pub(super) enum RoutePlan {
    Off,
    Wanted(Hash),
    Refused(RouteFault),
}

/// The value of the annotation with the hash of what was applied.
pub(super) type Hash = Box<str>;

impl Plan {
    /// Whether it was made from these.
    pub fn is_for(&self, inputs: &Inputs) -> bool {
        self.inputs == *inputs
    }

    /// Renders, and keeps the hashes. What was rendered comes along, for those that have to be written.
    pub fn make(
        inputs: Inputs,
        workspace: &StoredWorkspace,
        kind: &WorkspaceKind,
        routing: &Routing,
    ) -> Result<(Self, Box<Desired>), RenderFault> {
        let mut desired = Box::new(render::render(workspace.subject(), &kind.spec, routing)?);
        if let (true, Some(spec)) = (inputs.held, &mut desired.stateful_set.spec) {
            spec.replicas = Some(0);
        }
        let plan = Self {
            inputs,
            service_account: desired.service_account.as_ref().map(hash),
            stateful_set: hash(&desired.stateful_set),
            service: hash(&desired.service),
            route: match &desired.route {
                Route::Off => RoutePlan::Off,
                Route::Wanted(route) => RoutePlan::Wanted(hash(&**route)),
                Route::Refused(fault) => RoutePlan::Refused(fault.clone()),
            },
            left_out: desired.left_out.clone(),
        };
        Ok((plan, desired))
    }
}

/// The hash of an object as it will be applied, but for the annotation that holds it.
///
/// It is that of the body of the apply: what an earlier version wrote otherwise has another one, and is written anew.
pub(super) fn hash(object: &(impl Metadata<Ty = ObjectMeta> + Serialize)) -> Hash {
    let mut sink = HashSink(Sha256::new());
    // Neither the types nor the sink can fail; were one to, what was hashed so far still tells versions apart.
    let _ = apply_body::write(io::BufWriter::new(&mut sink), object);
    let digest = sink.0.finalize();
    let text = digest.iter().take(HASH_BYTES).fold(String::with_capacity(2 * HASH_BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.into()
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
    use k8s_openapi::api::core::v1::{Container, EnvVar};

    use super::*;
    use crate::config::Routing;
    use crate::render::{Subject, render};

    fn desired() -> Desired {
        let kind = crds::testing::workspace_kind("k");
        let workspace = crds::testing::workspace("ns", "lab", "k");
        render(Subject::from(&workspace), &kind.spec, &Routing::default()).unwrap()
    }

    /// A route whose successor is refused stays only if its hash is that of what is stored, so with another hash for the
    /// same route an update would delete it. Whoever has to change this must see to that.
    #[test]
    fn the_hash_of_a_route_is_that_of_earlier_versions() {
        let Route::Wanted(route) = desired().route else { unreachable!() };
        assert_eq!(&*hash(&*route), "e841e9fd5cf59d3f472f277021c333ec");
    }

    /// As it was before apply bodies were escaped, where nothing is: those objects are not written anew.
    #[test]
    fn the_hash_is_that_of_plain_json_unless_a_yaml_reader_would_misread_it() {
        let mut set = desired().stateful_set;
        let plain = |set: &k8s_openapi::api::apps::v1::StatefulSet| {
            format!("{:x}", Sha256::digest(serde_json::to_vec(set).unwrap()))[..2 * HASH_BYTES].to_owned()
        };
        assert_eq!(*hash(&set), *plain(&set));
        let spec = set.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
        let variable = EnvVar { name: "A".to_owned(), value: Some("a\u{85}b".to_owned()), ..EnvVar::default() };
        spec.containers = vec![Container { env: Some(vec![variable]), ..Container::default() }];
        assert_ne!(*hash(&set), *plain(&set));
    }
}
