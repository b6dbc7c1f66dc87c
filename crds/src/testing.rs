//! Valid objects for tests: a fixed pair to start from, and a generator of random ones.

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::{Value, json};

use crate::workspace_kind::{HttpProxy, PodTemplate, ProxiedPort, RequestHeaders};
use crate::{Workspace, WorkspaceKind, WorkspaceKindSpec};

/// A JupyterLab kind of dialect `portId` with two images, two sizes and templates in headers and environment.
pub fn workspace_kind(name: &str) -> WorkspaceKind {
    decode(json!({
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "WorkspaceKind",
        "metadata": {"name": name},
        "spec": {
            "spawner": {
                "displayName": "JupyterLab", "description": "JupyterLab in a pod",
                "icon": {"url": "https://example.com/icon.svg"}, "logo": {"url": "https://example.com/logo.svg"},
            },
            "podTemplate": {
                "volumeMounts": {"home": "/home/jovyan"},
                "ports": [{
                    "portId": "jupyterlab",
                    "httpProxy": {"requestHeaders": {"set": {"X-Path": "{{ httpPathPrefix \"jupyterlab\" }}"}}},
                }],
                "extraEnv": [{"name": "NB_PREFIX", "value": "{{ httpPathPrefix \"jupyterlab\" }}"}],
                "options": {
                    "imageConfig": {
                        "spawner": {"default": "small"},
                        "values": [
                            image("small", &[("jupyterlab", 8888)]),
                            image("large", &[("jupyterlab", 8888), ("tensorboard", 6006)]),
                        ],
                    },
                    "podConfig": {"spawner": {"default": "tiny"}, "values": [pod("tiny"), pod("big")]},
                },
            },
        },
    }))
}

/// A Workspace of `kind` with the first image and size of [`workspace_kind`].
pub fn workspace(namespace: &str, name: &str, kind: &str) -> Workspace {
    decode(json!({
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Workspace",
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "generation": 1},
        "spec": {
            "kind": kind,
            "podTemplate": {"volumes": {}, "options": {"imageConfig": "small", "podConfig": "tiny"}},
        },
    }))
}

fn image(id: &str, ports: &[(&str, u16)]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|(id, port)| json!({"id": id, "port": port})).collect();
    json!({
        "id": id,
        "spawner": {"displayName": format!("Image {id}")},
        "spec": {"image": format!("registry.example.com/{id}:1"), "ports": ports},
    })
}

fn pod(id: &str) -> Value {
    json!({
        "id": id,
        "spawner": {"displayName": format!("Size {id}")},
        "spec": {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
    })
}

#[allow(clippy::panic)] // a builder that does not decode is a broken test
fn decode<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("test object: {error}"))
}

/// A generator of random kinds and Workspaces. The same seed gives the same objects.
///
/// Most are valid; some have a fault that admission must find, so that tests cover both.
#[derive(Debug)]
pub struct Generator {
    random: fastrand::Rng,
}

const PORT_IDS: &[&str] = &["jupyterlab", "rstudio", "code-server", "tensorboard", "a", "p_1"];
const HEADER_NAMES: &[&str] = &["X-Path", "X-RStudio-Root-Path", "X-Scheme", "Cookie", "x-path", "Host", "Accept"];
const ODD_HEADER_NAMES: &[&str] = &["X Path", "Content-Length", ":path", "", "Connection"];
const PLAIN_VALUES: &[&str] = &[
    "",
    "v",
    "100%%",
    "%PROTOCOL%",
    "{{ 1 }}",
    "a\tb",
    "{{ if true }}yes{{ else }}no{{ end }}",
    "{{ printf \"%05d\" 42 }}",
    "ü",
];
const ODD_VALUES: &[&str] =
    &["{{", "{{ . }}", "100%", "a\n", "{{ httpPathPrefix \"nowhere\" }}", "{{ httpPathPrefix 'a' }}", "%BAD%"];

