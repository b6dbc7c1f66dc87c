//! Security contexts of the pod and of its container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext, Sysctl};

use super::faults::PodFaults;
use super::syntax::validate_local_path;
use super::windows;
pub use super::windows::validate_host_process;
use crate::field_error::QuotedValue;
use crate::field_path::FieldPath;
use crate::labels::SUBDOMAIN_MAX;

/// The types of seccomp and AppArmor profiles.
const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest name of an AppArmor profile, in bytes.
const APP_ARMOR_MAX: usize = 4095;

/// Validates the security context of the pod, at `at`.
///
/// No pod of a kind uses the network, the processes or the IPC of its host, so the rules about that never apply.
pub fn validate_pod(context: &PodSecurityContext, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_id(context.fs_group, &at.field("fsGroup"), faults);
    validate_id(context.run_as_user, &at.field("runAsUser"), faults);
    validate_id(context.run_as_group, &at.field("runAsGroup"), faults);
    let groups = at.field("supplementalGroups");
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        validate_id(Some(*group), &groups.index(index), faults);
    }
    validate_sysctls(context.sysctls.as_deref().unwrap_or_default(), &at.field("sysctls"), faults);
    validate_choice(
        context.fs_group_change_policy.as_deref(),
        &["Always", "OnRootMismatch"],
        &at.field("fsGroupChangePolicy"),
        faults,
    );
    if let Some(profile) = &context.seccomp_profile {
        validate_seccomp(profile, &at.field("seccompProfile"), faults);
    }
    if let Some(options) = &context.windows_options {
        windows::validate(options, &at.field("windowsOptions"), faults);
    }
    if let Some(profile) = &context.app_armor_profile {
        validate_app_armor(profile, &at.field("appArmorProfile"), faults);
    }
    let policy = context.supplemental_groups_policy.as_deref();
    validate_choice(policy, &["Merge", "Strict"], &at.field("supplementalGroupsPolicy"), faults);
    // `MountOption` needs the feature gate `SELinuxMount`, which is off by default.
    let policy = context.se_linux_change_policy.as_deref();
    validate_choice(policy, &["Recursive"], &at.field("seLinuxChangePolicy"), faults);
}

