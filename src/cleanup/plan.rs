//! What an installation leaves behind, what of it goes, and in which order. Pure.

use std::fmt;

use crds::labels::{FIELD_MANAGER, KIND_FINALIZER};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::core::DynamicObject;
use webhook::REGISTRATIONS;

use crate::election::written_by;
use crate::stores::child::Child;
use crate::stores::slim::Incoming;

/// The label by which helm says which chart made an object, and its value before the version.
const CHART_LABEL: &str = "helm.sh/chart";
const CHART: &str = "workspaces-controller-";
/// The Job of the chart that checks an installation, which helm leaves behind where it fails.
const CHECK: &str = "workspaces-controller-check";
/// What cert-manager writes on the Secrets of the chart's certificates, which it leaves behind.
const CERTIFICATE: &str = "cert-manager.io/certificate-name";
const CERTIFICATES: [&str; 2] = ["workspaces-serving-cert", "workspaces-ca"];

/// What there is.
pub(super) struct Found {
    pub configurations: Vec<ValidatingWebhookConfiguration>,
    pub kinds: Vec<DynamicObject>,
    pub routes: Vec<Incoming<Child>>,
    /// Of the namespace of the installation; the Leases that have one of our names.
    pub leases: Vec<Lease>,
    /// The metadata alone.
    pub secrets: Vec<PartialObjectMeta<Secret>>,
    pub jobs: Vec<Job>,
    /// How many Workspaces there are.
    pub workspaces: usize,
    /// Whether another program leads, such as the Go controller, which has the same finalizer on kinds.
    pub other_leads: bool,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub what: What,
    /// Empty for objects of the whole cluster.
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// What is done, in the order in which it is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// First: without a server every change of a Workspace or kind would be refused.
    Configuration,
    /// Removes the finalizer at this index of a kind: nobody else would.
    Finalizer(usize),
    /// A Workspace that is deleted later would keep it until garbage collection.
    Route,
    Lease,
    Secret,
    Job,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, kind) = match self.what {
            What::Configuration => ("delete", "ValidatingWebhookConfiguration"),
            What::Finalizer(_) => {
                return write!(formatter, "remove the finalizer {KIND_FINALIZER} of WorkspaceKind {}", self.name);
            }
            What::Route => ("delete", "VirtualService"),
            What::Lease => ("delete", "Lease"),
            What::Secret => ("delete", "Secret"),
            What::Job => ("delete", "Job"),
        };
        match &*self.namespace {
            "" => write!(formatter, "{verb} {kind} {}", self.name),
            namespace => write!(formatter, "{verb} {kind} {namespace}/{}", self.name),
        }
    }
}

/// What goes and what stays.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// What stays, and why; a line for each.
    pub stays: Vec<String>,
}

/// What goes of what was found, and what stays.
pub(super) fn plan(found: &Found, keep_routes: bool) -> Plan {
    let mut plan = Plan::default();
    configurations(&mut plan, &found.configurations);
    let finalizers = found.kinds.iter().filter_map(|kind| {
        let index = kind.finalizers().iter().position(|finalizer| finalizer == KIND_FINALIZER)?;
        Some(step(What::Finalizer(index), &kind.metadata))
    });
    if found.other_leads {
        let count = finalizers.count();
        let stays = (count > 0).then(|| {
            format!("{} of WorkspaceKinds: the controller that leads keeps them", counted(count, "finalizer"))
        });
        plan.stays.extend(stays);
    } else {
        plan.steps.extend(finalizers);
    }
    routes(&mut plan, &found.routes, keep_routes);
    for lease in &found.leases {
        if is_written_by_us(&lease.metadata) {
            plan.steps.push(step(What::Lease, &lease.metadata));
        } else {
            plan.stays.push(format!("Lease {}: written by another controller", name(&lease.metadata)));
        }
    }
    for secret in &found.secrets {
        let of_certificate = secret.annotations().get(CERTIFICATE).is_some_and(|name| CERTIFICATES.contains(&&**name));
        if of_certificate || is_written_by_us(&secret.metadata) {
            plan.steps.push(step(What::Secret, &secret.metadata));
        }
    }
    // No other one, such as of extraObjects.
    let jobs = found.jobs.iter().filter(|job| job.name_any() == CHECK && is_of_chart(&job.metadata));
    plan.steps.extend(jobs.map(|job| step(What::Job, &job.metadata)));
    let counts = [(found.kinds.len(), "WorkspaceKind"), (found.workspaces, "Workspace")];
    let counts = counts.map(|(count, noun)| counted(count, noun));
    plan.stays.push(format!("{}, their pods and volumes, the CRDs, and the roles of users", counts.join(", ")));
    plan
}

fn configurations(plan: &mut Plan, configurations: &[ValidatingWebhookConfiguration]) {
    for configuration in configurations {
        let mut webhooks = configuration.webhooks.iter().flatten();
        let has_ours = webhooks.any(|webhook| REGISTRATIONS.iter().any(|ours| ours.name == webhook.name));
        if is_of_chart(&configuration.metadata) {
            plan.steps.push(step(What::Configuration, &configuration.metadata));
        } else if has_ours {
            let name = configuration.name_any();
            plan.stays.push(format!(
                "ValidatingWebhookConfiguration {name}: not made by this chart; if nothing serves it, every change of a Workspace is refused \
                 until it is deleted (kubectl delete validatingwebhookconfiguration {name})"
            ));
        }
    }
}

