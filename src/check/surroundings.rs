//! What users trip over although admission works. Pure.

use std::fmt::Write as _;

use crds::labels::FIELD_MANAGER;
use crds::ports::Dialect;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::ResourceExt;
use kube::core::DynamicObject;

use super::finding::Finding;
use super::roles::roles;
use super::unread::Unread;
use crate::api::controllers::{is_pod_of, is_running_controller};
use crate::election::{Holding, written_by};
use crate::stores::child::Child;
use crate::stores::slim::Incoming;
use crate::visible::{LONG, shown};

/// How many objects a message names.
const NAMED: usize = 3;
/// The value of the chart's label, before the version.
const CHART: &str = "workspaces-controller-";

/// What is there.
pub(super) struct Surroundings {
    /// Unless Istio is not used.
    pub istio: Option<Result<Istio, Unread>>,
    /// The roles of users, and those of Kubeflow.
    pub roles: Vec<(&'static str, Result<Option<ClusterRole>, Unread>)>,
    /// The Deployments that are part of Kubeflow's Workspaces.
    pub deployments: Result<Vec<Deployment>, Unread>,
    pub leader: Result<Leader, Unread>,
    pub kinds: Result<Vec<DynamicObject>, Unread>,
    pub workspaces: Result<Readiness, Unread>,
    /// Whether the settings have a leader elected, if they were given.
    pub elects: Option<bool>,
    /// The namespace of the installation.
    pub namespace: String,
}

/// What of Istio is served; nothing where its CRDs are not installed.
#[derive(Default)]
pub(super) struct Istio {
    /// The gateways of the settings, and whether each exists; none if Gateways are not served.
    pub gateways: Option<Vec<(String, Result<bool, Unread>)>>,
    /// The VirtualServices of Workspaces; none if they are not served.
    pub routes: Option<Result<Vec<Incoming<Child>>, Unread>>,
}

/// How many objects there are, and why the first ones of those that are not Ready are not.
#[derive(Default)]
pub(super) struct Readiness {
    count: usize,
    not_ready: usize,
    reasons: Vec<String>,
}

impl Readiness {
    pub fn add(&mut self, object: &DynamicObject) {
        self.count += 1;
        let Some(reason) = reason(object) else { return };
        self.not_ready += 1;
        if self.reasons.len() < NAMED {
            self.reasons.push(reason);
        }
    }
}

/// The Lease, and who holds it.
pub(super) struct Leader {
    pub lease: Option<Lease>,
    pub holding: Holding,
}

impl Leader {
    /// The program that wrote the Lease last.
    fn program(&self) -> Option<&str> {
        self.lease.as_ref().and_then(|lease| written_by(&lease.metadata))
    }
}

/// The findings, in the order in which they are printed.
pub(super) fn judge(seen: &Surroundings) -> Vec<Finding> {
    let mut findings = replicas(seen);
    findings.extend(leader(seen));
    findings.extend(others(seen));
    findings.extend(seen.istio.iter().flat_map(istio));
    findings.extend(roles(&seen.roles));
    findings.extend(dialects(seen));
    let mut of_kinds = Readiness::default();
    let kinds = seen.kinds.as_ref().map(|kinds| {
        for kind in kinds {
            of_kinds.add(kind);
        }
        &of_kinds
    });
    findings.extend(not_ready("kinds", "WorkspaceKinds", kinds));
    findings.extend(not_ready("Workspaces", "Workspaces", seen.workspaces.as_ref()));
    findings
}

/// Whether the pods of this installation are ready. A certificate that has expired is seen here first: connections that the API
/// server has open go on.
fn replicas(seen: &Surroundings) -> Vec<Finding> {
    const STEP: &str = "replicas";
    // That Deployments cannot be listed is said of other controllers.
    let deployments = seen.deployments.iter().flatten().filter(|deployment| {
        is_running_controller(deployment)
            && deployment.namespace().as_ref() == Some(&seen.namespace)
            && (is_of_chart(deployment) || has_our_image(deployment, seen))
    });
    let judged = deployments.map(|deployment| {
        let (namespace, name) = (&seen.namespace, deployment.name_any());
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
        let message = format!("{ready} of {wanted} of Deployment {namespace}/{name} are ready");
        let fix = format!(
            "kubectl -n {namespace} describe deployment {name}, and kubectl -n {namespace} logs POD of one that is not: the log says what it \
             waits for, as /readyz does"
        );
        match ready {
            0 => Finding::failed(STEP, message, fix),
            _ if ready < wanted => Finding::warning(STEP, message, fix),
            _ => Finding::ok(STEP, message),
        }
    });
    judged.collect()
}

fn leader(seen: &Surroundings) -> Vec<Finding> {
    const STEP: &str = "leader";
    let leader = match &seen.leader {
        Ok(leader) => leader,
        Err(unread) => return vec![unread.finding(STEP)],
    };
    let namespace = &seen.namespace;
    let is_other = leader.program().is_some_and(|program| program != FIELD_MANAGER);
    vec![match (&leader.holding, &leader.lease) {
        (Holding::Held { lease, holder } | Holding::Unknown { lease, holder, .. }, _) if is_other => Finding::failed(
            STEP,
            format!(
                "another controller leads, and this one waits: the Lease {lease} is held by {holder}, and was written by the program {:?}",
                leader.program().unwrap_or_default()
            ),
            "stop it (scale its Deployment to 0), see docs/moving.md; the next leader follows by itself",
        ),
        (Holding::Held { lease, holder } | Holding::Unknown { lease, holder, .. }, _) => {
            Finding::ok(STEP, format!("{holder} renews the Lease {lease}"))
        }
        (Holding::Nobody, None) if seen.elects != Some(true) => Finding::ok(
            STEP,
            format!("there is no Lease in namespace {namespace}: none is elected (--leader-elect=false)"),
        ),
        (Holding::Nobody, Some(_)) if seen.elects == Some(false) => Finding::ok(
            STEP,
            format!("nobody renews the Lease in namespace {namespace}, and none is elected (--leader-elect=false)"),
        ),
        (Holding::Nobody, lease) => {
            let what = match lease {
                None => format!("there is no Lease in namespace {namespace}"),
                Some(lease) => match lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) {
                    None | Some("") => format!("nobody holds the Lease in namespace {namespace}"),
                    Some(holder) => {
                        format!("{holder}, which the Lease in namespace {namespace} names, does not renew it")
                    }
                },
            };
            Finding::failed(
                STEP,
                format!("no replica leads, so nothing is reconciled: {what}"),
                format!(
                    "kubectl -n {namespace} get pods: is one Running? Then kubectl -n {namespace} logs deployment/workspaces-controller says \
                     what keeps it from being elected"
                ),
            )
        }
    }]
}

