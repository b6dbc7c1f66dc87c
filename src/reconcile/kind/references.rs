//! References: what a stored kind names and does not have, such as ports in its templates or targets of redirects.
//!
//! Admission refuses such kinds, with the same words; an older webhook, or none, let them through. Rendering goes on without
//! what is missing, so the kind says it.

use std::time::Duration;

use crds::WorkspaceKindSpec;
use crds::conditions::ConditionStatus;
use tokio::time::Instant;
use webhook::Policy;
use webhook::field::Fault;
use webhook::rule::Rule;

use super::super::conditions::{ConditionDraft, RESOLVED_REFS};

/// How long the templates of a kind may take: the loop waits meanwhile. Those that admission accepts take a tenth.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whether everything that the kind refers to exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct References {
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

impl References {
    /// Those of a spec.
    pub fn of(spec: &WorkspaceKindSpec, policy: &Policy) -> Self {
        let until = Instant::now() + PATIENCE;
        let findings = webhook::workspace_kind::validate_in_time(spec, policy, &|| Instant::now() < until);
        Self::from_faults(&findings.faults)
    }

    fn from_faults(faults: &[Fault]) -> Self {
        let mut unresolved = faults.iter().filter_map(|fault| Some((fault, reason(fault.rule)?)));
        let Some((first, reason)) = unresolved.next() else {
            let message = "the ports, options and redirects that the kind refers to exist".to_owned();
            return Self { status: ConditionStatus::True, reason: "Resolved", message };
        };
        let more = match unresolved.count() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let message = format!("{}: {}{more}", first.field, first.message());
        let status = if first.rule == Rule::TemplateTime { ConditionStatus::Unknown } else { ConditionStatus::False };
        Self { status, reason, message }
    }

    /// The condition.
    pub fn condition(&self) -> ConditionDraft {
        ConditionDraft::new(RESOLVED_REFS, self.status, self.reason, self.message.clone())
    }
}

/// The reason for a fault of this rule; none where it is not about a reference.
fn reason(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::ExtraEnvTemplate | Rule::RequestHeader => Some("InvalidTemplate"),
        Rule::PortUnknown | Rule::ImagePortEntry | Rule::ProbePort => Some("PortNotFound"),
        Rule::ImageConfigDefault | Rule::PodConfigDefault => Some("DefaultNotFound"),
        Rule::RedirectTarget | Rule::RedirectCycle => Some("InvalidRedirect"),
        Rule::TemplateTime => Some("NotDetermined"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn references(change: impl FnOnce(&mut Value)) -> (ConditionStatus, &'static str, String) {
        let mut kind = serde_json::to_value(crds::testing::workspace_kind("lab")).unwrap();
        change(&mut kind["spec"]["podTemplate"]);
        let spec: WorkspaceKindSpec = serde_json::from_value(kind["spec"].clone()).unwrap();
        let References { status, reason, message } = References::of(&spec, &Policy::default());
        (status, reason, message)
    }

    #[test]
    fn what_a_kind_refers_to_exists_or_is_named() {
        let resolved = "the ports, options and redirects that the kind refers to exist".to_owned();
        assert_eq!(references(|_| {}), (ConditionStatus::True, "Resolved", resolved.clone()));
        // A fault that is not about references.
        let odd = |template: &mut Value| template["podMetadata"] = json!({"labels": {"a b": "c"}});
        assert_eq!(references(odd), (ConditionStatus::True, "Resolved", resolved));
        let env = |value: &'static str| {
            move |template: &mut Value| template["extraEnv"] = json!([{"name": "A", "value": value}])
        };
        let at = "spec.podTemplate.extraEnv[A].value: Invalid value: ";
        let (status, reason, message) = references(env("{{ httpPathPrefix \"jupyter\" }}"));
        assert_eq!((status, reason), (ConditionStatus::False, "InvalidTemplate"));
        assert!(
            message.starts_with(at) && message.contains("port id \"jupyter\" does not exist, did you mean"),
            "{message}"
        );
        let (status, reason, message) = references(env("{{ . }}"));
        assert_eq!((status, reason), (ConditionStatus::False, "InvalidTemplate"));
        assert!(message.starts_with(at), "{message}");
        let expected = (
            ConditionStatus::False,
            "DefaultNotFound",
            "spec.podTemplate.options.imageConfig.spawner.default: Invalid value: \"gone\": default imageConfig \"gone\" not \
             found; and 1 more"
                .to_owned(),
        );
        let broken = |template: &mut Value| {
            template["options"]["imageConfig"]["spawner"]["default"] = json!("gone");
            template["options"]["podConfig"]["values"][0]["redirect"] = json!({"to": "nowhere"});
        };
        assert_eq!(references(broken), expected);
    }
}
