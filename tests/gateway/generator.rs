//! Random kinds with all that a route can have, each with a Workspace, and what the contract promises about its ports.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::expectation::{Operations, Piece, Value, text};

/// The ports that images listen on.
pub const PORTS: [u16; 8] = [3000, 6006, 7681, 8000, 8080, 8787, 8888, 9999];
const IDS: [&str; 10] = [
    "jupyterlab",
    "rstudio",
    "code-server",
    "a",
    "0",
    "p_1",
    "a--b",
    "tensor_board",
    "app",
    "x2345678901234567890123456789012",
];
/// Headers that may be set. Those in the second half may also be added to: a visitor's value and ours are told apart by a comma.
const NAMES: [&str; 24] = [
    "Cookie",
    "X-Forwarded-Proto",
    "X-Forwarded-For",
    "X-Request-Id",
    "Content-Type",
    "Range",
    "kubeflow-userid",
    "X-Forwarded-Host",
    "Authorization",
    "Origin",
    "If-None-Match",
    "X-Forwarded-Prefix",
    "X-Path",
    "X-RStudio-Root-Path",
    "X-Scheme",
    "Accept",
    "User-Agent",
    "Via",
    "Referer",
    "x_under_score",
    "x-!#$%&'*+.^`|~",
    "X",
    "X-HTTP-Method-Override",
    "Accept-Language",
];
const ADDED: usize = NAMES.len() / 2;
const HOSTS: [(&str, &str); 5] = [
    ("hub.example.com", "hub.example.com"),
    ("Hub.Example.com:8080", "Hub.Example.com:8080"),
    ("10.0.0.1", "10.0.0.1"),
    ("[::1]:80", "[::1]:80"),
    ("{{ printf \"%s.example.com\" \"a\" }}", "a.example.com"),
];
/// Text that means itself, for Go templates and for Envoy.
const LITERALS: [&str; 16] = [
    "v",
    "a b",
    "a\tb",
    "a,b;c=d",
    "say \"hi\"",
    "back\\slash",
    "it's",
    "<&>",
    "$HOME ${HOME}",
    "#",
    "{ } }}",
    "é",
    "日本語",
    "🦀",
    "@@@",
    "\u{a0}",
];
/// Templates and what they make.
const TEMPLATES: [(&str, &str); 12] = [
    ("{{ printf \"%05d\" 42 }}", "00042"),
    ("{{ if eq 1 1 }}yes{{ else }}no{{ end }}", "yes"),
    ("{{ range 2 }}{{ . }}{{ end }}", "01"),
    ("{{/* a comment */}}", ""),
    ("{{ len \"abc\" }}", "3"),
    ("{{ html \"<\" }}", "&lt;"),
    ("{{ `raw` }}", "raw"),
    ("{{ define \"t\" }}in{{ end }}{{ template \"t\" }}", "in"),
    ("{{ \"{{\" }}", "{{"),
    ("{{ $a := \"x\" }}{{ $a }}{{ $a }}", "xx"),
    ("{{ printf \"%q\" \"a\" }}", "\"a\""),
    ("{{ \"100%%\" }}", "100%"),
];

/// A kind, its Workspace, and what is promised.
pub struct Subject {
    pub kind: Json,
    pub workspace: Json,
    pub namespace: String,
    pub name: String,
    pub ports: Vec<Port>,
}

/// A port of the selected image.
pub struct Port {
    pub path: String,
    pub number: u16,
    pub removes_prefix: bool,
    pub operations: Operations,
}

pub struct Generator {
    random: fastrand::Rng,
    count: usize,
}

