//! `windowsOptions` of the security contexts.

use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext, WindowsSecurityContextOptions};

use super::faults::PodFaults;
use super::syntax::validate_object_name;
use crate::field_path::FieldPath;

/// The longest GMSA credential spec, in bytes.
const CREDENTIAL_SPEC_MAX: usize = 64 * 1024;
/// The length that a domain has to stay under, and the longest name of a user, in bytes.
const DOMAIN_END: usize = 256;
const USER_MAX: usize = 104;

/// Validates the options at `at`.
pub(super) fn validate(options: &WindowsSecurityContextOptions, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(name) = &options.gmsa_credential_spec_name {
        validate_object_name(name, &at.field("gmsaCredentialSpecName"), faults);
    }
    if let Some(spec) = &options.gmsa_credential_spec {
        let at = at.field("gmsaCredentialSpec");
        if spec.is_empty() {
            faults.invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > CREDENTIAL_SPEC_MAX {
            faults.invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB");
        }
    }
    if let Some(name) = &options.run_as_user_name {
        validate_user_name(name, &at.field("runAsUserName"), faults);
    }
}

/// Validates `user` or `domain\user`.
fn validate_user_name(name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let mut fault = |detail: &str| faults.invalid(at, name, format!("runAsUserName{detail}"));
    if name.is_empty() {
        return fault(" cannot be an empty string");
    }
    if name.chars().any(|character| character.is_ascii_control()) {
        return fault(" cannot contain control characters");
    }
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    if user.contains('\\') {
        return fault(" cannot contain more than one backslash");
    }
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_END {
            fault("'s Domain length must be under 256 characters");
        }
        if !is_net_bios(domain) && !domain.split('.').all(is_dns_label) {
            fault("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        fault("'s User cannot be empty");
    } else if user.len() > USER_MAX {
        fault("'s User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|character| matches!(character, '.' | ' ')) {
        fault("'s User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        fault(r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#);
    }
}

fn is_net_bios(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=15).contains(&length)
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

/// Whether this is a part of a domain name, in either case.
fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Validates that no container is one of the host: that needs `hostNetwork`, which a kind has no field for. `pod_at` and
/// `container_at` are the paths of the security contexts.
pub fn validate_host_process(
    (pod, pod_at): (Option<&PodSecurityContext>, &FieldPath<'_>),
    (container, container_at): (Option<&SecurityContext>, &FieldPath<'_>),
    faults: &mut PodFaults,
) {
    let of =
        |options: &Option<WindowsSecurityContextOptions>| options.as_ref().and_then(|options| options.host_process);
    let pod = pod.and_then(|context| of(&context.windows_options));
    let container = container.and_then(|context| of(&context.windows_options));
    let at = if container.is_some() { container_at } else { pod_at };
    let at = at.field("windowsOptions");
    let at = at.field("hostProcess");
    if let (Some(pod), Some(container)) = (pod, container)
        && pod != container
    {
        let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
        faults.invalid(&at, container, detail);
    }
    if container.or(pod) == Some(true) {
        faults.invalid(&at, true, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of(options: Value) -> Vec<String> {
        let options: WindowsSecurityContextOptions = serde_json::from_value(options).expect("options");
        PodFaults::of(|faults| validate(&options, &FieldPath::root("windowsOptions"), faults)).written()
    }

    #[test]
    fn user_names_may_have_a_domain() {
        let long = "d".repeat(255);
        for name in ["ContainerUser", "NT AUTHORITY\\System", "a.example.com\\u", "ü\\u", &"u".repeat(104), "a_b\\u.1"]
        {
            assert_eq!(faults_of(json!({"runAsUserName": name})), [""; 0], "{name}");
        }
        let domain = "'s Domain doesn't match the NetBios nor the DNS format";
        let characters = r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        for (name, details) in [
            ("", vec![" cannot be an empty string"]),
            ("u\n", vec![" cannot contain control characters"]),
            ("a\\b\\c", vec![" cannot contain more than one backslash"]),
            ("\\u", vec![domain]),
            (".d\\u", vec![domain]),
            ("a*b\\u", vec![domain]),
            (&format!("{}\\u", "d".repeat(64)), vec![domain]),
            (&format!("{long}d\\u"), vec!["'s Domain length must be under 256 characters", domain]),
            ("d\\", vec!["'s User cannot be empty"]),
            (&"u".repeat(105), vec!["'s User length must not be longer than 104 characters"]),
            (". .", vec!["'s User cannot contain only periods or spaces"]),
            ("u@d", vec![characters]),
        ] {
            let quoted = crate::value_template::quoted(name);
            let fault =
                |detail: &&str| format!("windowsOptions.runAsUserName: Invalid value: {quoted}: runAsUserName{detail}");
            let expected: Vec<_> = details.iter().map(fault).collect();
            assert_eq!(faults_of(json!({"runAsUserName": name})), expected);
        }
    }

    #[test]
    fn credential_specs_are_bounded() {
        assert_eq!(faults_of(json!({"gmsaCredentialSpec": "a", "gmsaCredentialSpecName": "a.b"})), [""; 0]);
        let path = "windowsOptions.gmsaCredentialSpec: Invalid value: ";
        let empty = format!("{path}\"\": gmsaCredentialSpec cannot be an empty string");
        assert_eq!(faults_of(json!({"gmsaCredentialSpec": ""})), [empty]);
        let long = format!("{path}\"{}\"…: gmsaCredentialSpec size must be under 64 KiB", "a".repeat(256));
        assert_eq!(faults_of(json!({"gmsaCredentialSpec": "a".repeat(64 * 1024 + 1)})), [long]);
        let detail = crate::labels::dns_subdomain_fault("A").unwrap_or_default();
        let name = format!("windowsOptions.gmsaCredentialSpecName: Invalid value: \"A\": {detail}");
        assert_eq!(faults_of(json!({"gmsaCredentialSpecName": "A"})), [name]);
    }

    #[test]
    fn no_container_is_one_of_the_host() {
        let of = |pod: Option<bool>, container: Option<bool>| {
            let options = |host_process| WindowsSecurityContextOptions { host_process, ..Default::default() };
            let pod = PodSecurityContext { windows_options: Some(options(pod)), ..Default::default() };
            let container = SecurityContext { windows_options: Some(options(container)), ..Default::default() };
            let (pod_at, at) = (FieldPath::root("pod"), FieldPath::root("main"));
            PodFaults::of(|faults| validate_host_process((Some(&pod), &pod_at), (Some(&container), &at), faults))
                .written()
        };
        let network = "windowsOptions.hostProcess: Invalid value: true: hostNetwork must be true if pod contains any \
                       hostProcess containers";
        let differs = |container: bool| {
            let pod = !container;
            format!(
                "main.windowsOptions.hostProcess: Invalid value: {container}: pod hostProcess value must be identical if both \
                 are specified, was {pod}"
            )
        };
        assert_eq!(of(None, None), [""; 0]);
        assert_eq!(of(Some(false), Some(false)), [""; 0]);
        assert_eq!(of(Some(true), None), [format!("pod.{network}")]);
        assert_eq!(of(None, Some(true)), [format!("main.{network}")]);
        assert_eq!(of(Some(true), Some(true)), [format!("main.{network}")]);
        assert_eq!(of(Some(true), Some(false)), [differs(false)]);
        assert_eq!(of(Some(false), Some(true)), [differs(true), format!("main.{network}")]);
    }
}
