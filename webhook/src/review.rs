//! The verdict and its JSON: uid, code, reason, causes and warnings in one place.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::field::{Fault, SHOWN_MAX, Warning};
use crate::rule::Rule;

/// The most warnings of one answer; more are counted.
const WARNINGS_MAX: usize = 5;
/// How long a client should wait before it retries, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Whether the object may be stored, and what its author should know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Why it must not be stored, if so.
    pub refusal: Option<Refusal>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// Why an object must not be stored (now).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Faults of fields: 422.
    Invalid {
        /// The kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong, in the order of the rules.
        faults: Vec<Fault>,
    },
    /// It conflicts with other objects: 409.
    Conflict {
        /// The kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What it conflicts with.
        fault: Box<Fault>,
    },
    /// The review is malformed: 400.
    BadRequest(String),
    /// A lookup failed for now or took too long: 503, the client can retry.
    Unavailable(String),
    /// An error of ours: 500.
    Internal(String),
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), warnings: Vec::new() }
    }
}

/// An AdmissionReview with a response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

/// What the API server writes to its audit log, prefixed with the name of the webhook.
#[derive(Serialize)]
struct AuditAnnotations {
    /// The codes of the rules that found a fault or a warning.
    rules: String,
}

/// A `metav1.Status`.
#[derive(Serialize)]
struct Status {
    metadata: Empty,
    #[serde(rename = "status")]
    outcome: &'static str,
    message: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Cause {
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
}

/// Writes the answer to a request.
pub(crate) fn write(api_version: &str, uid: &str, verdict: Verdict) -> Vec<u8> {
    let audit_annotations = codes(&verdict).map(|rules| AuditAnnotations { rules });
    let status = verdict.refusal.map(status);
    let warnings = bounded(verdict.warnings);
    let response = Response { uid, allowed: status.is_none(), status, warnings, audit_annotations };
    let answer = AdmissionReview { api_version, kind: "AdmissionReview", response };
    // Structs of strings and numbers always serialize.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// The codes of the rules that found something, each once.
fn codes(verdict: &Verdict) -> Option<String> {
    let faults: &[Fault] = match &verdict.refusal {
        Some(Refusal::Invalid { faults, .. }) => faults,
        Some(Refusal::Conflict { fault, .. }) => std::slice::from_ref(&**fault),
        _ => &[],
    };
    let rules = faults.iter().map(|fault| fault.rule).chain(verdict.warnings.iter().map(|warning| warning.rule));
    let codes: BTreeSet<&str> = rules.map(Rule::code).collect();
    (!codes.is_empty()).then(|| Vec::from_iter(codes).join(","))
}

fn bounded(warnings: Vec<Warning>) -> Vec<String> {
    let mut warnings: Vec<String> = warnings.into_iter().map(|warning| warning.text).collect();
    if warnings.len() > WARNINGS_MAX {
        let rest = warnings.len() - (WARNINGS_MAX - 1);
        warnings.truncate(WARNINGS_MAX - 1);
        warnings.push(format!("… and {rest} more warnings"));
    }
    warnings
}

fn status(refusal: Refusal) -> Status {
    let failure = |code, reason, message, details| Status {
        metadata: Empty {},
        outcome: "Failure",
        message,
        reason,
        details,
        code,
    };
    match refusal {
        Refusal::Invalid { kind, name, faults } => {
            let causes = causes(&faults);
            let message =
                format!("{kind}.{} {} is invalid: {}", crds::GROUP, crate::field::quoted(&name), aggregate(&causes));
            let details = Details { name, group: crds::GROUP, kind, causes, ..Details::default() };
            failure(422, "Invalid", message, Some(details))
        }
        Refusal::Conflict { kind, name, fault } => {
            let detail = fault.detail;
            let message = format!(
                "Operation cannot be fulfilled on {kind}.{} {}: {}",
                crds::GROUP,
                crate::field::quoted(&name),
                detail
            );
            let causes = vec![Cause { reason: "", message: detail, field: String::new() }];
            let details = Details { name, group: crds::GROUP, kind, causes, ..Details::default() };
            failure(409, "Conflict", message, Some(details))
        }
        Refusal::BadRequest(message) => failure(400, "BadRequest", message, None),
        Refusal::Unavailable(message) => {
            let details = Details { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..Details::default() };
            failure(503, "ServiceUnavailable", message, Some(details))
        }
        Refusal::Internal(message) => failure(500, "InternalError", message, None),
    }
}

fn causes(faults: &[Fault]) -> Vec<Cause> {
    let cause = |fault: &Fault| Cause {
        reason: fault.fault_type.reason(),
        message: fault.message(),
        field: fault.field.clone(),
    };
    let mut causes: Vec<Cause> = faults.iter().take(SHOWN_MAX).map(cause).collect();
    if let Some(rest) = faults.len().checked_sub(SHOWN_MAX).filter(|rest| *rest > 0) {
        // kubectl prints `field: message`; a cause without a field would read as `: … and 3 more`.
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("… and {rest} more"),
            field: "spec".to_owned(),
        });
    }
    causes
}