/// The ports of an image: id and number.
type Image = Vec<(&'static str, u16)>;

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), count: 0 }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(..one_in) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.usize(..from.len())]
    }

    /// The next kind, with a Workspace in one of the namespaces.
    pub fn subject(&mut self, namespaces: &[String]) -> Subject {
        self.count += 1;
        let images: Vec<Image> = (0..self.random.usize(1..4)).map(|_| self.image()).collect();
        let selected = self.random.usize(..images.len());
        let namespace = namespaces[self.random.usize(..namespaces.len())].clone();
        let name = self.name();
        let by_id = self.random.bool();
        let prefix = if by_id {
            format!("/workspace/connect/{namespace}/{name}")
        } else {
            format!("/workspace/{namespace}/{name}")
        };
        let ids: BTreeSet<&str> = images.iter().flatten().map(|&(id, _)| id).collect();
        // The path of each port id that a template may ask for: empty where the selected image has no such port.
        let paths: Vec<(&str, String)> = ids
            .iter()
            .map(|&id| {
                let there = images[selected].iter().any(|&(other, _)| other == id);
                (id, if there { format!("{prefix}/{id}/") } else { String::new() })
            })
            .collect();
        let mut entries = Vec::new();
        let mut meant = BTreeMap::new();
        for &(id, _) in &paths {
            // Dialect `portId` does not ask for an entry of each port.
            if by_id || !self.chance(4) {
                let (entry, removes_prefix, operations) = self.entry(id, by_id, &paths);
                entries.push(entry);
                meant.insert(id, (removes_prefix, operations));
            }
        }
        self.random.shuffle(&mut entries);
        let kind = self.kind(&images, entries);
        let port = |&(id, number): &(&str, u16)| {
            let (removes_prefix, operations) = meant.remove(id).unwrap_or_default();
            Port { path: format!("{prefix}/{id}/"), number, removes_prefix, operations }
        };
        let ports = images[selected].iter().map(port).collect();
        let workspace = json!({
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "spec": {
                "kind": kind["metadata"]["name"],
                "podTemplate": {
                    "options": {"imageConfig": format!("image-{selected}"), "podConfig": "tiny"},
                    "volumes": {},
                },
            },
        });
        Subject { kind, workspace, namespace, name, ports }
    }

    /// A DNS label of 1 to 63 characters that no other Workspace has.
    fn name(&mut self) -> String {
        let number = format!("{}", self.count);
        let length = if self.chance(5) { 63 } else { self.random.usize(1..20) };
        let letters: String =
            (0..length.max(number.len() + 1) - number.len()).map(|_| self.random.lowercase()).collect();
        letters + &number
    }

    fn image(&mut self) -> Image {
        let (mut ids, mut numbers) = (IDS, PORTS);
        self.random.shuffle(&mut ids);
        self.random.shuffle(&mut numbers);
        let count = self.random.usize(1..4);
        ids.into_iter().zip(numbers).take(count).collect()
    }

    fn kind(&mut self, images: &[Image], entries: Vec<Json>) -> Json {
        let kind = crds::testing::workspace_kind(&format!("generated-{}", self.count));
        let mut kind = serde_json::to_value(kind).unwrap();
        let template = &mut kind["spec"]["podTemplate"];
        let mut values: Vec<Json> = images
            .iter()
            .enumerate()
            .map(|(index, ports)| {
                let ports: Vec<Json> =
                    ports.iter().map(|&(id, port)| json!({"id": id, "port": port, "displayName": "A port"})).collect();
                json!({
                    "id": format!("image-{index}"),
                    "spawner": {"displayName": format!("Image {index}")},
                    "spec": {"image": "registry.example.com/image:1", "ports": ports},
                })
            })
            .collect();
        // An option that points to another one is still what its Workspaces run.
        if images.len() > 1 && self.chance(3) {
            values[0]["redirect"] = json!({"to": "image-1"});
        }
        template["options"]["imageConfig"] = json!({"spawner": {"default": "image-0"}, "values": values});
        template["extraEnv"] = json!([]);
        let members = template.as_object_mut().unwrap();
        if entries.is_empty() {
            members.remove("ports");
        } else {
            members.insert("ports".to_owned(), Json::Array(entries));
        }
        kind
    }

    /// An entry of `ports`, whether it removes the prefix, and what its headers mean.
    fn entry(&mut self, id: &str, by_id: bool, paths: &[(&str, String)]) -> (Json, bool, Operations) {
        let mut entry = if by_id { json!({"id": id, "defaultDisplayName": "A port"}) } else { json!({"portId": id}) };
        if self.chance(5) {
            return (entry, false, Operations::default());
        }
        let removes_prefix = self.random.bool();
        let mut proxy =
            if removes_prefix || self.chance(2) { json!({"removePathPrefix": removes_prefix}) } else { json!({}) };
        let mut operations = Operations::default();
        if !self.chance(4) {
            proxy["requestHeaders"] = self.headers(&mut operations, paths);
        }
        entry["httpProxy"] = proxy;
        (entry, removes_prefix, operations)
    }

    fn headers(&mut self, operations: &mut Operations, paths: &[(&str, String)]) -> Json {
        let (mut set, mut add, mut remove) = (json!({}), json!({}), Vec::new());
        for _ in 0..self.random.usize(..5) {
            let name = self.pick(&NAMES);
            let (source, value) = self.value(paths);
            if operations.set.insert(name.to_ascii_lowercase(), value).is_none() {
                set[self.spelling(name)] = json!(source);
            } else {
                operations.set.remove(&name.to_ascii_lowercase());
                set.as_object_mut().unwrap().retain(|other, _| !other.eq_ignore_ascii_case(name));
            }
        }
        if self.chance(6) {
            let (source, host) = self.pick(&HOSTS);
            let name = if self.random.bool() { ":authority" } else { "Host" };
            set[self.spelling(name)] = json!(source);
            operations.set.insert("host".to_owned(), text(host));
        }
        for _ in 0..self.random.usize(..3) {
            let name = self.pick(&NAMES[ADDED..]);
            let Entry::Vacant(vacant) = operations.add.entry(name.to_ascii_lowercase()) else { continue };
            let (source, value) = self.value(paths);
            vacant.insert(value);
            add[self.spelling(name)] = json!(source);
        }
        for _ in 0..self.random.usize(..3) {
            let name = self.pick(&NAMES);
            if operations.remove.insert(name.to_ascii_lowercase()) {
                remove.push(json!(self.spelling(name)));
            }
        }
        json!({"set": set, "add": add, "remove": remove})
    }

    /// The name in one of its spellings.
    fn spelling(&mut self, name: &str) -> String {
        match self.random.u8(..3) {
            0 => name.to_ascii_lowercase(),
            1 => name.to_ascii_uppercase(),
            _ => name.to_owned(),
        }
    }

    /// A template and what the backend sees of it.
    fn value(&mut self, paths: &[(&str, String)]) -> (String, Value) {
        if self.chance(12) {
            return (String::new(), Vec::new());
        }
        let (mut source, mut value) = (String::new(), Vec::new());
        for _ in 0..self.random.usize(1..4) {
            let (more, pieces) = self.piece(paths);
            // A definition may stand only once in a template.
            if !(more.contains("define") && source.contains("define")) {
                source += &more;
                value.extend(pieces);
            }
        }
        (source, value)
    }

    fn piece(&mut self, paths: &[(&str, String)]) -> (String, Value) {
        match self.random.u8(..10) {
            0..3 => {
                let (id, path) = &paths[self.random.usize(..paths.len())];
                let (source, made) = match self.random.u8(..6) {
                    0 => (format!("{{{{ `{id}` | httpPathPrefix }}}}"), path.clone()),
                    1 => (format!("{{{{ $p := httpPathPrefix \"{id}\" }}}}{{{{ $p }}}}"), path.clone()),
                    2 => (format!("{{{{ printf \"(%s)\" (httpPathPrefix \"{id}\") }}}}"), format!("({path})")),
                    3 => {
                        let made = if path.is_empty() { "none" } else { path };
                        (format!("{{{{ or (httpPathPrefix \"{id}\") \"none\" }}}}"), made.to_owned())
                    }
                    _ => (format!("{{{{ httpPathPrefix \"{id}\" }}}}"), path.clone()),
                };
                (source, text(&made))
            }
            3..6 => {
                let literal = self.pick(&LITERALS);
                (literal.to_owned(), text(literal))
            }
            6 => self
                .pick(&[("%%", "%"), ("100%% ", "100% "), ("%%REQ(x)%%", "%REQ(x)%"), ("%PROTOCOL%", "HTTP/1.1")])
                .into_value(),
            7 => {
                let (source, piece) = match self.random.u8(..3) {
                    0 => ("%START_TIME%", Piece::Time),
                    1 => ("%DOWNSTREAM_REMOTE_ADDRESS%", Piece::Visitor),
                    _ => ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", Piece::VisitorWithoutPort),
                };
                (source.to_owned(), vec![piece])
            }
            _ => self.pick(&TEMPLATES).into_value(),
        }
    }
}

trait IntoValue {
    fn into_value(self) -> (String, Value);
}

impl IntoValue for (&str, &str) {
    fn into_value(self) -> (String, Value) {
        (self.0.to_owned(), text(self.1))
    }
}
