//! CPU per review: a 27 KB WorkspaceKind UPDATE and a 1 KB Workspace CREATE, posted over TLS on kept connections.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cluster::{Cluster, ControllerOptions, ControllerProcess};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::process::cpu_seconds;
use crate::{Result, figure, large, overload};

const CONNECTIONS: usize = 4;
const WARM_UP: usize = 200;
const REVIEWS: usize = 5_000;

/// Where kinds are posted to.
pub const KIND_PATH: &str = "/validate-kubeflow-org-v1beta1-workspacekind?timeout=5s";
const WORKSPACE_PATH: &str = "/validate-kubeflow-org-v1beta1-workspace?timeout=5s";

/// Measures and prints.
pub fn measure(cluster: &Cluster, binary: &Path) -> Result<()> {
    let kind = large_kind();
    cluster.api().create("/apis/kubeflow.org/v1beta1/workspacekinds", &kind)?.ok()?;
    let mut options = ControllerOptions::new(binary);
    options.register_webhooks = false;
    let controller = ControllerProcess::start(cluster, &options.env("ENABLE_RECONCILE", "false"))?;
    let null = Null::start(controller.certificate_dir())?;

    let update = kind_update(&kind).to_string();
    let addition = review("UPDATE", &with_another_image(&kind), &kind).to_string();
    let create = workspace_create().to_string();
    let kib = |body: &str| body.len() / 1024;
    let cases = [
        (format!("WorkspaceKind UPDATE, {} KiB kind", kib(&kind.to_string())), KIND_PATH, update, Some(1305.0)),
        ("WorkspaceKind UPDATE that adds an image".to_owned(), KIND_PATH, addition, None),
        (format!("Workspace CREATE, {} B review", create.len()), WORKSPACE_PATH, create, Some(152.0)),
    ];
    for (what, path, body, go) in cases {
        let port = port_of(&controller.webhook_url())?;
        let ours = cpu_per_review(controller.pid()?, port, controller.ca_pem(), path, &body)?;
        let floor = cpu_per_review(null.pid()?, null.port, controller.ca_pem(), path, &body)?;
        figure(&format!("{what}: CPU a review"), ours, "us", go);
        figure("  a handler that parses nothing", floor, "us", None);
    }
    large::measure(&controller, &kind)?;
    overload::measure(&controller, &kind_update(&kind).to_string())
}

/// CPU microseconds of `pid` for one review.
fn cpu_per_review(pid: i32, port: u16, ca_pem: &str, path: &str, body: &str) -> Result<f64> {
    post_all(port, ca_pem, path, body, WARM_UP)?;
    let before = cpu_seconds(pid)?;
    post_all(port, ca_pem, path, body, REVIEWS)?;
    let reviews = REVIEWS * CONNECTIONS;
    #[allow(clippy::cast_precision_loss)]
    Ok((cpu_seconds(pid)? - before) * 1e6 / reviews as f64)
}

fn post_all(port: u16, ca_pem: &str, path: &str, body: &str, times: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| post(port, ca_pem, path, body, times))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })
}

/// Posts a body repeatedly on one connection; each review must be allowed.
pub fn post(port: u16, ca_pem: &str, path: &str, body: &str, times: usize) -> Result<()> {
    let mut connection = Connection::open(port, ca_pem)?;
    for _ in 0..times {
        let answer = connection.post(path, body)?;
        if !answer.contains(r#""allowed":true"#) {
            return Err(format!("the review was not allowed: {answer}").into());
        }
    }
    Ok(())
}

/// A kept connection to the webhook.
pub struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    /// Connects, with the TLS handshake.
    pub fn open(port: u16, ca_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1")?)?;
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        Ok(Self(BufReader::new(StreamOwned::new(connection, socket))))
    }

    /// Posts a body and returns the answer.
    pub fn post(&mut self, path: &str, body: &str) -> Result<String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        stream.flush()?;
        read_answer(&mut self.0)
    }
}

fn read_answer(stream: &mut impl BufRead) -> Result<String> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            header => {
                if let Some((name, value)) = header.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse()?;
                }
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

/// The process with the handler that parses nothing.
struct Null {
    child: Child,
    port: u16,
}

impl Null {
    fn start(certificates: &Path) -> Result<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).arg("null").arg(certificates).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let port = line.trim().parse()?;
        Ok(Self { child, port })
    }

    fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        // It is gone already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port of a URL without a path.
pub fn port_of(url: &str) -> Result<u16> {
    Ok(url.rsplit_once(':').ok_or("no port")?.1.parse()?)
}

