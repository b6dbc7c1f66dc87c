//! The probes of a container.

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::faults::PodFaults;
use super::syntax::NEGATIVE;
use crate::field_path::FieldPath;
use crate::workspace_kind::Probes;

/// Validates the probes at `at`.
pub fn validate(probes: &Probes, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let Probes { startup_probe, liveness_probe, readiness_probe } = probes;
    if let Some(probe) = startup_probe {
        validate_restarting(probe, &at.field("startupProbe"), faults);
    }
    if let Some(probe) = liveness_probe {
        validate_restarting(probe, &at.field("livenessProbe"), faults);
    }
    if let Some(probe) = readiness_probe {
        let at = at.field("readinessProbe");
        validate_probe(probe, &at, faults);
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let at = at.field("terminationGracePeriodSeconds");
            faults.invalid(&at, seconds, "must not be set for readinessProbes");
        }
    }
}

/// Validates a probe whose failure restarts the container.
fn validate_restarting(probe: &Probe, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_probe(probe, at, faults);
    // 0 stands for the default, which is 1.
    let threshold = probe.success_threshold.unwrap_or_default();
    if !matches!(threshold, 0 | 1) {
        faults.invalid(&at.field("successThreshold"), threshold, "must be 1");
    }
}

fn validate_probe(probe: &Probe, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_handlers(probe, at, faults);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, number) in numbers {
        if let Some(number) = number.filter(|number| *number < 0) {
            faults.invalid(&at.field(field), number, NEGATIVE);
        }
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        faults.invalid(&at.field("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
}

/// Validates that there is one handler, and that handler.
fn validate_handlers(probe: &Probe, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let Probe { exec, http_get, tcp_socket, grpc, .. } = probe;
    let handlers = [
        ("exec", exec.is_some()),
        ("httpGet", http_get.is_some()),
        ("tcpSocket", tcp_socket.is_some()),
        ("grpc", grpc.is_some()),
    ];
    let mut given = handlers.into_iter().filter_map(|(handler, given)| given.then_some(handler));
    let Some(handler) = given.next() else { return faults.required(at, "must specify a handler type") };
    let handler_at = at.field(handler);
    if let Some(exec) = exec {
        if exec.command.as_ref().is_none_or(Vec::is_empty) {
            faults.required(&handler_at.field("command"), "");
        }
    } else if let Some(http_get) = http_get {
        validate_http_get(http_get, &handler_at, faults);
    } else if let Some(tcp_socket) = tcp_socket {
        validate_port(&tcp_socket.port, &handler_at.field("port"), faults);
    } else if let Some(grpc) = grpc {
        validate_port_number(grpc.port, &handler_at.field("port"), faults);
    }
    // The API server does not look into the others.
    for handler in given {
        faults.forbidden(&at.field(handler), "may not specify more than 1 handler type");
    }
}

fn validate_http_get(http_get: &HTTPGetAction, at: &FieldPath<'_>, faults: &mut PodFaults) {
    validate_port(&http_get.port, &at.field("port"), faults);
    match http_get.scheme.as_deref() {
        None | Some("" | "HTTP" | "HTTPS") => {}
        Some(scheme) => faults.not_supported(&at.field("scheme"), scheme, &["HTTP", "HTTPS"]),
    }
    for header in http_get.http_headers.iter().flatten() {
        if header.name.is_empty() || !header.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-'";
            faults.invalid(&at.field("httpHeaders"), &header.name, detail);
        }
    }
}

/// Validates the number or the name of a port. The container need not have a port of that name.
fn validate_port(port: &IntOrString, at: &FieldPath<'_>, faults: &mut PodFaults) {
    match port {
        IntOrString::Int(number) => validate_port_number(*number, at, faults),
        IntOrString::String(name) => validate_port_name(name, at, faults),
    }
}

fn validate_port_number(number: i32, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if !(1..=65535).contains(&number) {
        faults.invalid(at, number, "must be between 1 and 65535, inclusive");
    }
}

fn validate_port_name(name: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > 15 {
        faults.invalid(at, name, "must be no more than 15 characters");
    }
    if name.is_empty() || !name.bytes().all(is_allowed) {
        faults.invalid(at, name, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        faults.invalid(at, name, "must contain at least one letter (a-z)");
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            faults.hint(", write a number without quotes");
        }
    }
    if name.contains("--") {
        faults.invalid(at, name, "must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        faults.invalid(at, name, "must not begin or end with a hyphen");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of(probes: &Value) -> Vec<String> {
        let probes: Probes = serde_json::from_value(probes.clone()).expect("probes");
        PodFaults::of(|faults| validate(&probes, &FieldPath::root("probes"), faults)).written()
    }

    /// The faults of a readiness probe, without the beginning of their paths.
    fn faults_of_readiness(probe: &Value) -> Vec<String> {
        let faults = faults_of(&json!({"readinessProbe": probe}));
        faults.iter().map(|fault| fault.trim_start_matches("probes.readinessProbe").to_owned()).collect()
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for probe in [
            json!({"exec": {"command": [""]}}),
            json!({"httpGet": {"port": 65535}}),
            json!({"httpGet": {"port": "http-8080", "path": "", "scheme": "", "httpHeaders": [{"name": "X-A", "value": ""}]}}),
            json!({"httpGet": {"port": 1, "path": "no slash", "scheme": "HTTPS", "host": "any text"}}),
            json!({"tcpSocket": {"port": "8a"}}),
            json!({"grpc": {"port": 1, "service": "any text"}}),
            json!({
                "tcpSocket": {"port": 1}, "initialDelaySeconds": 0, "timeoutSeconds": 0, "periodSeconds": 0, "successThreshold": 2,
                "failureThreshold": 0,
            }),
        ] {
            assert_eq!(faults_of_readiness(&probe), [""; 0], "{probe}");
        }
        for threshold in [json!(null), json!(0), json!(1)] {
            let probe = json!({
                "tcpSocket": {"port": 1}, "successThreshold": threshold, "terminationGracePeriodSeconds": 1,
            });
            assert_eq!(faults_of(&json!({"startupProbe": probe, "livenessProbe": probe})), [""; 0], "{threshold}");
        }
        assert_eq!(faults_of(&json!({})), [""; 0]);
    }

    #[test]
    fn a_probe_has_one_handler() {
        let none = [": Required value: must specify a handler type"];
        assert_eq!(faults_of_readiness(&json!({})), none);
        assert_eq!(faults_of_readiness(&json!({"periodSeconds": 5})), none);
        let all = json!({
            "exec": {}, "httpGet": {"port": 0}, "tcpSocket": {"port": 0}, "grpc": {"port": 0},
        });
        let detail = "Forbidden: may not specify more than 1 handler type";
        assert_eq!(
            faults_of_readiness(&all),
            [
                ".exec.command: Required value",
                &format!(".httpGet: {detail}"),
                &format!(".tcpSocket: {detail}"),
                &format!(".grpc: {detail}"),
            ]
        );
        let two = json!({"httpGet": {"port": 0}, "tcpSocket": {"port": 80}});
        let port = ".httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive";
        assert_eq!(faults_of_readiness(&two), [port, &format!(".tcpSocket: {detail}")]);
    }

    #[test]
    fn ports_are_in_range_or_named() {
        for port in [0, -1, 65536] {
            let fault = |handler: &str| {
                format!(".{handler}.port: Invalid value: {port}: must be between 1 and 65535, inclusive")
            };
            for handler in ["httpGet", "tcpSocket", "grpc"] {
                assert_eq!(faults_of_readiness(&json!({handler: {"port": port}})), [fault(handler)]);
            }
        }
        let characters = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        let letter = "must contain at least one letter (a-z)";
        let hyphen = "must not begin or end with a hyphen";
        for (name, details) in [
            ("", vec![characters, letter]),
            ("8080", vec![letter]),
            ("Http", vec![characters]),
            ("a_b", vec![characters]),
            ("-a", vec![hyphen]),
            ("a-", vec![hyphen]),
            ("-", vec![letter, hyphen]),
            ("a--b", vec!["must not contain consecutive hyphens"]),
            ("aaaaaaaaaaaaaaaa", vec!["must be no more than 15 characters"]),
        ] {
            let expected: Vec<_> =
                details.iter().map(|detail| format!(".tcpSocket.port: Invalid value: \"{name}\": {detail}")).collect();
            assert_eq!(faults_of_readiness(&json!({"tcpSocket": {"port": name}})), expected);
        }
    }

    #[test]
    fn a_quoted_number_is_explained() {
        let hint_of = |name: &str| {
            let port = IntOrString::String(name.to_owned());
            let faults = PodFaults::of(|faults| validate_port(&port, &FieldPath::root("port"), faults));
            faults.into_iter().map(|fault| fault.hint.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(hint_of("8080"), [", write a number without quotes"]);
        assert_eq!(hint_of("80-80"), [""]);
        assert_eq!(hint_of(""), ["", ""]);
    }

    #[test]
    fn handlers_are_complete() {
        for exec in [json!({}), json!({"command": []})] {
            assert_eq!(faults_of_readiness(&json!({"exec": exec})), [".exec.command: Required value"]);
        }
        let scheme = json!({"httpGet": {"port": 80, "scheme": "http"}});
        let supported = "Unsupported value: \"http\": supported values: \"HTTP\", \"HTTPS\"";
        assert_eq!(faults_of_readiness(&scheme), [format!(".httpGet.scheme: {supported}")]);
        for name in ["", "A B", "a_b", "X-Ä"] {
            let headers = json!([{"name": "Accept", "value": "x"}, {"name": name, "value": ""}]);
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-'";
            assert_eq!(
                faults_of_readiness(&json!({"httpGet": {"port": 80, "httpHeaders": headers}})),
                [format!(".httpGet.httpHeaders: Invalid value: \"{name}\": {detail}")]
            );
        }
    }

    #[test]
    fn numbers_are_not_negative() {
        for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            let probe = json!({"tcpSocket": {"port": 80}, field: -1});
            let fault = format!(".{field}: Invalid value: -1: must be greater than or equal to 0");
            assert_eq!(faults_of_readiness(&probe), [fault]);
        }
        for name in ["startupProbe", "livenessProbe"] {
            let path = format!("probes.{name}.successThreshold: Invalid value: ");
            let of =
                |threshold: i32| faults_of(&json!({name: {"tcpSocket": {"port": 80}, "successThreshold": threshold}}));
            assert_eq!(of(2), [format!("{path}2: must be 1")]);
            assert_eq!(
                of(-1),
                [format!("{path}-1: must be greater than or equal to 0"), format!("{path}-1: must be 1")]
            );
        }
    }

    #[test]
    fn a_grace_period_is_for_probes_that_restart() {
        let probe = |seconds: i64| json!({"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": seconds});
        let path = ".terminationGracePeriodSeconds: Invalid value: ";
        for seconds in [0, -1] {
            let fault = format!("probes.livenessProbe{path}{seconds}: must be greater than 0");
            assert_eq!(faults_of(&json!({"livenessProbe": probe(seconds)})), [fault]);
        }
        let readiness = "must not be set for readinessProbes";
        assert_eq!(faults_of_readiness(&probe(5)), [format!("{path}5: {readiness}")]);
        assert_eq!(
            faults_of_readiness(&probe(0)),
            [format!("{path}0: must be greater than 0"), format!("{path}0: {readiness}")]
        );
    }
}
