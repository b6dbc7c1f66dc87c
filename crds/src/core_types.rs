//! Restores what the schemas of Kubernetes' own types lose in the Rust bindings.
//!
//! The Rust bindings know the fields of a type and their types, but not how the API server merges its lists, which
//! defaults it sets, and which quantities it accepts. Without that a server-side apply replaces what it should merge,
//! and an object that a Pod would accept is refused. The tables follow the markers of `k8s.io/api` and
//! `k8s.io/apimachinery`; a test compares them with what a running API server publishes of its own types.

use serde_json::{Map, Value, json};

/// The prefix of Kubernetes' own types in the bindings.
const PREFIX: &str = "io.k8s.";
const CORE: &str = "io.k8s.api.core.v1.";

/// The pattern of a quantity (`k8s.io/apimachinery/pkg/api/resource`).
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Types of `core/v1` that an apply sets as a whole.
const ATOMIC_TYPES: &[&str] = &[
    "ConfigMapKeySelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "SecretKeySelector",
    "TypedLocalObjectReference",
];

/// Lists that an apply sets as a whole.
const ATOMIC_LISTS: &[(&str, &[&str])] = &[
    ("Capabilities", &["add", "drop"]),
    ("CephFSVolumeSource", &["monitors"]),
    ("ConfigMapProjection", &["items"]),
    ("ConfigMapVolumeSource", &["items"]),
    ("DownwardAPIProjection", &["items"]),
    ("DownwardAPIVolumeSource", &["items"]),
    ("ExecAction", &["command"]),
    ("FCVolumeSource", &["targetWWNs", "wwids"]),
    ("HTTPGetAction", &["httpHeaders"]),
    ("ISCSIVolumeSource", &["portals"]),
    ("NodeAffinity", &["preferredDuringSchedulingIgnoredDuringExecution"]),
    ("NodeSelector", &["nodeSelectorTerms"]),
    ("NodeSelectorRequirement", &["values"]),
    ("NodeSelectorTerm", &["matchExpressions", "matchFields"]),
    ("PersistentVolumeClaimSpec", &["accessModes"]),
    ("PodAffinity", AFFINITY_LISTS),
    ("PodAffinityTerm", &["matchLabelKeys", "mismatchLabelKeys", "namespaces"]),
    ("PodAntiAffinity", AFFINITY_LISTS),
    ("PodSecurityContext", &["supplementalGroups", "sysctls"]),
    ("ProjectedVolumeSource", &["sources"]),
    ("RBDVolumeSource", &["monitors"]),
    ("SecretProjection", &["items"]),
    ("SecretVolumeSource", &["items"]),
];

const AFFINITY_LISTS: &[&str] =
    &["preferredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution"];

/// Strings with a default set by the API server. An empty default means that a name may be left out.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("AzureDiskVolumeSource", "fsType", "ext4"),
    ("ConfigMapKeySelector", "name", ""),
    ("ConfigMapProjection", "name", ""),
    ("ConfigMapVolumeSource", "name", ""),
    ("GRPCAction", "service", ""),
    ("ISCSIVolumeSource", "iscsiInterface", "default"),
    ("LocalObjectReference", "name", ""),
    ("RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDVolumeSource", "pool", "rbd"),
    ("RBDVolumeSource", "user", "admin"),
    ("ScaleIOVolumeSource", "fsType", "xfs"),
    ("ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("SecretKeySelector", "name", ""),
    ("SecretProjection", "name", ""),
];

/// Whether the type is one of Kubernetes' own.
pub(crate) fn is_core(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Restores in the schema of the type `name` what the bindings lost. Its children are other types and are not changed.
pub(crate) fn correct(name: &str, schema: &mut Map<String, Value>) {
    match name {
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => {
            int_or_string(schema);
            schema.insert("pattern".to_owned(), QUANTITY.into());
        }
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => int_or_string(schema),
        "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector" => {
            set(schema, "x-kubernetes-map-type", "atomic");
            atomic_list(schema, "matchExpressions");
        }
        "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement" => atomic_list(schema, "values"),
        _ => correct_core(name.trim_start_matches(CORE), schema),
    }
}

fn correct_core(name: &str, schema: &mut Map<String, Value>) {
    if ATOMIC_TYPES.contains(&name) {
        set(schema, "x-kubernetes-map-type", "atomic");
    }
    for field in ATOMIC_LISTS.iter().filter(|(type_, _)| *type_ == name).flat_map(|(_, fields)| *fields) {
        atomic_list(schema, field);
    }
    for (_, field, value) in DEFAULTS.iter().filter(|(type_, ..)| *type_ == name) {
        default(schema, field, (*value).into());
    }
    match name {
        "AzureDiskVolumeSource" => default(schema, "readOnly", false.into()),
        "ResourceRequirements" => {
            if let Some(claims) = property(schema, "claims") {
                set(claims, "x-kubernetes-list-type", "map");
                claims.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
            }
        }
        // The API server accepts nothing else here: a claim created for a pod gets its name and owner from the pod.
        "PersistentVolumeClaimTemplate" => {
            if let Some(metadata) = property(schema, "metadata") {
                *metadata = template_metadata();
            }
        }
        _ => {}
    }
}

fn template_metadata() -> Map<String, Value> {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let metadata = json!({"type": "object", "properties": {"annotations": strings, "labels": strings}});
    metadata.as_object().cloned().unwrap_or_default()
}

fn int_or_string(schema: &mut Map<String, Value>) {
    schema.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
    schema.insert("x-kubernetes-int-or-string".to_owned(), true.into());
}

fn atomic_list(schema: &mut Map<String, Value>, field: &str) {
    if let Some(list) = property(schema, field) {
        set(list, "x-kubernetes-list-type", "atomic");
    }
}

/// A field with a default is never missing, so it is not required either.
fn default(schema: &mut Map<String, Value>, field: &str, value: Value) {
    if let Some(property) = property(schema, field) {
        property.insert("default".to_owned(), value);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str() != Some(field));
        if required.is_empty() {
            schema.remove("required");
        }
    }
}

fn property<'a>(schema: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    schema.get_mut("properties")?.get_mut(field)?.as_object_mut()
}

fn set(schema: &mut Map<String, Value>, key: &str, value: &str) {
    schema.insert(key.to_owned(), value.into());
}
