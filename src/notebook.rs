//! The Notebook of Kubeflow's first notebook controller (`kubeflow.org/v1`). Only its name matters: its Service would
//! select the pod of a Workspace of that name.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// A Notebook without its spec.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Notebook {
    metadata: ObjectMeta,
}

impl k8s_openapi::Resource for Notebook {
    const API_VERSION: &'static str = "kubeflow.org/v1";
    const GROUP: &'static str = "kubeflow.org";
    const KIND: &'static str = "Notebook";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "notebooks";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Notebook {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
