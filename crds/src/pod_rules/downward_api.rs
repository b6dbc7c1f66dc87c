//! References to fields of the pod itself, in variables and in the items of downward API volumes.

use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::faults::PodFaults;
use crate::field_path::FieldPath;
use crate::labels::qualified_name_fault;
use crate::quantity::{MALFORMED, Quantity};

/// The fields of a pod that an API client may name (`ConvertDownwardAPIFieldLabel` of `pkg/apis/core/pods`); not all of
/// them are available everywhere.
const POD_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The resources of a container that can be named, beside those of huge pages.
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The divisors of each resource, and what a message calls it.
const DIVISORS: &[(&[&str], &[&str], &str)] = &[
    (&["limits.cpu", "requests.cpu"], &["1m", "1"], "cpu"),
    (&["limits.memory", "requests.memory"], BYTES, "memory"),
    (&["limits.ephemeral-storage", "requests.ephemeral-storage"], BYTES, "local ephemeral storage"),
    (&["limits.hugepages-", "requests.hugepages-"], BYTES, "hugepages"),
];

const BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Validates a reference to one of the fields that are `available`, or to a single label or annotation.
pub(super) fn validate_field_ref(
    reference: &ObjectFieldSelector,
    available: &[&str],
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let path = &*reference.field_path;
    let path_at = at.field("fieldPath");
    if path.is_empty() {
        return faults.required(&path_at, "");
    }
    let not_converted = |why: &str| format!("error converting fieldPath: {why}");
    match reference.api_version.as_deref() {
        None | Some("" | "v1") => {}
        Some(other) => {
            return faults.invalid(&path_at, path, not_converted(&format!("unsupported pod version: {other}")));
        }
    }
    match with_subscript(path) {
        Some(("metadata.annotations", key)) => validate_key(&key.to_lowercase(), at, faults),
        Some(("metadata.labels", key)) => validate_key(key, at, faults),
        Some(_) => {
            faults.invalid(&path_at, path, not_converted(&format!("field label does not support subscript: {path}")));
        }
        None => {
            // The name that clients of old versions send.
            let path = if path == "spec.host" { "spec.nodeName" } else { path };
            if available.contains(&path) {
            } else if POD_FIELDS.contains(&path) {
                faults.not_supported(&path_at, path, available);
            } else {
                faults.invalid(&path_at, path, not_converted(&format!("field label not supported: {path}")));
            }
        }
    }
}

/// The field and the key of `field['key']`.
fn with_subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(field, _)| !field.is_empty())
}

fn validate_key(key: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(detail) = qualified_name_fault(key) {
        faults.invalid(at, key, detail);
    }
}

/// Validates a reference to a resource of a container. Volumes have to name the container, which their rules check.
pub(super) fn validate_resource_field_ref(
    reference: &ResourceFieldSelector,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let resource = &*reference.resource;
    if resource.is_empty() {
        faults.required(&at.field("resource"), "");
    } else if divisors_of(resource).is_none() {
        faults.not_supported(&at.field("resource"), resource, RESOURCES);
    }
    validate_divisor(reference, at, faults);
}

/// Validates the divisor of a reference to a resource. `at` is the path of the reference.
pub(super) fn validate_divisor(reference: &ResourceFieldSelector, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let resource = &*reference.resource;
    let Some(divisor) = reference.divisor.as_ref().map(|divisor| &*divisor.0) else { return };
    let Some(quantity) = Quantity::parse(divisor) else {
        return faults.invalid(&at.field("divisor"), divisor, MALFORMED);
    };
    let Some((_, allowed, what)) = divisors_of(resource) else { return };
    if !quantity.is_zero() && !allowed.contains(&&*quantity.to_string()) {
        let allowed = match allowed {
            ["1m", "1"] => "1m and 1".to_owned(),
            allowed => allowed.join(", "),
        };
        let detail = format!("only divisor's values {allowed} are supported with the {what} resource");
        faults.invalid(&at.field("divisor"), resource, detail);
    }
}