/// A kind of about 27 KB, as platform teams have them: many images and sizes, several ports, headers and variables.
fn large_kind() -> Value {
    let ports = ["jupyterlab", "code-server", "rstudio", "tensorboard"];
    let image = |index: usize| {
        let ports: Vec<Value> = ports
            .iter()
            .enumerate()
            .map(|(offset, id)| json!({"id": id, "port": 8000 + offset, "displayName": format!("Open {id}")}))
            .collect();
        json!({
            "id": format!("image_{index:03}"),
            "spawner": {
                "displayName": format!("jupyter-scipy:v1.{index}.0"),
                "description": "JupyterLab with the SciPy stack, and a description as long as people write them for others to choose by",
                "labels": [{"key": "python_version", "value": "3.11"}, {"key": "jupyterlab_version", "value": format!("1.{index}.0")}],
                "hidden": false,
            },
            "spec": {"image": format!("registry.example.com/notebooks/jupyter-scipy:v1.{index}.0"), "imagePullPolicy": "IfNotPresent", "ports": ports},
        })
    };
    let size = |index: usize| {
        json!({
            "id": format!("size_{index:03}"),
            "spawner": {"displayName": format!("{index} CPU, {index} GiB"), "labels": [{"key": "cpu", "value": format!("{index}")}], "hidden": false},
            "spec": {
                "nodeSelector": {"pool": "notebooks"},
                "tolerations": [{"key": "notebooks", "operator": "Exists", "effect": "NoSchedule"}],
                "resources": {"requests": {"cpu": format!("{index}"), "memory": format!("{index}Gi")}, "limits": {"memory": format!("{index}Gi")}},
            },
        })
    };
    let path = |id: &str| format!("{{{{ httpPathPrefix \"{id}\" }}}}");
    let proxied: Vec<Value> = ports
        .iter()
        .map(|id| {
            json!({"portId": id, "httpProxy": {"removePathPrefix": false, "requestHeaders": {
                "set": {"X-Root-Path": path(id), "X-Scheme": "https"}, "add": {"X-Workspace": "yes"}, "remove": ["X-Old"],
            }}})
        })
        .collect();
    let mut kind = serde_json::to_value(crds::testing::workspace_kind("bench")).unwrap_or_default();
    let template = &mut kind["spec"]["podTemplate"];
    template["ports"] = json!(proxied);
    template["extraEnv"] = ports
        .iter()
        .map(|id| json!({"name": format!("PREFIX_{}", id.to_uppercase().replace('-', "_")), "value": path(id)}))
        .collect();
    template["options"]["imageConfig"] =
        json!({"spawner": {"default": "image_000"}, "values": (0..28).map(image).collect::<Vec<_>>()});
    template["options"]["podConfig"] =
        json!({"spawner": {"default": "size_001"}, "values": (1..25).map(size).collect::<Vec<_>>()});
    kind
}

/// An UPDATE of the kind that is allowed.
fn kind_update(kind: &Value) -> Value {
    let mut changed = kind.clone();
    changed["spec"]["spawner"]["description"] = json!("A description that has been changed");
    review("UPDATE", &changed, kind)
}

/// The kind with one more image.
pub fn with_another_image(kind: &Value) -> Value {
    let mut changed = kind.clone();
    if let Some(images) = changed["spec"]["podTemplate"]["options"]["imageConfig"]["values"].as_array_mut() {
        images.extend(images.first().cloned().map(|mut image| {
            image["id"] = json!("image_new");
            image
        }));
    }
    changed
}

fn workspace_create() -> Value {
    let mut workspace =
        serde_json::to_value(crds::testing::workspace("team-a", "my-notebook", "bench")).unwrap_or_default();
    workspace["spec"]["podTemplate"]["options"] = json!({"imageConfig": "image_003", "podConfig": "size_004"});
    workspace["spec"]["podTemplate"]["volumes"] = json!({"home": "my-home", "data": [{"pvcName": "shared-data", "mountPath": "/data/shared", "readOnly": false}]});
    review("CREATE", &workspace, &Value::Null)
}

/// A review as the API server sends it.
pub fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let kind = &object["kind"];
    let options = if operation == "UPDATE" { "UpdateOptions" } else { "CreateOptions" };
    let resource = format!("{}s", kind.as_str().unwrap_or_default().to_lowercase());
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "kubeflow.org", "version": "v1beta1", "kind": kind},
            "resource": {"group": "kubeflow.org", "version": "v1beta1", "resource": resource},
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"].as_str().unwrap_or_default(),
            "operation": operation,
            "userInfo": {"username": "someone@example.com", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": options},
        },
    })
}
