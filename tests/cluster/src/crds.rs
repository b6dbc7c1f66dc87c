//! Installs custom resource definitions and waits until they are served.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Reply;
use crate::error::{Doing as _, read};
use crate::{Cluster, Error, Result};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Creates every object of a YAML file of definitions; returns their names.
pub(crate) fn create(cluster: &Cluster, file: &Path) -> Result<Vec<String>> {
    let text = read(file)?;
    let is_object = |document: &&str| document.lines().any(|line| line.starts_with("kind:"));
    let mut names = Vec::new();
    for document in format!("\n{text}").split("\n---").filter(is_object) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let created = cluster.wait_for("a CRD to be created", TIMEOUT, || {
            match cluster.api().create_yaml(path, document) {
                // The API server listens before it serves all paths.
                Ok(reply) if matches!(reply.status, 403 | 404 | 429 | 500 | 503) => Err(reply.body),
                Ok(reply) => Ok(reply),
                Err(error) => Err(error.to_string()),
            }
        })?;
        let created = created.ok().map_err(|error| Error::Unknown(format!("{}: {error}", file.display())))?;
        names.push(created["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    }
    Ok(names)
}

/// A definition of Istio's Gateways that takes any object.
pub fn gateway_crd() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names = json!({"kind": "Gateway", "plural": "gateways", "singular": "gateway"});
    json!({
        "metadata": {"name": "gateways.networking.istio.io"},
        "spec": {"group": "networking.istio.io", "names": names, "scope": "Namespaced", "versions": [version]},
    })
}

/// Creates the definitions of `crds/*.yaml`; returns their names.
pub(crate) fn create_product(cluster: &Cluster) -> Result<Vec<String>> {
    let dir = crate::workspace_root().join("crds");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .doing(|| format!("cannot read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut names = Vec::new();
    for file in files {
        names.extend(create(cluster, &file)?);
    }
    Ok(names)
}

/// Waits until objects of these definitions can be created.
pub(crate) fn wait_established(cluster: &Cluster, names: &[String]) -> Result<()> {
    for name in names {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let what = format!("CRD {name} to be served");
        cluster.wait_for(&what, TIMEOUT, || {
            let definition = cluster.api().get(&path).and_then(Reply::ok).map_err(|error| error.to_string())?;
            let empty = Vec::new();
            let conditions = definition["status"]["conditions"].as_array().unwrap_or(&empty);
            let established =
                conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True");
            if !established {
                return Err(definition["status"].to_string());
            }
            let spec = &definition["spec"];
            let version = &spec["versions"].as_array().into_iter().flatten().find(|version| version["served"] == true);
            let list = format!(
                "/apis/{}/{}/{}?limit=1",
                spec["group"].as_str().unwrap_or_default(),
                version.map_or("", |version| version["name"].as_str().unwrap_or_default()),
                spec["names"]["plural"].as_str().unwrap_or_default()
            );
            cluster.api().get(&list).and_then(Reply::ok).map_err(|error| error.to_string())
        })?;
    }
    Ok(())
}

impl Cluster {
    /// Installs the definitions of a YAML file and waits until they are served.
    pub fn install_crds(&self, file: &Path) -> Result<()> {
        let names = create(self, file)?;
        wait_established(self, &names)
    }

    /// Installs Istio's VirtualService CRD, for an instance that was started without it.
    pub fn install_virtual_service_crd(&self) -> Result<()> {
        self.install_crds(&self.tools().virtual_service_crd)
    }

    /// Installs a CRD of Notebooks (`kubeflow.org/v1`), for objects whose names the product must not take.
    pub fn install_notebook_crd(&self) -> Result<()> {
        self.install_crds(&crate::workspace_root().join("tests/cluster/notebooks.yaml"))
    }

    /// Installs the CRDs of `crds/*.yaml`, for an instance that was started without them.
    pub fn install_product_crds(&self) -> Result<()> {
        let names = create_product(self)?;
        wait_established(self, &names)
    }
}
