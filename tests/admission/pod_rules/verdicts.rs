//! What both sides say to a kind: our rules, and the API server when it is asked to create what is rendered.

use crds::testing::workspace;
use crds::{Workspace, WorkspaceKind};
use serde_json::{Value, json};
use webhook::field::Fault;
use webhook::rule::Rule;
use webhook::{Policy, ReviewedKind};
use workspaces_controller::config::Routing;
use workspaces_controller::offline::api_server::schemas::{Schemas, Shaped};
use workspaces_controller::offline::api_server::{cel, validation};
use workspaces_controller::render::{RenderInput, render};

use super::kinds::Generated;
use super::origin::{Origin, is_same_field};
use crate::stage::cluster;

/// The labels that the StatefulSet controller adds to a pod.
const LABELS_OF_THE_SET: [&str; 3] =
    ["apps.kubernetes.io/pod-index", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"];

/// The result for one kind.
pub enum Comparison {
    /// The CRD refuses the kind.
    NotStorable,
    /// A rule about something else refuses the kind.
    RefusedByOthers,
    /// Both sides were asked.
    Compared {
        /// Whether the API server refused the pod.
        refused: bool,
        /// How they differ, for people.
        difference: Option<String>,
    },
}

/// One reason for a refusal.
#[derive(Clone, Debug, Default)]
struct Cause {
    /// The field of the kind; empty where the API server names none.
    field: String,
    reason: String,
    #[expect(dead_code, reason = "printed")]
    message: String,
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        Self { reason: fault.fault_type.reason().to_owned(), message: fault.message(), field: fault.field }
    }
}

/// What the API server says to a template, and to a pod of it.
#[derive(Debug)]
struct Answer {
    template: Vec<Cause>,
    pod: Vec<Cause>,
}

impl Answer {
    fn is_refusal(&self) -> bool {
        !(self.template.is_empty() && self.pod.is_empty())
    }

    /// Whether we name every field that the API server names, and no other one and for no other reason. Where it has
    /// several reasons for a field, one of them is enough. Of a body that does not decode it names no field.
    ///
    /// A pod is asked about after the template only: it has more defaults, and so further faults with the same cause.
    fn agrees(&self, ours: &[Cause]) -> bool {
        if self.template.iter().any(|cause| cause.field.is_empty()) {
            return !ours.is_empty();
        }
        let needed = if self.template.is_empty() { &self.pod } else { &self.template };
        let is_same = |cause: &Cause, other: &Cause| is_same_field(&cause.field, &other.field);
        let is_named = |other: &Cause| ours.iter().any(|cause| is_same(cause, other));
        let is_right = |cause: &Cause| {
            let mut all = self.template.iter().chain(&self.pod);
            all.any(|other| is_same(cause, other) && cause.reason == other.reason)
        };
        needed.iter().all(is_named) && ours.iter().all(is_right)
    }
}

/// Asks both sides.
pub struct Examiner {
    namespace: String,
}

impl Examiner {
    /// Asks the API server in this namespace; nothing is stored there.
    pub fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// Compares the verdicts on a kind.
    pub fn compare(&self, generated: &Generated) -> Comparison {
        let Some(kind) = stored(&generated.kind) else { return Comparison::NotStorable };
        let found = webhook::workspace_kind::validate(&kind.spec, &Policy::default()).faults;
        if found.iter().any(|fault| !is_about_pods(fault.rule)) {
            return Comparison::RefusedByOthers;
        }
        let ours: Vec<Cause> = found.into_iter().map(Cause::from).collect();
        let server = self.server(&kind, &self.workspace(&kind, generated.option));
        let difference = (!server.agrees(&ours))
            .then(|| format!("{}\n  ours:   {ours:#?}\n  server: {server:#?}", generated.odd.join("\n")));
        Comparison::Compared { refused: server.is_refusal(), difference }
    }

    /// A Workspace with the options that may be odd.
    fn workspace(&self, kind: &WorkspaceKind, option: usize) -> Workspace {
        let mut workspace = workspace(&self.namespace, "lab", "pod-rules");
        let wanted = &mut workspace.spec.pod_template;
        let options = &kind.spec.pod_template.options;
        wanted.options.image_config.clone_from(&options.image_config.values[option].id);
        wanted.options.pod_config.clone_from(&options.pod_config.values[option].id);
        wanted.volumes.home = Some("home-claim".to_owned());
        workspace
    }

    /// What the API server says to the pod of a Workspace, on the fields of the kind.
    fn server(&self, kind: &WorkspaceKind, workspace: &Workspace) -> Answer {
        let desired = render(RenderInput::from(workspace), &kind.spec, &Routing::default()).unwrap();
        let template = serde_json::to_value(desired.stateful_set.spec.unwrap().template).unwrap();
        let stored =
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "lab"}, "template": template});
        let mut pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!("lab-0");
        for label in LABELS_OF_THE_SET {
            pod["metadata"]["labels"][label] = json!("lab-0");
        }
        let selected = &workspace.spec.pod_template.options;
        let origin = Origin { template: &template, image: &selected.image_config, pod: &selected.pod_config };
        let create = |collection: &str, object: &Value| -> Vec<Cause> {
            let causes = self.create(collection, object).into_iter();
            causes.map(|cause| Cause { field: origin.field(&cause.field), ..cause }).collect()
        };
        Answer { template: create("podtemplates", &stored), pod: create("pods", &pod) }
    }

    fn create(&self, collection: &str, object: &Value) -> Vec<Cause> {
        let path = format!("/api/v1/namespaces/{}/{collection}?dryRun=All", self.namespace);
        let reply = cluster().api().create(&path, object).unwrap();
        if reply.status < 400 {
            return Vec::new();
        }
        let status = reply.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match (reply.status, status["details"]["causes"].as_array()) {
            (422, Some(causes)) => causes
                .iter()
                .map(|cause| Cause {
                    field: text(&cause["field"]),
                    reason: text(&cause["reason"]),
                    message: text(&cause["message"]),
                })
                .collect(),
            (400, _) => vec![Cause { message: text(&status["message"]), ..Cause::default() }],
            // Mirror pods are refused before they are validated; their templates are validated all the same.
            (403, _) if reply.body.contains("a mirror pod may not reference service accounts") => Vec::new(),
            _ => panic!("{}", reply.body),
        }
    }
}

/// The kind as the API server would store it; `None` where its CRD refuses it.
fn stored(kind: &Value) -> Option<WorkspaceKind> {
    let (schemas, subject) = (Schemas::read().unwrap(), ReviewedKind::WorkspaceKind);
    let Shaped { object, unknown } = schemas.shape(subject, kind);
    assert_eq!(unknown, [], "the tables know all fields");
    let schema = schemas.of(subject);
    let fits =
        validation::validate(schema, &object, None).is_empty() && cel::evaluate(schema, &object, None, &[]).is_empty();
    fits.then(|| serde_json::from_value(object).unwrap())
}

/// Whether the rule says what the API server would say to a pod.
pub fn is_about_pods(rule: Rule) -> bool {
    rule == Rule::KindPodMetadata || ("WSK041"..="WSK048").contains(&rule.code())
}
