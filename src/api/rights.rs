//! Rights that only some questions need: which of them are missing is reported at start, once, with the rule to add.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::Resource as _;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
};
use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event as ReportedEvent;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PostParams;
use kube::{Api, Client};
use webhook::{BindCheck, Policy};

use crate::client::{causes, is_transient};
use crate::config::Settings;
use crate::rbac::AccessRule;

/// The pause after which an API server that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(3);

/// To ask whether a user may bind a ClusterRole.
pub(super) const REVIEW_ACCESS: AccessRule = rule::<SubjectAccessReview>(&["create"]);
/// To ask whose a bearer token is.
pub(super) const REVIEW_TOKENS: AccessRule = rule::<TokenReview>(&["create"]);
/// What does not work without one of these, where tokens are demanded.
const WITHOUT_REVIEWS: &str = "nobody can read what is for bearer tokens alone: /metrics, the status page";
/// To read the labels of a namespace.
pub(super) const READ_NAMESPACES: AccessRule = rule::<Namespace>(&["get"]);
/// To read the labels of PersistentVolumeClaims.
pub(super) const READ_CLAIMS: AccessRule = rule::<PersistentVolumeClaim>(&["get"]);
/// To read the labels of Secrets.
pub(super) const READ_SECRETS: AccessRule = rule::<Secret>(&["get"]);

const fn rule<K: k8s_openapi::Resource>(verbs: &'static [&'static str]) -> AccessRule {
    AccessRule { group: K::GROUP, resource: K::URL_PATH_SEGMENT, verbs }
}

/// To stop and start pods by their replicas alone.
const SCALE: AccessRule = AccessRule { group: StatefulSet::GROUP, resource: "statefulsets/scale", verbs: &["patch"] };

/// To report how a kind is used.
const KIND_STATUS: AccessRule = AccessRule { group: crds::GROUP, resource: "workspacekinds/status", verbs: &["patch"] };

/// To replace a pod.
const DELETE_PODS: AccessRule = rule::<Pod>(&["delete"]);
/// To pause what is idle.
const PAUSE: AccessRule = AccessRule { group: crds::GROUP, resource: "workspaces", verbs: &["patch"] };
/// To run the scripts of activity probes.
const EXEC: AccessRule = AccessRule { group: Pod::GROUP, resource: "pods/exec", verbs: &["get", "create"] };
/// To say what a pending restart would change.
const READ_REVISIONS: AccessRule = rule::<ControllerRevision>(&["get"]);

/// To grant ClusterRoles of which the controller itself does not hold all permissions.
const BIND: AccessRule = rule::<ClusterRole>(&["bind"]);

/// To delete accounts that no pod runs as any longer.
const DELETE_ACCOUNTS: AccessRule = rule::<ServiceAccount>(&["delete"]);

/// To put the finalizer on kinds that are used, and to remove it.
const KIND_FINALIZERS: AccessRule = AccessRule { group: crds::GROUP, resource: "workspacekinds", verbs: &["patch"] };
/// To delete what there are two of after a take-over.
const DELETE_SETS: AccessRule = rule::<StatefulSet>(&["delete"]);
const DELETE_SERVICES: AccessRule = rule::<Service>(&["delete"]);

/// To quote what Events say about a pod that does not start.
const LIST_EVENTS: AccessRule = rule::<Event>(&["list"]);
/// To report what was done to a Workspace.
const CREATE_EVENTS: AccessRule = rule::<ReportedEvent>(&["create"]);

/// The rights that only some cases need, under these settings, and what is not done without each.
fn needed(settings: &Settings) -> Vec<(AccessRule, &'static str)> {
    let mut needed = Vec::new();
    if settings.enable_reconcile && settings.mode.duties().workspaces {
        if settings.mode.duties().kinds {
            needed.push((
                KIND_FINALIZERS,
                "WorkspaceKinds in use are protected by admission alone, and a finalizer on them stays",
            ));
            needed.push((KIND_STATUS, "the status of WorkspaceKinds is not reported"));
        }
        needed.push((LIST_EVENTS, "statuses do not quote the Events that say why a pod does not start"));
        needed.push((CREATE_EVENTS, "no Events report restarts and what is wrong with Workspaces and their kinds"));
        needed.push((SCALE, "a Workspace whose changed StatefulSet is refused cannot be stopped"));
        needed.push((DELETE_PODS, "the pod of a Workspace that its user edits is not restarted"));
        needed.push((READ_REVISIONS, "what a pending restart would change is not named"));
        needed.push((EXEC, "activity probes by podExec, and by culling with exec, fail"));
        if !settings.dry_run_pausing {
            needed.push((PAUSE, "idle Workspaces are not paused"));
        }
        needed.push((
            BIND,
            "of the ClusterRoles of WorkspaceKinds only those are granted whose permissions the controller holds",
        ));
        needed.push((DELETE_SETS, "of two StatefulSets of one Workspace none is deleted"));
        needed.push((DELETE_SERVICES, "of two Services of one Workspace none is deleted"));
        needed.push((DELETE_ACCOUNTS, "the ServiceAccount of a Workspace whose kind has moved to another one stays"));
    }
    if settings.reviews_tokens() {
        needed.push((REVIEW_TOKENS, WITHOUT_REVIEWS));
        needed.push((REVIEW_ACCESS, WITHOUT_REVIEWS));
    }
    if settings.enable_webhooks {
        needed.extend(needed_by_admission(&settings.policy));
    }
    needed
}

