//! How the webhooks are registered with the API server, as data. The chart and the tests are compared with it.

/// One entry of a ValidatingWebhookConfiguration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Registration {
    /// The name of the webhook.
    pub name: &'static str,
    /// The path that is called.
    pub path: &'static str,
    /// The API group of the resource.
    pub group: &'static str,
    /// The API version of the resource.
    pub version: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The operations.
    pub operations: &'static [&'static str],
    /// The match conditions: name and CEL expression.
    pub match_conditions: &'static [(&'static str, &'static str)],
    /// The failure policy: what happens when the webhook cannot be called.
    pub failure_policy: &'static str,
    /// The side effects of a call.
    pub side_effects: &'static str,
    /// The timeout of the API server.
    pub timeout_seconds: u32,
    /// The versions of AdmissionReview that it accepts.
    pub admission_review_versions: &'static [&'static str],
}

/// The path for Workspaces.
pub const WORKSPACE_PATH: &str = "/validate-kubeflow-org-v1beta1-workspace";
/// The path for WorkspaceKinds.
pub const WORKSPACE_KIND_PATH: &str = "/validate-kubeflow-org-v1beta1-workspacekind";

/// Updates of anything but the spec (status, labels, finalizers) are not reviewed.
const SPEC_CHANGED: (&str, &str) = ("spec-changed", "request.operation != 'UPDATE' || object.spec != oldObject.spec");

/// The webhooks.
pub const REGISTRATIONS: [Registration; 2] = [
    Registration {
        name: "vworkspace.kb.io",
        path: WORKSPACE_PATH,
        group: crds::GROUP,
        version: crds::VERSION,
        resource: "workspaces",
        operations: &["CREATE", "UPDATE"],
        match_conditions: &[SPEC_CHANGED],
        failure_policy: "Fail",
        side_effects: "None",
        timeout_seconds: 5,
        admission_review_versions: &["v1"],
    },
    Registration {
        name: "vworkspacekind.kb.io",
        path: WORKSPACE_KIND_PATH,
        resource: "workspacekinds",
        operations: &["CREATE", "UPDATE", "DELETE"],
        group: crds::GROUP,
        version: crds::VERSION,
        match_conditions: &[SPEC_CHANGED],
        failure_policy: "Fail",
        side_effects: "None",
        timeout_seconds: 5,
        admission_review_versions: &["v1"],
    },
];