fn routes(plan: &mut Plan, routes: &[Incoming<Child>], keep: bool) {
    let ours = routes.iter().filter_map(|route| route.object.as_ref().ok());
    let ours = ours.filter(|route| route.is_ours() && route.made_for().is_some() && !route.identity.deleting);
    let steps: Vec<Step> = ours
        .map(|route| Step {
            what: What::Route,
            namespace: route.identity.key.namespace().to_owned(),
            name: route.identity.key.name().to_owned(),
            uid: route.identity.uid.to_string(),
        })
        .collect();
    if keep && !steps.is_empty() {
        plan.stays.push(format!("{} VirtualServices, as --keep-routes says", steps.len()));
    } else {
        plan.steps.extend(steps);
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn step(what: What, metadata: &ObjectMeta) -> Step {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    Step { what, namespace: text(&metadata.namespace), name: text(&metadata.name), uid: text(&metadata.uid) }
}

fn name(metadata: &ObjectMeta) -> String {
    [&metadata.namespace, &metadata.name].map(|part| part.as_deref().unwrap_or_default()).join("/")
}

/// Whether this chart made it.
fn is_of_chart(metadata: &ObjectMeta) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(CHART_LABEL));
    // Followed by its version: another chart's name may begin like this one's.
    let version = label.and_then(|chart| chart.strip_prefix(CHART));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether this program wrote it last.
pub(super) fn is_written_by_us(metadata: &ObjectMeta) -> bool {
    written_by(metadata) == Some(FIELD_MANAGER)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn of<T: serde::de::DeserializeOwned>(object: &Value) -> T {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn written(manager: &str, time: &str) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time})
    }

    fn found() -> Found {
        let metadata = |name: &str, more: Value| {
            let mut metadata = json!({"name": name, "namespace": "ns", "uid": format!("uid-{name}")});
            metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"metadata": metadata})
        };
        let chart = |version: &str| json!({"labels": {"helm.sh/chart": version}});
        let certificate = |name: &str| json!({"annotations": {"cert-manager.io/certificate-name": name}});
        let (earlier, later) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let by = |first: &str, last: &str| json!({"managedFields": [written(last, later), written(first, earlier)]});
        let cluster_wide = |name: &str, more: Value| {
            let mut object = metadata(name, more);
            object["metadata"].as_object_mut().unwrap().remove("namespace");
            object
        };
        let mut unlabelled = cluster_wide("by-hand", json!({}));
        unlabelled["webhooks"] = json!([{
            "name": "vworkspace.kb.io", "clientConfig": {}, "admissionReviewVersions": ["v1"], "sideEffects": "None",
        }]);
        Found {
            configurations: vec![
                of(&cluster_wide("policies", json!({}))),
                of(&unlabelled),
                of(&cluster_wide("ours", chart("workspaces-controller-0.1.0"))),
                of(&cluster_wide("other", chart("workspaces-2.0.0"))),
                of(&cluster_wide("longer", chart("workspaces-controller-routes-1.0.0"))),
            ],
            kinds: vec![
                of(&cluster_wide("free", json!({"finalizers": ["example.com/other"]}))),
                of(&cluster_wide("held", json!({"finalizers": ["example.com/other", KIND_FINALIZER]}))),
            ],
            routes: Vec::new(),
            leases: vec![
                of(&metadata("mine", by("manager", FIELD_MANAGER))),
                of(&metadata("theirs", by(FIELD_MANAGER, "manager"))),
            ],
            secrets: vec![
                of(&metadata("of-users", json!({}))),
                of(&metadata("of-others", certificate("web"))),
                of(&metadata("of-chart", certificate("workspaces-serving-cert"))),
                of(&metadata("of-us", by(FIELD_MANAGER, FIELD_MANAGER))),
            ],
            jobs: vec![
                of(&metadata(CHECK, chart("workspaces-controller-0.1.0"))),
                of(&metadata("backup", chart("workspaces-controller-0.1.0"))),
            ],
            workspaces: 3,
            other_leads: false,
        }
    }

    #[test]
    fn only_what_is_ours_goes_and_in_order() {
        let plan = plan(&found(), false);
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        let expected = [
            "delete ValidatingWebhookConfiguration ours",
            "remove the finalizer notebooks.kubeflow.org/workspacekind-protection of WorkspaceKind held",
            "delete Lease ns/mine",
            "delete Secret ns/of-chart",
            "delete Secret ns/of-us",
            "delete Job ns/workspaces-controller-check",
        ];
        assert_eq!(steps, expected);
        assert_eq!(plan.steps[1].what, What::Finalizer(1));
        assert!(plan.steps.iter().all(|step| step.uid == format!("uid-{}", step.name)));
        let stays = [
            "ValidatingWebhookConfiguration by-hand: not made by this chart; if nothing serves it, every change of a Workspace is refused \
             until it is deleted (kubectl delete validatingwebhookconfiguration by-hand)",
            "Lease ns/theirs: written by another controller",
            "2 WorkspaceKinds, 3 Workspaces, their pods and volumes, the CRDs, and the roles of users",
        ];
        assert_eq!(plan.stays, stays);
    }

    /// Of the Go controller they are just as well.
    #[test]
    fn finalizers_stay_where_another_program_leads() {
        let plan = plan(&Found { other_leads: true, ..found() }, false);
        assert!(!plan.steps.iter().any(|step| matches!(step.what, What::Finalizer(_))), "{plan:?}");
        assert!(plan.stays.contains(&"1 finalizer of WorkspaceKinds: the controller that leads keeps them".to_owned()));
    }
}
