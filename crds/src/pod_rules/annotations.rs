//! Annotations of a pod that the API server itself reads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext, Toleration};
use serde_json::{Map, Value};

use super::faults::PodFaults;
use super::syntax::validate_local_path;
use super::tolerations;
use crate::field_path::FieldPath;
use crate::labels::CONTAINER;
use crate::value_template::{cut, quoted};

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CONTAINER_APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The beginning of the name of a profile that is a file on the node, or loaded there.
const LOCALHOST: &str = "localhost/";

/// Validates the annotations at `at` beyond their syntax.
pub fn validate(annotations: &BTreeMap<String, String>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    for (key, value) in annotations {
        match &**key {
            MIRROR => faults.invalid(&at.key(key), value, "must set spec.nodeName if mirror pod annotation is set"),
            TOLERATIONS => validate_tolerations(value, at, faults),
            DELETION_COST if !is_deletion_cost(value) => {
                faults.invalid(&at.key(key), value, "must be a 32bit integer");
            }
            // apimachinery takes these keys for the names of fields.
            POD_SECCOMP => validate_seccomp(value, &at.field(key), faults),
            _ if key.starts_with(CONTAINER_SECCOMP) => validate_seccomp(value, &at.field(key), faults),
            _ => {
                if let Some(container) = key.strip_prefix(CONTAINER_APP_ARMOR) {
                    validate_app_armor(container, value, &at.key(key), faults);
                }
            }
        }
    }
}

fn validate_tolerations(json: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if json.is_empty() {
        return;
    }
    match parse_tolerations(json) {
        Ok(list) => tolerations::validate(&list, &at.field(TOLERATIONS), faults),
        Err(why) => faults.invalid(at, TOLERATIONS, why),
    }
}

/// The tolerations in an annotation; the error says what is wrong with it. Names of fields may be in upper case.
fn parse_tolerations(json: &str) -> Result<Vec<Toleration>, String> {
    let list: Option<Vec<Option<Map<String, Value>>>> =
        serde_json::from_str(json).map_err(|error| not_tolerations(&error))?;
    list.unwrap_or_default().into_iter().map(|fields| toleration(fields.unwrap_or_default())).collect()
}

fn toleration(fields: Map<String, Value>) -> Result<Toleration, String> {
    let fields = fields.into_iter().map(|(name, value)| match &*name.to_lowercase() {
        "tolerationseconds" => ("tolerationSeconds".to_owned(), value),
        lowercase => (lowercase.to_owned(), value),
    });
    serde_json::from_value(fields.collect()).map_err(|error| not_tolerations(&error))
}

fn not_tolerations(error: &serde_json::Error) -> String {
    format!("must be a list of tolerations in JSON: {}", cut(&error.to_string()))
}

/// Whether this is a decimal number of 32 bits without a plus sign or leading zeros.
fn is_deletion_cost(value: &str) -> bool {
    (value == "0" || !value.starts_with(['0', '+'])) && value.parse::<i32>().is_ok()
}

fn validate_seccomp(profile: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    match profile.strip_prefix(LOCALHOST) {
        Some(path) => validate_local_path(path, at, faults),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => faults.invalid(at, profile, "must be a valid seccomp profile"),
    }
}

fn validate_app_armor(container: &str, profile: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if container != CONTAINER {
        faults.invalid(at, container, "container not found");
    }
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with(LOCALHOST) {
        faults.invalid(at, profile, format!("invalid AppArmor profile name: {}", quoted(profile)));
    }
}

/// Validates that profiles in annotations are those of the security contexts, whose paths are `pod_at` and
/// `container_at`.
pub fn validate_profiles(
    annotations: &BTreeMap<String, String>,
    (pod, pod_at): (Option<&PodSecurityContext>, &FieldPath<'_>),
    (container, container_at): (Option<&SecurityContext>, &FieldPath<'_>),
    faults: &mut PodFaults,
) {
    let of_pod = pod.and_then(|context| context.seccomp_profile.as_ref());
    if let (Some(profile), Some(annotation)) = (of_pod, annotations.get(POD_SECCOMP)) {
        Profile::from(profile).validate(annotation, &pod_at.field("seccompProfile"), faults);
    }
    let annotation = |prefix: &str| annotations.get(&format!("{prefix}{CONTAINER}"));
    if let Some(profile) = container.and_then(|context| context.seccomp_profile.as_ref())
        && let Some(annotation) = annotation(CONTAINER_SECCOMP)
    {
        Profile::from(profile).validate(annotation, &container_at.field("seccompProfile"), faults);
    }
    let of_container = container.and_then(|context| context.app_armor_profile.as_ref());
    let of_pod = pod.and_then(|context| context.app_armor_profile.as_ref());
    let at = if of_container.is_some() { container_at } else { pod_at };
    if let Some(profile) = of_container.or(of_pod)
        && let Some(annotation) = annotation(CONTAINER_APP_ARMOR)
    {
        Profile::from(profile).validate(annotation, &at.field("appArmorProfile"), faults);
    }
}

/// A profile of a security context.
struct Profile<'a> {
    what: &'static str,
    type_: &'a str,
    localhost: Option<&'a str>,
    /// What annotations call the default of the runtime.
    defaults: &'static [&'static str],
}

