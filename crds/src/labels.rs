//! Names that Kubernetes objects of a Workspace carry, and the syntax rules for names, labels and annotations.
//!
//! The rules are those of apimachinery's `util/validation` (names and label values) and `api/validation` (annotations).

use std::collections::BTreeMap;

/// Label on every child and pod: the name of the Workspace.
pub const WORKSPACE_NAME_LABEL: &str = "notebooks.kubeflow.org/workspace-name";
/// Label on the pod, and part of the Service's selector: the name of the Workspace.
pub const STATEFULSET_LABEL: &str = "statefulset";
/// Label that the StatefulSet controller puts on its pods: the name of the pod.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// The name of the container that the image runs in.
pub const CONTAINER: &str = "main";
/// The labels that the StatefulSet controller puts on a pod.
const STATEFULSET_POD_LABELS: [&str; 3] = [POD_NAME_LABEL, "apps.kubernetes.io/pod-index", "controller-revision-hash"];
/// Annotation on every child: a hash of what was last applied.
pub const APPLIED_HASH_ANNOTATION: &str = "notebooks.kubeflow.org/applied-hash";
/// The length of its value, in bytes.
pub const APPLIED_HASH_LENGTH: usize = 32;
/// Label of ConfigMaps with images, with the value `true`.
pub const IMAGE_SOURCE_LABEL: &str = "notebooks.kubeflow.org/image-source";
/// Finalizer of kinds that are used, the same as the Go controller's.
pub const KIND_FINALIZER: &str = "notebooks.kubeflow.org/workspacekind-protection";
/// Annotation on the StatefulSet: what its template was made from, and the revision whose pod is restarted for that.
pub const RESTART_ANNOTATION: &str = "notebooks.kubeflow.org/restart";
/// The longest value of it, in bytes: a hash and the name of a ControllerRevision between two keys.
pub const RESTART_LENGTH: usize = "inputs=".len() + APPLIED_HASH_LENGTH + ",replaces=".len() + LABEL_MAX;
/// Annotation on a Workspace: when its pod is restarted, once, as an RFC 3339 time.
pub const RESTART_AT_ANNOTATION: &str = "notebooks.kubeflow.org/restart-at";
/// Field manager of everything the controller applies.
pub const FIELD_MANAGER: &str = "workspaces-controller";

/// The longest DNS label, label value and label name, in bytes.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain, in bytes.
pub const SUBDOMAIN_MAX: usize = 253;
/// The longest key and value of all annotations of an object together, in bytes.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Whether every pod of a kind that sets these labels has the label `key`.
pub fn is_on_every_pod(key: &str, of_kind: &BTreeMap<String, String>) -> bool {
    [WORKSPACE_NAME_LABEL, STATEFULSET_LABEL].contains(&key)
        || STATEFULSET_POD_LABELS.contains(&key)
        || of_kind.contains_key(key)
}

/// Whether `name` is a DNS label (RFC 1123): lowercase alphanumerics and `-`, at most 63 characters.
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= LABEL_MAX && is_dns_label_of_any_length(name)
}

fn is_dns_label_of_any_length(name: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// Whether `name` is a DNS subdomain (RFC 1123): labels joined by dots, at most 253 characters.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN_MAX && name.split('.').all(is_dns_label_of_any_length)
}

/// What is wrong with a name that has to be a DNS subdomain, if anything.
pub fn dns_subdomain_fault(name: &str) -> Option<&'static str> {
    (!is_dns_subdomain(name)).then_some(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
         start and end with an alphanumeric character, and be no more than 253 characters",
    )
}

/// Whether `name` is the name part of a label or annotation key: alphanumerics, `-`, `_`, `.`, at most 63 characters.
fn is_qualified_name_part(name: &str) -> bool {
    !name.is_empty() && name.len() <= LABEL_MAX && has_label_characters(name)
}

fn has_label_characters(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// What is wrong with the key of a label or annotation, if anything.
pub fn qualified_name_fault(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((prefix, name)) => (Some(prefix), name),
    };
    if prefix.is_some_and(|prefix| !is_dns_subdomain(prefix)) {
        return Some("prefix part must be a DNS subdomain of at most 253 characters (e.g. 'example.com')");
    }
    (!is_qualified_name_part(name)).then_some(
        "name part must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric \
         character and be no more than 63 characters (e.g. 'my.name' or 'example.com/my-name')",
    )
}

/// What is wrong with the key of an annotation, if anything: unlike in that of a label, capitals may be in its prefix.
pub fn annotation_key_fault(key: &str) -> Option<&'static str> {
    qualified_name_fault(key).and_then(|_| qualified_name_fault(&key.to_lowercase()))
}

/// Why an entry of a ConfigMap or a Secret cannot have this key, if so, whatever its length and characters: the entries
/// become files (`IsConfigMapKey` of apimachinery's `util/validation`).
pub fn data_key_dots_fault(key: &str) -> Option<&'static str> {
    match key {
        "." => Some("must not be '.'"),
        ".." => Some("must not be '..'"),
        key => key.starts_with("..").then_some("must not start with '..'"),
    }
}

/// What is wrong with a name that has to be a DNS label, if anything.
pub fn dns_label_fault(name: &str) -> Option<&'static str> {
    if name.len() > LABEL_MAX {
        return Some("must be no more than 63 characters");
    }
    if is_dns_label(name) {
        return None;
    }
    if is_dns_subdomain(name) {
        return Some("must not contain dots");
    }
    Some(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name')",
    )
}

/// What is wrong with the value of a label, if anything.
pub fn label_value_fault(value: &str) -> Option<&'static str> {
    if value.len() > LABEL_MAX {
        return Some("must be no more than 63 characters");
    }
    (!value.is_empty() && !has_label_characters(value)).then_some(
        "must be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric \
         character (e.g. 'my_value')",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels() {
        for good in ["a", "a-b", "0a", &"a".repeat(63)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }

    #[test]
    fn dns_subdomains() {
        let long = format!("{}.{}", "a".repeat(100), "b".repeat(100));
        for good in ["a.b", "a", "1.2", long.as_str()] {
            assert!(is_dns_subdomain(good), "{good}");
        }
        for bad in ["a..b", ".a", "a.", "a.-b", &"a".repeat(254)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }

    #[test]
    fn label_keys_and_values() {
        for good in ["a", "A_b.c-d", "example.com/name", "x.y/Z"] {
            assert_eq!(qualified_name_fault(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a b", &"a".repeat(64)] {
            assert!(qualified_name_fault(bad).is_some(), "{bad}");
        }
        for good in ["", "a", "A_b.c-d", &"a".repeat(63)] {
            assert_eq!(label_value_fault(good), None, "{good}");
        }
        for bad in ["-", "a ", "ä", "a/b", &"a".repeat(64)] {
            assert!(label_value_fault(bad).is_some(), "{bad}");
        }
    }
}