/// Validates the security context of the container, at `at`.
pub fn validate_container(context: &SecurityContext, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_id(context.run_as_user, &at.field("runAsUser"), faults);
    validate_id(context.run_as_group, &at.field("runAsGroup"), faults);
    let proc_mount = context.proc_mount.as_deref();
    validate_choice(proc_mount, &["Default", "Unmasked"], &at.field("procMount"), faults);
    if proc_mount == Some("Unmasked") {
        // A kind has no field `hostUsers`.
        faults.invalid(&at.field("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`");
    }
    if let Some(profile) = &context.seccomp_profile {
        validate_seccomp(profile, &at.field("seccompProfile"), faults);
    }
    validate_escalation(context, at, faults);
    if let Some(options) = &context.windows_options {
        windows::validate(options, &at.field("windowsOptions"), faults);
    }
    if let Some(profile) = &context.app_armor_profile {
        validate_app_armor(profile, &at.field("appArmorProfile"), faults);
    }
}

/// Validates that what forbids more privileges is not beside what grants them.
fn validate_escalation(context: &SecurityContext, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if context.allow_privilege_escalation != Some(false) {
        return;
    }
    let block = || QuotedValue::block(context);
    if context.privileged == Some(true) {
        faults.invalid(at, block(), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    let mut added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
    if added.any(|capability| capability == "CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        faults.invalid(at, block(), detail);
    }
}

/// Validates the id of a user or a group.
fn validate_id(id: Option<i64>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        faults.invalid(at, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// Validates that a value is one of those `allowed`. An empty one is not: it has no default.
fn validate_choice(value: Option<&str>, allowed: &[&str], at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(value) = value.filter(|value| !allowed.contains(value)) {
        faults.not_supported(at, value, allowed);
    }
}

fn validate_sysctls(sysctls: &[Sysctl], at: &FieldPath<'_>, faults: &mut PodFaults) {
    let mut names = BTreeSet::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let (at, name) = (at.index(index), &*sysctl.name);
        let at = at.field("name");
        let is_new = names.insert(name);
        if name.is_empty() {
            faults.required(&at, "");
        } else if !is_sysctl(name) {
            let detail = "must have at most 253 characters and consist of lower case alphanumeric characters, '-' or '_', \
                          in parts that are separated by '.' or '/'";
            faults.invalid(&at, name, detail);
        } else if !is_new {
            faults.duplicate(&at, name);
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(is_alphanumeric)
            && bytes.last().is_some_and(is_alphanumeric)
            && bytes.iter().all(|byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= SUBDOMAIN_MAX && name.split(['.', '/']).all(is_part)
}

fn validate_seccomp(profile: &SeccompProfile, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if profile.type_.is_empty() {
        faults.required(&at.field("type"), "type is required when seccompProfile is set");
    } else {
        validate_choice(Some(&profile.type_), PROFILE_TYPES, &at.field("type"), faults);
    }
    let path_at = at.field("localhostProfile");
    match (&*profile.type_, &profile.localhost_profile) {
        ("Localhost", None) => faults.required(&path_at, "must be set when seccomp type is Localhost"),
        ("Localhost", Some(path)) => validate_local_path(path, &path_at, faults),
        (_, None) => {}
        (_, Some(_)) => {
            faults.invalid(&path_at, QuotedValue::block(profile), "can only be set when seccomp type is Localhost");
        }
    }
}

fn validate_app_armor(profile: &AppArmorProfile, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let name_at = at.field("localhostProfile");
    match (&*profile.type_, profile.localhost_profile.as_deref()) {
        ("Localhost", None | Some("")) => faults.required(&name_at, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                faults.invalid(&name_at, name, "must not be padded with whitespace");
            }
            if name.len() > APP_ARMOR_MAX {
                faults.too_long(&name_at, APP_ARMOR_MAX);
            }
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            faults.invalid(&name_at, name, "can only be set when AppArmor type is Localhost");
        }
        ("", _) => faults.required(&at.field("type"), "type is required when appArmorProfile is set"),
        (other, _) => faults.not_supported(&at.field("type"), other, PROFILE_TYPES),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of_pod(context: Value) -> Vec<String> {
        let context: PodSecurityContext = serde_json::from_value(context).expect("a security context");
        PodFaults::of(|faults| validate_pod(&context, &FieldPath::root("pod"), faults)).written()
    }

    fn faults_of_container(context: Value) -> Vec<String> {
        let context: SecurityContext = serde_json::from_value(context).expect("a security context");
        PodFaults::of(|faults| validate_container(&context, &FieldPath::root("main"), faults)).written()
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        let context = json!({
            "runAsUser": 0, "runAsGroup": 2_147_483_647, "runAsNonRoot": true, "fsGroup": 100,
            "supplementalGroups": [0, 0], "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroupsPolicy": "Strict",
            "seLinuxChangePolicy": "Recursive", "seLinuxOptions": {"level": "any text"},
            "sysctls": [{"name": "net.core.somaxconn", "value": "1"}, {"name": "net/ipv4/a-b_c.d", "value": ""}],
            "seccompProfile": {"type": "Localhost", "localhostProfile": ""},
            "appArmorProfile": {"type": "Localhost", "localhostProfile": "/a/../b"},
        });
        assert_eq!(faults_of_pod(context), [""; 0]);
        for context in [
            json!({}),
            json!({"privileged": true}),
            json!({"privileged": true, "allowPrivilegeEscalation": true}),
            json!({"privileged": false, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["CAP_SYS_ADMIN"]}}),
            json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["SYS_ADMIN", "any text", ""]}}),
            json!({"procMount": "Default", "seccompProfile": {"type": "Unconfined"}}),
            json!({"runAsUser": 1000, "appArmorProfile": {"type": "RuntimeDefault"}}),
        ] {
            assert_eq!(faults_of_container(context.clone()), [""; 0], "{context}");
        }
    }

    #[test]
    fn ids_are_in_range() {
        let detail = "must be between 0 and 2147483647, inclusive";
        for id in [-1, 2_147_483_648_i64] {
            for field in ["runAsUser", "runAsGroup", "fsGroup"] {
                assert_eq!(faults_of_pod(json!({field: id})), [format!("pod.{field}: Invalid value: {id}: {detail}")]);
            }
            let groups = faults_of_pod(json!({"supplementalGroups": [1, id]}));
            assert_eq!(groups, [format!("pod.supplementalGroups[1]: Invalid value: {id}: {detail}")]);
            for field in ["runAsUser", "runAsGroup"] {
                let fault = format!("main.{field}: Invalid value: {id}: {detail}");
                assert_eq!(faults_of_container(json!({field: id})), [fault]);
            }
        }
    }

    #[test]
    fn policies_are_those_that_exist() {
        for (field, supported) in [
            ("fsGroupChangePolicy", "\"Always\", \"OnRootMismatch\""),
            ("supplementalGroupsPolicy", "\"Merge\", \"Strict\""),
            ("seLinuxChangePolicy", "\"Recursive\""),
        ] {
            for value in ["", "MountOption"] {
                let fault = format!("pod.{field}: Unsupported value: \"{value}\": supported values: {supported}");
                assert_eq!(faults_of_pod(json!({field: value})), [fault]);
            }
        }
        for value in ["", "default"] {
            let fault =
                format!("main.procMount: Unsupported value: \"{value}\": supported values: \"Default\", \"Unmasked\"");
            assert_eq!(faults_of_container(json!({"procMount": value})), [fault]);
        }
        let unmasked = "main.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`";
        assert_eq!(faults_of_container(json!({"procMount": "Unmasked"})), [unmasked]);
    }

    #[test]
    fn privileges_and_their_ban_exclude_each_other() {
        let privileged = json!({"allowPrivilegeEscalation": false, "privileged": true});
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        assert_eq!(faults_of_container(privileged.clone()), [format!("main: Invalid value: {privileged}: {detail}")]);
        let both = json!({
            "allowPrivilegeEscalation": false, "capabilities": {"add": ["A", "CAP_SYS_ADMIN"]}, "privileged": true,
        });
        let admin = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        assert_eq!(
            faults_of_container(both.clone()),
            [format!("main: Invalid value: {both}: {detail}"), format!("main: Invalid value: {both}: {admin}")]
        );
    }

    #[test]
    fn sysctls_are_named_once() {
        let names = |names: &[&str]| {
            let sysctls: Vec<_> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            faults_of_pod(json!({"sysctls": sysctls}))
        };
        assert_eq!(
            names(&["a.b", "", "a.b"]),
            ["pod.sysctls[1].name: Required value", "pod.sysctls[2].name: Duplicate value: \"a.b\"",]
        );
        let detail = "must have at most 253 characters and consist of lower case alphanumeric characters, '-' or '_', in parts \
                      that are separated by '.' or '/'";
        for name in ["A", "a..b", "_a", "a_", "a b", ".a", "a.", &"a".repeat(254)] {
            assert_eq!(names(&[name]), [format!("pod.sysctls[0].name: Invalid value: \"{name}\": {detail}")]);
        }
        assert_eq!(names(&[&"a".repeat(253)]), [""; 0]);
    }

    #[test]
    fn seccomp_profiles_are_complete() {
        let of = |profile: Value| {
            let (pod, main) = (faults_of_pod(json!({"seccompProfile": profile})), json!({"seccompProfile": profile}));
            let main: Vec<_> = faults_of_container(main).iter().map(|fault| fault.replacen("main", "pod", 1)).collect();
            assert_eq!(pod, main);
            pod.iter().map(|fault| fault.trim_start_matches("pod.seccompProfile.").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(json!({"type": ""})), ["type: Required value: type is required when seccompProfile is set"]);
        let supported = "supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"";
        assert_eq!(of(json!({"type": "docker"})), [format!("type: Unsupported value: \"docker\": {supported}")]);
        let missing = "localhostProfile: Required value: must be set when seccomp type is Localhost";
        assert_eq!(of(json!({"type": "Localhost"})), [missing]);
        assert_eq!(
            of(json!({"type": "Localhost", "localhostProfile": "/a/../b"})),
            [
                "localhostProfile: Invalid value: \"/a/../b\": must be a relative path",
                "localhostProfile: Invalid value: \"/a/../b\": must not contain '..'",
            ]
        );
        for type_ in ["RuntimeDefault", "Unconfined"] {
            let profile = json!({"localhostProfile": "a", "type": type_});
            let detail = "can only be set when seccomp type is Localhost";
            assert_eq!(of(profile.clone()), [format!("localhostProfile: Invalid value: {profile}: {detail}")]);
        }
    }

    #[test]
    fn app_armor_profiles_are_complete() {
        let of = |profile: Value| {
            let (pod, main) = (faults_of_pod(json!({"appArmorProfile": profile})), json!({"appArmorProfile": profile}));
            let main: Vec<_> = faults_of_container(main).iter().map(|fault| fault.replacen("main", "pod", 1)).collect();
            assert_eq!(pod, main);
            pod.iter().map(|fault| fault.trim_start_matches("pod.appArmorProfile.").to_owned()).collect::<Vec<_>>()
        };
        let required = "type: Required value: type is required when appArmorProfile is set";
        assert_eq!(of(json!({"type": "", "localhostProfile": " "})), [required]);
        let supported = "supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"";
        assert_eq!(of(json!({"type": "a"})), [format!("type: Unsupported value: \"a\": {supported}")]);
        let missing = "localhostProfile: Required value: must be set when AppArmor type is Localhost";
        assert_eq!(of(json!({"type": "Localhost"})), [missing]);
        assert_eq!(of(json!({"type": "Localhost", "localhostProfile": ""})), [missing]);
        let padded = "localhostProfile: Invalid value: \" a\": must not be padded with whitespace";
        assert_eq!(of(json!({"type": "Localhost", "localhostProfile": " a"})), [padded]);
        let long = json!({"type": "Localhost", "localhostProfile": "a".repeat(4096)});
        assert_eq!(of(long), ["localhostProfile: Too long: may not be more than 4095 bytes"]);
        for type_ in ["RuntimeDefault", "Unconfined"] {
            let fault = "localhostProfile: Invalid value: \"a\": can only be set when AppArmor type is Localhost";
            assert_eq!(of(json!({"type": type_, "localhostProfile": "a"})), [fault]);
        }
    }
}