fn needed_by_admission(policy: &Policy) -> Vec<(AccessRule, &'static str)> {
    let mut needed = Vec::new();
    match policy.cluster_role_bind {
        BindCheck::Enforce => {
            needed.push((REVIEW_ACCESS, "WorkspaceKinds to which ClusterRoles are added are refused"));
        }
        BindCheck::Warn => needed.push((REVIEW_ACCESS, "who adds ClusterRoles to a WorkspaceKind is always warned")),
        BindCheck::Off => {}
    }
    if policy.enforce_filter_rules {
        needed.push((READ_NAMESPACES, "Workspaces of kinds whose filterRules select namespaces are refused"));
    }
    if policy.enforce_can_mount {
        needed.push((READ_CLAIMS, "Workspaces that mount PersistentVolumeClaims are refused"));
        needed.push((READ_SECRETS, "Workspaces that mount Secrets are refused"));
    }
    needed
}

/// Reports each right that is needed in some case and missing. Never returns.
pub async fn report_missing(client: Client, settings: Arc<Settings>) {
    for (rule, without) in needed(&settings) {
        for verb in rule.verbs {
            match is_allowed(&client, rule, verb).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!("{}", rule.missing(without)),
                Err(error) => {
                    tracing::debug!(
                        error,
                        resource = rule.resource,
                        verb,
                        "it is not known whether this right is missing"
                    );
                }
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Whether we may do that with any object; the error is the API server's refusal to say.
async fn is_allowed(client: &Client, rule: AccessRule, verb: &str) -> Result<bool, String> {
    let (resource, subresource) = match rule.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (rule.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(rule.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    loop {
        match reviews.create(&PostParams::default(), &review).await {
            Ok(answer) => return Ok(answer.status.is_some_and(|status| status.allowed)),
            Err(kube::Error::Api(status)) if !is_transient(&status) => return Err(status.message.clone()),
            Err(error) => {
                tracing::debug!(error = causes(&error), "the rights of the controller cannot be read; will retry");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Invocation};

    #[test]
    fn only_what_the_policy_asks_about_is_needed() {
        let needed =
            |policy: &Policy| needed_by_admission(policy).iter().map(|(rule, _)| rule.to_string()).collect::<Vec<_>>();
        let off = Policy { cluster_role_bind: BindCheck::Off, ..Policy::default() };
        assert!(needed(&off).is_empty());
        let reviews =
            r#"{apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"]}"#;
        assert_eq!(needed(&Policy::default()), [reviews]);
        let all = Policy { enforce_filter_rules: true, enforce_can_mount: true, ..Policy::default() };
        let core = |resource: &str| format!(r#"{{apiGroups: [""], resources: ["{resource}"], verbs: ["get"]}}"#);
        let expected = [reviews.to_owned(), core("namespaces"), core("persistentvolumeclaims"), core("secrets")];
        assert_eq!(needed(&all), expected);
    }

    #[test]
    fn tokens_are_reviewed_only_where_they_are_demanded() {
        let needed = |arguments: &[&str]| -> Vec<String> {
            let line = ["workspaces-controller"].iter().chain(arguments).map(Into::into);
            let off = [("ENABLE_WEBHOOKS", "false")];
            let Ok(Invocation::Run(settings)) = cli::parse(line, &off.into_iter().collect()) else { return Vec::new() };
            let needed = super::needed(&settings).into_iter().filter(|(rule, _)| rule.resource.ends_with("reviews"));
            needed.map(|(rule, without)| rule.missing(without)).collect()
        };
        assert!(needed(&[]).is_empty());
        let expected = ["authentication.k8s.io\"], resources: [\"tokenreviews", "authorization.k8s.io\"], resources: [\"subjectaccessreviews"].map(|of| {
            format!(
                "a right is missing: nobody can read what is for bearer tokens alone: /metrics, the status page; to change that, \
                 add to the rules of the ClusterRole: {{apiGroups: [\"{of}\"], verbs: [\"create\"]}}"
            )
        });
        assert_eq!(needed(&["--status-bind-address=:8082", "--webhook-cert-dir=/certs"]), expected);
        assert_eq!(needed(&["--metrics-secure", "--metrics-require-authentication"]), expected);
    }
}