/// All causes in one line, in the format of apimachinery's `NewInvalid`.
fn aggregate(causes: &[Cause]) -> String {
    let lines: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match lines.as_slice() {
        [line] => line.clone(),
        _ => format!("[{}]", lines.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(verdict: impl Into<Verdict>) -> String {
        String::from_utf8(write("admission.k8s.io/v1", "u-1", verdict.into())).unwrap()
    }

    fn invalid(faults: Vec<Fault>) -> Refusal {
        Refusal::Invalid { kind: "WorkspaceKind", name: "lab".to_owned(), faults }
    }

    #[test]
    fn allowed() {
        assert_eq!(
            written(Verdict::default()),
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true}}"#
        );
    }

    #[test]
    fn one_fault() {
        let fault = Fault::invalid(Rule::ImageConfigDefault, "spec.x", "v", "bad");
        assert_eq!(
            written(invalid(vec![fault])),
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":false,"#
                .to_owned()
                + r#""status":{"metadata":{},"status":"Failure","#
                + r#""message":"WorkspaceKind.kubeflow.org \"lab\" is invalid: spec.x: Invalid value: \"v\": bad","#
                + r#""reason":"Invalid","details":{"name":"lab","group":"kubeflow.org","kind":"WorkspaceKind","#
                + r#""causes":[{"reason":"FieldValueInvalid","message":"Invalid value: \"v\": bad","field":"spec.x"}]},"#
                + r#""code":422},"auditAnnotations":{"rules":"WSK009"}}}"#
        );
    }

    #[test]
    fn several_faults_are_one_list() {
        let faults = ["a", "b"].map(|name| Fault::forbidden(Rule::PortDuplicate, format!("spec.{name}"), "no"));
        let status = status(invalid(faults.to_vec()));
        assert_eq!(
            status.message,
            "WorkspaceKind.kubeflow.org \"lab\" is invalid: [spec.a: Forbidden: no, spec.b: Forbidden: no]"
        );
    }

    #[test]
    fn the_audit_log_names_each_rule_once() {
        let fault = |rule| Fault::forbidden(rule, "spec.x", "no");
        let faults = [Rule::RequestHeader, Rule::PortDuplicate, Rule::RequestHeader].map(fault).to_vec();
        let warning = Warning { rule: Rule::HeaderSetAndAdded, field: String::new(), text: String::new() };
        let verdict = Verdict { refusal: Some(invalid(faults)), warnings: vec![warning] };
        assert_eq!(codes(&verdict).as_deref(), Some("WSK003,WSK007,WSK031"));
        assert_eq!(codes(&Verdict::default()), None);
    }

    #[test]
    fn more_than_fifty_faults_are_counted() {
        let faults =
            |count| (0..count).map(|i| Fault::forbidden(Rule::PortDuplicate, format!("spec.{i}"), "no")).collect();
        assert_eq!(status(invalid(faults(50))).details.unwrap().causes.len(), 50);
        let status = status(invalid(faults(53)));
        let causes = status.details.unwrap().causes;
        assert_eq!(causes.len(), 51);
        assert_eq!(causes[50].message, "… and 3 more");
        assert!(status.message.ends_with("spec.49: Forbidden: no, spec: … and 3 more]"), "{}", status.message);
    }

    #[test]
    fn more_than_five_warnings_are_counted() {
        let warning = |text| Warning { rule: Rule::PortUnused, field: String::new(), text };
        let warnings = |count: usize| (0..count).map(|i| warning(i.to_string())).collect();
        assert_eq!(bounded(warnings(5)), ["0", "1", "2", "3", "4"]);
        assert_eq!(bounded(warnings(7)), ["0", "1", "2", "3", "… and 3 more warnings"]);
    }

    #[test]
    fn a_conflict_has_one_cause() {
        let fault = Fault::forbidden(Rule::KindInUse, "", "WorkspaceKind is used by 1 workspace(s): ns/a");
        let text = written(Refusal::Conflict { kind: "WorkspaceKind", name: "lab".to_owned(), fault: Box::new(fault) });
        assert!(text.contains(
            r#""message":"Operation cannot be fulfilled on WorkspaceKind.kubeflow.org \"lab\": WorkspaceKind is used by 1 workspace(s): ns/a","reason":"Conflict","#
        ));
        assert!(
            text.contains(r#""causes":[{"message":"WorkspaceKind is used by 1 workspace(s): ns/a"}]},"code":409"#),
            "{text}"
        );
    }

    #[test]
    fn what_is_worth_a_retry_says_so() {
        let text = written(Refusal::Unavailable("later".to_owned()));
        assert!(
            text.contains(
                r#""message":"later","reason":"ServiceUnavailable","details":{"retryAfterSeconds":1},"code":503"#
            ),
            "{text}"
        );
        let text = written(Refusal::Internal("broken".to_owned()));
        assert!(text.contains(r#""message":"broken","reason":"InternalError","code":500"#), "{text}");
    }
}