/// Other controllers of the same objects.
fn others(seen: &Surroundings) -> Vec<Finding> {
    const STEP: &str = "other controllers";
    let mut findings = Vec::new();
    match &seen.deployments {
        Err(unread) => findings.push(unread.finding(STEP)),
        Ok(deployments) => {
            let running = deployments.iter().filter(|deployment| is_other_controller(deployment, seen));
            findings.extend(running.map(|deployment| {
                let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
                Finding::warning(
                    STEP,
                    format!("Deployment {namespace}/{name} was not made by this chart: if it is the Go controller, both reconcile the same objects"),
                    format!("kubectl -n {namespace} scale deployment {name} --replicas=0, see docs/moving.md"),
                )
            }));
        }
    }
    let routes = seen.istio.iter().flatten().filter_map(|istio| istio.routes.as_ref());
    for routes in routes {
        match routes {
            Err(unread) => findings.push(unread.finding(STEP)),
            Ok(routes) => {
                let theirs = routes
                    .iter()
                    .filter_map(|route| route.object.as_ref().ok())
                    .filter(|route| route.is_of_peer_only());
                let names: Vec<String> = theirs.map(|route| route.identity.key.to_string()).collect();
                if !names.is_empty() {
                    findings.push(Finding::warning(
                        STEP,
                        format!("{} written by the Go controller and by nobody else: {}", counted(names.len(), "VirtualService", "is", "are"), listed(&names)),
                        "if it still runs, stop it or set its USE_ISTIO to false; with --leader-elect only one of the two reconciles",
                    ));
                }
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(STEP, "none is known"));
    }
    findings
}

/// Whether it is another controller of Workspaces, and wants pods.
fn is_other_controller(deployment: &Deployment, seen: &Surroundings) -> bool {
    is_running_controller(deployment) && !is_of_chart(deployment) && !has_our_image(deployment, seen)
}

fn is_of_chart(deployment: &Deployment) -> bool {
    deployment.labels().get("helm.sh/chart").is_some_and(|chart| chart.starts_with(CHART))
}

/// Whether its pod holds the Lease as this program: manifests of the Go controller with this image.
fn has_our_image(deployment: &Deployment, seen: &Surroundings) -> bool {
    let Ok(leader) = &seen.leader else { return false };
    let (Holding::Held { holder, .. } | Holding::Unknown { holder, .. }) = &leader.holding else { return false };
    is_pod_of(deployment, &seen.namespace, holder) && leader.program() == Some(FIELD_MANAGER)
}

fn istio(istio: &Result<Istio, Unread>) -> Vec<Finding> {
    const STEP: &str = "Istio";
    let istio = match istio {
        Ok(istio) => istio,
        Err(unread) => return vec![unread.finding(STEP)],
    };
    if istio.routes.is_none() {
        return vec![Finding::warning(
            STEP,
            "the API server serves no VirtualServices: Workspaces run, but have no route from outside",
            "install Istio with its CRDs; routes follow without a restart. Or, to do without: --use-istio=false (settings.useIstio)",
        )];
    }
    let Some(gateways) = &istio.gateways else {
        return vec![Finding::warning(
            STEP,
            "the API server serves no Gateways, so no route leads anywhere",
            "install all of Istio's CRDs",
        )];
    };
    let mut findings = Vec::new();
    for (name, found) in gateways {
        match found {
            Err(unread) => findings.push(unread.finding(STEP)),
            Ok(true) => findings.push(Finding::ok(STEP, format!("Gateway {name} exists"))),
            Ok(false) => findings.push(Finding::warning(
                STEP,
                format!("there is no Gateway {name}, so the routes of Workspaces lead nowhere"),
                "create it, or name one that exists: --istio-gateway (settings.istioGateway); kubectl get gateways.networking.istio.io -A",
            )),
        }
    }
    findings
}

/// Kinds that the stock backend and UI of Kubeflow do not understand, where these are installed.
fn dialects(seen: &Surroundings) -> Option<Finding> {
    let (Ok(deployments), Ok(kinds)) = (&seen.deployments, &seen.kinds) else { return None };
    let stock = deployments
        .iter()
        .find(|deployment| ["workspaces-backend", "workspaces-frontend"].contains(&&*deployment.name_any()))?;
    let is_port_id = |kind: &&DynamicObject| {
        let ports = kind.data["spec"]["podTemplate"]["ports"].as_array();
        !ports.is_some_and(|ports| ports.iter().any(|port| !port[Dialect::Id.as_str()].is_null()))
    };
    let names: Vec<String> = kinds.iter().filter(is_port_id).map(ResourceExt::name_any).collect();
    (!names.is_empty()).then(|| {
        Finding::warning(
            "dialects",
            format!(
                "{} of dialect portId, which Deployment {}/{} of Kubeflow does not know, so that its list of kinds fails: {}",
                counted(names.len(), "WorkspaceKind", "is", "are"),
                stock.namespace().unwrap_or_default(),
                stock.name_any(),
                listed(&names)
            ),
            "name the ports of these kinds with id, and set --port-dialects=id (settings.portDialects)",
        )
    })
}

/// Objects whose condition Ready is not True, with the first reasons.
fn not_ready(step: &'static str, plural: &str, objects: Result<&Readiness, &Unread>) -> Option<Finding> {
    let Readiness { count, not_ready, reasons } = match objects {
        Ok(objects) => objects,
        // That they are not served has been reported.
        Err(unread) if unread.is_unserved => return None,
        Err(unread) => return Some(unread.finding(step)),
    };
    if *not_ready == 0 {
        return Some(Finding::ok(step, format!("{count} {plural}, each Ready")));
    }
    let names = and_more(reasons, *not_ready, "; ");
    Some(Finding::warning(
        step,
        format!("{not_ready} of {count} {plural} are not Ready: {names}"),
        format!("kubectl describe says more, and docs/troubleshooting.md; kubectl get {} -A", plural.to_lowercase()),
    ))
}

/// The name of the object, with the reason for which it is not Ready.
fn reason(object: &DynamicObject) -> Option<String> {
    let conditions = object.data["status"]["conditions"].as_array();
    let ready = conditions.and_then(|conditions| conditions.iter().find(|condition| condition["type"] == "Ready"));
    let why = match ready {
        Some(ready) if ready["status"] == "True" => return None,
        Some(ready) => {
            let mut why = ready["reason"].as_str().unwrap_or("Unknown").to_owned();
            let message = ready["message"].as_str().and_then(|message| message.lines().next()).unwrap_or_default();
            if !message.is_empty() {
                let _ = write!(why, " ({message})");
            }
            // It quotes Events, which users can write, and this goes to a terminal.
            shown(&why, LONG)
        }
        None => "no condition yet".to_owned(),
    };
    let name = match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    };
    Some(format!("{name}: {why}"))
}

/// `1 VirtualService is`, `2 VirtualServices are`.
fn counted(count: usize, noun: &str, is: &str, are: &str) -> String {
    if count == 1 { format!("1 {noun} {is}") } else { format!("{count} {noun}s {are}") }
}

fn listed(names: &[String]) -> String {
    and_more(names, names.len(), ", ")
}

/// The first of these, and how many more of `count` there are.
fn and_more(names: &[String], count: usize, between: &str) -> String {
    let shown = &names[..names.len().min(NAMED)];
    let first = shown.join(between);
    match count - shown.len() {
        0 => first,
        more => format!("{first}{between}and {more} more"),
    }
}