/// The row of `DIVISORS` of a resource, if it can be named.
fn divisors_of(resource: &str) -> Option<&'static (&'static [&'static str], &'static [&'static str], &'static str)> {
    DIVISORS.iter().find(|(resources, ..)| resources.iter().any(|known| is_resource(resource, known)))
}

/// Whether `resource` is `known`, or starts with it where the size of a page has to follow.
fn is_resource(resource: &str, known: &str) -> bool {
    if known.ends_with('-') { resource.starts_with(known) } else { resource == known }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of_field(reference: Value) -> Vec<String> {
        let reference: ObjectFieldSelector = serde_json::from_value(reference).expect("a reference");
        let at = FieldPath::root("fieldRef");
        PodFaults::of(|faults| validate_field_ref(&reference, &["metadata.name", "spec.nodeName"], &at, faults))
            .written()
    }

    fn faults_of_resource(resource: &str, divisor: &str) -> Vec<String> {
        let reference = json!({"resource": resource, "divisor": divisor});
        let reference: ResourceFieldSelector = serde_json::from_value(reference).expect("a reference");
        let at = FieldPath::root("resourceFieldRef");
        PodFaults::of(|faults| validate_resource_field_ref(&reference, &at, faults)).written()
    }

    #[test]
    fn fields_are_available() {
        for path in [
            "metadata.name",
            "spec.host",
            "metadata.labels['a']",
            "metadata.labels['example.com/A']",
            "metadata.annotations['EXAMPLE.com/A']",
        ] {
            assert_eq!(faults_of_field(json!({"fieldPath": path})), [""; 0], "{path}");
        }
        let not_converted = |path: &str, why: &str| {
            format!("fieldRef.fieldPath: Invalid value: \"{path}\": error converting fieldPath: {why}")
        };
        for (path, why) in [
            ("name", "field label not supported: name"),
            ("metadata.labels['a'", "field label not supported: metadata.labels['a'"),
            ("['a']", "field label not supported: ['a']"),
            ("metadata.name['a']", "field label does not support subscript: metadata.name['a']"),
        ] {
            assert_eq!(faults_of_field(json!({"fieldPath": path})), [not_converted(path, why)]);
        }
        assert_eq!(faults_of_field(json!({"fieldPath": ""})), ["fieldRef.fieldPath: Required value"]);
        assert_eq!(
            faults_of_field(json!({"fieldPath": "status.phase"})),
            [
                "fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \"spec.nodeName\""
            ]
        );
    }

    #[test]
    fn the_version_is_v1() {
        for version in ["", "v1"] {
            assert_eq!(faults_of_field(json!({"fieldPath": "metadata.name", "apiVersion": version})), [""; 0]);
        }
        let fault = "fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting fieldPath: unsupported pod version: v2";
        assert_eq!(faults_of_field(json!({"fieldPath": "metadata.name", "apiVersion": "v2"})), [fault]);
    }

    #[test]
    fn keys_have_the_syntax_of_labels() {
        for (path, key) in [
            ("metadata.labels['']", ""),
            ("metadata.labels['a b']", "a b"),
            ("metadata.annotations['A B']", "a b"),
            ("metadata.labels['EXAMPLE.com/a']", "EXAMPLE.com/a"),
        ] {
            let detail = qualified_name_fault(key).expect("a fault");
            assert_eq!(
                faults_of_field(json!({"fieldPath": path})),
                [format!("fieldRef: Invalid value: \"{key}\": {detail}")]
            );
        }
    }

    #[test]
    fn resources_are_known() {
        for resource in RESOURCES.iter().chain(&["limits.hugepages-2Mi", "requests.hugepages-"]) {
            assert_eq!(faults_of_resource(resource, "0"), [""; 0], "{resource}");
        }
        assert_eq!(faults_of_resource("", "1"), ["resourceFieldRef.resource: Required value"]);
        for resource in ["cpu", "limits.nvidia.com/gpu", "limits.cpus", "limits.hugepages"] {
            let fault = format!(
                "resourceFieldRef.resource: Unsupported value: \"{resource}\": supported values: \"limits.cpu\", \
                 \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \
                 \"requests.memory\""
            );
            assert_eq!(faults_of_resource(resource, "3"), [fault]);
        }
    }

    #[test]
    fn divisors_are_units() {
        let (cpu, memory) = ("limits.cpu", "requests.memory");
        for divisor in ["1", "1m", "0", "0.001", "1000m", "1.0", "1000e-3", "-0"] {
            assert_eq!(faults_of_resource(cpu, divisor), [""; 0], "{divisor}");
        }
        for divisor in ["1", "1k", "1000", "1E", "1Ki", "1024Ki", "1.0Ki", "1Ei", "0.001M", "0.9765625Ki"] {
            assert_eq!(faults_of_resource(memory, divisor), [""; 0], "{divisor}");
        }
        let start = "resourceFieldRef.divisor: Invalid value: ";
        // As there, a number that is nearly as it would be written is compared as it is.
        for divisor in ["1k", "2", "-1", "1n", "500m", "+1", "01", "1.", "1e-3"] {
            let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
            assert_eq!(faults_of_resource(cpu, divisor), [format!("{start}\"{cpu}\": {detail}")], "{divisor}");
        }
        for (resource, what) in [
            (memory, "memory"),
            ("limits.ephemeral-storage", "local ephemeral storage"),
            ("limits.hugepages-2Mi", "hugepages"),
        ] {
            let units = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
            let detail = format!("only divisor's values {units} are supported with the {what} resource");
            for divisor in ["1m", "1e3", "1024", "2Ki", "1000000Ki", "+1Ki"] {
                let fault = format!("{start}\"{resource}\": {detail}");
                assert_eq!(faults_of_resource(resource, divisor), [fault], "{divisor}");
            }
        }
        for divisor in ["", "x", "1 Mi", "1e1.5"] {
            let fault = format!("{start}\"{divisor}\": {MALFORMED}");
            assert_eq!(faults_of_resource(memory, divisor), [fault]);
        }
    }
}