impl<'a> From<&'a SeccompProfile> for Profile<'a> {
    fn from(SeccompProfile { type_, localhost_profile }: &'a SeccompProfile) -> Self {
        let localhost = localhost_profile.as_deref();
        Self { what: "seccomp", type_, localhost, defaults: &["runtime/default", "docker/default"] }
    }
}

impl<'a> From<&'a AppArmorProfile> for Profile<'a> {
    fn from(AppArmorProfile { type_, localhost_profile }: &'a AppArmorProfile) -> Self {
        Self { what: "apparmor", type_, localhost: localhost_profile.as_deref(), defaults: &["runtime/default"] }
    }
}

impl Profile<'_> {
    /// Validates that an annotation names this profile, which is at `at`.
    fn validate(&self, annotation: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
        let same_type = match self.type_ {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => self.defaults.contains(&annotation),
            "Localhost" => annotation.starts_with(LOCALHOST),
            // Another rule refuses it.
            _ => true,
        };
        let what = self.what;
        if !same_type {
            faults.forbidden(&at.field("type"), format!("{what} type in annotation and field must match"));
        } else if self.type_ == "Localhost" && annotation.strip_prefix(LOCALHOST) != self.localhost {
            let detail = format!("{what} profile in annotation and field must match");
            faults.forbidden(&at.field("localhostProfile"), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn annotation(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    fn faults_of(key: &str, value: &str) -> Vec<String> {
        let annotations = annotation(key, value);
        PodFaults::of(|faults| validate(&annotations, &FieldPath::root("annotations"), faults)).written()
    }

    #[test]
    fn other_annotations_are_free() {
        for key in [
            "a",
            "example.com/a",
            "container.apparmor.security.beta.kubernetes.io",
            "seccomp.security.alpha.kubernetes.io",
        ] {
            assert_eq!(faults_of(key, "any text"), [""; 0], "{key}");
        }
    }

    #[test]
    fn a_kind_makes_no_mirror_pod() {
        let fault = "annotations[kubernetes.io/config.mirror]: Invalid value: \"\": must set spec.nodeName if mirror pod \
                     annotation is set";
        assert_eq!(faults_of(MIRROR, ""), [fault]);
    }

    #[test]
    fn a_deletion_cost_is_a_number() {
        for cost in ["0", "1", "-1", "-008", "-0", "2147483647", "-2147483648"] {
            assert_eq!(faults_of(DELETION_COST, cost), [""; 0], "{cost}");
        }
        for cost in ["", "00", "008", "+1", "-", " 1", "1.0", "x", "2147483648", "-2147483649"] {
            let fault = format!("annotations[{DELETION_COST}]: Invalid value: \"{cost}\": must be a 32bit integer");
            assert_eq!(faults_of(DELETION_COST, cost), [fault]);
        }
    }

    #[test]
    fn tolerations_are_a_list() {
        for good in [
            "",
            "null",
            "[]",
            r#"[{"key": "a", "operator": "Exists"}]"#,
            r#"[{"KEY": "a", "Value": null, "unknown": 1}]"#,
            r#"[{"operator": "Exists", "effect": "NoExecute", "TolerationSeconds": 5}]"#,
        ] {
            assert_eq!(faults_of(TOLERATIONS, good), [""; 0], "{good}");
        }
        let start = "annotations: Invalid value: \"scheduler.alpha.kubernetes.io/tolerations\": must be a list of tolerations in JSON: ";
        for (bad, why) in [
            ("{}", "invalid type: map, expected a sequence at line 1 column 0"),
            ("[1]", "invalid type: integer `1`, expected a map at line 1 column 2"),
            (r#"[{"key": 1}]"#, "invalid type: integer `1`, expected a string"),
            (r#"[{"tolerationSeconds": 1.5}]"#, "invalid type: floating point `1.5`, expected i64"),
            ("[] x", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(faults_of(TOLERATIONS, bad), [format!("{start}{why}")]);
        }
    }

    #[test]
    fn seccomp_profiles_are_known() {
        let main = "container.seccomp.security.alpha.kubernetes.io/any";
        for key in [POD_SECCOMP, main] {
            for profile in ["runtime/default", "docker/default", "unconfined", "localhost/", "localhost/a/b"] {
                assert_eq!(faults_of(key, profile), [""; 0], "{profile}");
            }
            for (profile, value, detail) in [
                ("", "", "must be a valid seccomp profile"),
                ("Unconfined", "Unconfined", "must be a valid seccomp profile"),
                ("localhost//a", "/a", "must be a relative path"),
                ("localhost/../a", "../a", "must not contain '..'"),
            ] {
                let fault = format!("annotations.{key}: Invalid value: \"{value}\": {detail}");
                assert_eq!(faults_of(key, profile), [fault]);
            }
        }
    }

    #[test]
    fn app_armor_profiles_are_of_the_container() {
        let key = |container: &str| format!("container.apparmor.security.beta.kubernetes.io/{container}");
        for profile in ["", "runtime/default", "unconfined", "localhost/", "localhost/../a"] {
            assert_eq!(faults_of(&key("main"), profile), [""; 0], "{profile}");
        }
        let main = format!("annotations[{}]: Invalid value: ", key("main"));
        for profile in ["docker/default", "a"] {
            let fault = format!("{main}\"{profile}\": invalid AppArmor profile name: \"{profile}\"");
            assert_eq!(faults_of(&key("main"), profile), [fault]);
        }
        let other = format!("annotations[{}]: Invalid value: ", key("lab"));
        assert_eq!(
            faults_of(&key("lab"), "a"),
            [
                format!("{other}\"lab\": container not found"),
                format!("{other}\"a\": invalid AppArmor profile name: \"a\""),
            ]
        );
    }

    fn mismatches(key: &str, value: &str, pod: Value, container: Value) -> Vec<String> {
        let pod: PodSecurityContext = serde_json::from_value(pod).expect("a security context");
        let container: SecurityContext = serde_json::from_value(container).expect("a security context");
        let (pod_at, at) = (FieldPath::root("pod"), FieldPath::root("main"));
        let annotations = annotation(key, value);
        let validate = |faults: &mut PodFaults| {
            validate_profiles(&annotations, (Some(&pod), &pod_at), (Some(&container), &at), faults);
        };
        PodFaults::of(validate).written()
    }

    #[test]
    fn annotations_and_fields_name_one_profile() {
        let local = json!({"type": "Localhost", "localhostProfile": "a"});
        let main = |prefix: &str| format!("{prefix}main");
        for (annotation, type_) in [
            ("unconfined", "Unconfined"),
            ("runtime/default", "RuntimeDefault"),
            ("localhost/a", "Localhost"),
            ("x", ""),
        ] {
            let profile = if type_ == "Localhost" { local.clone() } else { json!({"type": type_}) };
            let (seccomp, armor) = (json!({"seccompProfile": profile}), json!({"appArmorProfile": profile}));
            assert_eq!(mismatches(POD_SECCOMP, annotation, seccomp.clone(), json!({})), [""; 0]);
            assert_eq!(mismatches(&main(CONTAINER_SECCOMP), annotation, json!({}), seccomp), [""; 0]);
            assert_eq!(mismatches(&main(CONTAINER_APP_ARMOR), annotation, json!({}), armor), [""; 0]);
        }
        for (annotation, profile, field, what) in [
            ("runtime/default", json!({"type": "Unconfined"}), "type", "type"),
            ("unconfined", json!({"type": "RuntimeDefault"}), "type", "type"),
            ("unconfined", local.clone(), "type", "type"),
            ("localhost/b", local.clone(), "localhostProfile", "profile"),
            ("localhost/a", json!({"type": "Localhost"}), "localhostProfile", "profile"),
        ] {
            let fault = |at: &str, block: &str, name: &str| {
                [format!("{at}.{block}.{field}: Forbidden: {name} {what} in annotation and field must match")]
            };
            let (seccomp, armor) = (json!({"seccompProfile": profile}), json!({"appArmorProfile": profile}));
            let found = mismatches(POD_SECCOMP, annotation, seccomp.clone(), json!({}));
            assert_eq!(found, fault("pod", "seccompProfile", "seccomp"));
            let found = mismatches(&main(CONTAINER_SECCOMP), annotation, json!({}), seccomp);
            assert_eq!(found, fault("main", "seccompProfile", "seccomp"));
            let found = mismatches(&main(CONTAINER_APP_ARMOR), annotation, json!({}), armor.clone());
            assert_eq!(found, fault("main", "appArmorProfile", "apparmor"));
            let found = mismatches(&main(CONTAINER_APP_ARMOR), annotation, armor, json!({}));
            assert_eq!(found, fault("pod", "appArmorProfile", "apparmor"));
        }
    }

    #[test]
    fn the_runtime_default_has_two_names_for_seccomp() {
        let (seccomp, armor) = (
            json!({"seccompProfile": {"type": "RuntimeDefault"}}),
            json!({"appArmorProfile": {"type": "RuntimeDefault"}}),
        );
        assert_eq!(mismatches(POD_SECCOMP, "docker/default", seccomp.clone(), json!({})), [""; 0]);
        let key = format!("{CONTAINER_APP_ARMOR}main");
        let fault = "main.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match";
        assert_eq!(mismatches(&key, "docker/default", json!({}), armor.clone()), [fault]);
        // The profile of the container counts, not that of the pod, which annotations of the container do not concern.
        let unconfined = json!({"appArmorProfile": {"type": "Unconfined"}});
        assert_eq!(mismatches(&key, "runtime/default", unconfined, armor), [""; 0]);
        assert_eq!(mismatches(&format!("{CONTAINER_SECCOMP}main"), "unconfined", seccomp, json!({})), [""; 0]);
    }
}