impl Generator {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed) }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(..one_in) == 0
    }

    /// A kind of either dialect.
    pub fn workspace_kind(&mut self) -> WorkspaceKind {
        let mut kind = workspace_kind(&format!("kind-{}", self.random.u32(..)));
        let template = &mut kind.spec.pod_template;
        let images: Vec<Value> = (0..self.random.usize(1..4)).map(|index| self.image(index)).collect();
        template.options.image_config.values = decode(Value::Array(images));
        "image-0".clone_into(&mut template.options.image_config.spawner.default);
        template.options.pod_config.values = decode(json!([pod("pod-0"), pod("pod-1")]));
        "pod-0".clone_into(&mut template.options.pod_config.spawner.default);
        let ids: Vec<String> = template.image_port_ids().into_iter().map(str::to_owned).collect();
        let dialect_id = self.chance(2);
        let listed = dialect_id || self.chance(2);
        template.ports = listed.then(|| ids.iter().map(|id| self.proxied_port(id, dialect_id, &ids)).collect());
        template.extra_env = (0..self.random.usize(..4))
            .map(|index| EnvVar { name: format!("VAR_{index}"), value: Some(self.value(&ids)), ..EnvVar::default() })
            .collect();
        if self.chance(4) {
            template.options.image_config.values[0].redirect = Some(decode(json!({"to": "image-1"})));
        }
        self.pod(template, &ids);
        self.rules(&mut kind.spec);
        kind
    }

    /// Metadata of pod and StatefulSet, volumes and the activity probe.
    fn pod(&mut self, template: &mut PodTemplate, ids: &[String]) {
        if self.chance(3) {
            let (label, annotation) = (self.label_key(), self.label_key());
            template.pod_metadata =
                Some(decode(json!({"labels": {label: self.label_value()}, "annotations": {annotation: "any text"}})));
        }
        if self.chance(3) {
            let ours =
                if self.chance(20) { "notebooks.kubeflow.org/workspace-name" } else { "kueue.x-k8s.io/queue-name" };
            let labels = json!({ours: "any", self.label_key(): self.label_value()});
            template.stateful_set_metadata =
                Some(decode(json!({"labels": labels, "annotations": {self.label_key(): "any text"}})));
        }
        if self.chance(3) {
            let name = if self.chance(20) { "home-volume" } else { "scratch" };
            let mounted = if self.chance(20) { "gone" } else { name };
            let path = if self.chance(20) { "/scratch/." } else { "/more" };
            template.extra_volumes = decode(json!([{"name": name, "emptyDir": {}}]));
            template.extra_volume_mounts =
                decode(json!([{"name": name, "mountPath": "/scratch"}, {"name": mounted, "mountPath": path}]));
        }
        if self.chance(2) {
            let port = if self.chance(20) { "nowhere" } else { &ids[self.random.usize(..ids.len())] };
            let script = if self.chance(20) { "echo" } else { "#!/bin/sh" };
            let jupyter = json!({"jupyter": {"lastActivity": true, "portId": port}});
            let how = if self.random.bool() { jupyter } else { json!({"podExec": {"script": script}}) };
            template.activity_probe = Some(decode(how));
        }
    }

    /// Activity rules and filter rules.
    fn rules(&mut self, spec: &mut WorkspaceKindSpec) {
        for _ in 0..self.random.usize(..3) {
            let everything = self.chance(6);
            let condition = json!({"matchNamespace": {"selector": self.selector()}});
            spec.activity_rules.push(decode(json!({
                "config": {"secondsSinceActive": if self.chance(4) { 600 } else { 7_200 }},
                "match": if everything { json!({}) } else { condition },
                "effect": {"pauseWorkspace": spec.pod_template.activity_probe.is_some() || self.chance(20)},
            })));
        }
        for _ in 0..self.random.usize(..3) {
            let scope = self.pick(&["WORKSPACE_KIND", "IMAGE_CONFIG", "POD_CONFIG"]);
            let odd = self.chance(20);
            let condition = if (scope == "WORKSPACE_KIND") == odd { "matchImageConfig" } else { "matchNamespace" };
            spec.filter_rules.push(decode(json!({
                "scope": scope,
                "effect": {"api": {"deny": !self.chance(20)}},
                "match": [{condition: {"selector": self.selector()}}],
            })));
        }
    }

    fn selector(&mut self) -> Value {
        let key = self.label_key();
        match self.random.u8(..3) {
            0 => json!({"matchLabels": {key: self.label_value()}}),
            1 => json!({"matchExpressions": [{"key": key, "operator": "In", "values": [self.label_value()]}]}),
            _ if self.chance(20) => json!({"matchExpressions": [{"key": key, "operator": "In"}]}),
            _ => json!({"matchExpressions": [{"key": key, "operator": "Exists"}]}),
        }
    }

    fn label_key(&mut self) -> String {
        let keys = if self.chance(40) { &["a b", "/", "-"][..] } else { &["team", "example.com/tier", "gpu"] };
        self.pick(keys).to_owned()
    }

    fn label_value(&mut self) -> String {
        let values = if self.chance(40) { &["a b", "-"][..] } else { &["", "yes", "A.b_c-1"] };
        self.pick(values).to_owned()
    }

    fn image(&mut self, index: usize) -> Value {
        let mut ports = Vec::new();
        for (offset, id) in PORT_IDS.iter().enumerate() {
            if self.chance(3) || (offset + 1 == PORT_IDS.len() && ports.is_empty()) {
                let port = if self.chance(50) { 8080 } else { 8000 + u16::try_from(offset).unwrap_or_default() };
                ports.push((*id, port));
            }
        }
        image(&format!("image-{index}"), &ports)
    }

    fn proxied_port(&mut self, id: &str, dialect_id: bool, ids: &[String]) -> ProxiedPort {
        let name = Some(id.to_owned());
        let (port_id, id) = if dialect_id { (None, name) } else { (name, None) };
        let http_proxy = (!self.chance(4)).then(|| HttpProxy {
            remove_path_prefix: self.random.bool(),
            request_headers: (!self.chance(3)).then(|| self.request_headers(ids)),
        });
        let default_display_name = (!self.chance(4)).then(|| "A port".to_owned());
        ProxiedPort { port_id, id, default_display_name, http_proxy, ..ProxiedPort::default() }
    }

    fn request_headers(&mut self, ids: &[String]) -> RequestHeaders {
        let mut headers = RequestHeaders::default();
        for _ in 0..self.random.usize(..3) {
            let (name, value) = (self.header_name(), self.value(ids));
            headers.set.insert(name, value);
        }
        for _ in 0..self.random.usize(..2) {
            let (name, value) = (self.header_name(), self.value(ids));
            headers.add.insert(name, value);
        }
        for _ in 0..self.random.usize(..2) {
            headers.remove.push(self.header_name());
        }
        headers
    }

    fn header_name(&mut self) -> String {
        let names = if self.chance(30) { ODD_HEADER_NAMES } else { HEADER_NAMES };
        self.pick(names).to_owned()
    }

    fn value(&mut self, ids: &[String]) -> String {
        if self.chance(30) {
            return self.pick(ODD_VALUES).to_owned();
        }
        let path = |id: &str| format!("{{{{ httpPathPrefix \"{id}\" }}}}");
        match self.random.u8(..4) {
            0 => path(&ids[self.random.usize(..ids.len())]),
            1 => format!("pre-{}-post", path(&ids[self.random.usize(..ids.len())])),
            _ => self.pick(PLAIN_VALUES).to_owned(),
        }
    }

    /// A Workspace that selects among the options of `kind`.
    pub fn workspace(&mut self, kind: &WorkspaceKind) -> Workspace {
        let namespace = self.name();
        let name = self.name();
        let mut workspace = workspace(&namespace, &name, kind.metadata.name.as_deref().unwrap_or_default());
        let options = &kind.spec.pod_template.options;
        let images = &options.image_config.values;
        let pods = &options.pod_config.values;
        let selected = &mut workspace.spec.pod_template.options;
        selected.image_config.clone_from(&images[self.random.usize(..images.len())].id);
        selected.pod_config.clone_from(&pods[self.random.usize(..pods.len())].id);
        workspace.spec.paused = self.chance(5);
        if self.random.bool() {
            workspace.spec.pod_template.volumes.home = Some("home-claim".to_owned());
        }
        workspace
    }

    /// A DNS label of 1 to 63 characters.
    fn name(&mut self) -> String {
        if self.chance(20) {
            return "connect".to_owned();
        }
        let length = if self.chance(4) { 63 } else { self.random.usize(1..20) };
        (0..length).map(|_| self.random.lowercase()).collect()
    }
}
