//! Whether the roles of users grant what they should. Pure.

use k8s_openapi::api::rbac::v1::ClusterRole;

use super::finding::Finding;
use super::unread::{KUBEFLOW_ROLES, USERS_ROLES, Unread};

/// What each of the roles of users, and of Kubeflow's, has to grant.
pub(super) fn roles(roles: &[(&'static str, Result<Option<ClusterRole>, Unread>)]) -> Vec<Finding> {
    const STEP: &str = "users' roles";
    const GRANTS: [(&str, &str); 3] = [("workspacekinds", "create"), ("workspaces", "create"), ("workspaces", "get")];
    let mut findings = Vec::new();
    for (index, (ours, kubeflow)) in USERS_ROLES.into_iter().zip(KUBEFLOW_ROLES).enumerate() {
        let (resource, verb) = GRANTS[index];
        for name in [ours, kubeflow] {
            let Some((_, role)) = roles.iter().find(|(given, _)| *given == name) else { continue };
            match role {
                Err(unread) => findings.push(unread.finding(STEP)),
                Ok(None) if name == ours => findings.push(Finding::warning(
                    STEP,
                    format!("there is no ClusterRole {name}: whoever has their rights by it may not {verb} {resource}"),
                    "helm upgrade --set userRoles.enabled=true, or bind users to roles of your own",
                )),
                Ok(Some(role)) if !grants(role, resource, verb) => findings.push(Finding::warning(
                    STEP,
                    format!("ClusterRole {name} does not grant {verb} on {resource}.{}", crds::GROUP),
                    if name == ours {
                        "helm upgrade: the chart has what it aggregates".to_owned()
                    } else {
                        format!("helm upgrade --set userRoles.aggregateToKubeflow=true labels {ours} so that {kubeflow} contains it")
                    },
                )),
                Ok(_) => {}
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(STEP, format!("{} grant what they should", USERS_ROLES.join(", "))));
    }
    findings
}

fn grants(role: &ClusterRole, resource: &str, verb: &str) -> bool {
    let has =
        |list: Option<&Vec<String>>, wanted: &str| list.into_iter().flatten().any(|item| item == wanted || item == "*");
    role.rules.iter().flatten().any(|rule| {
        has(rule.api_groups.as_ref(), crds::GROUP)
            && has(rule.resources.as_ref(), resource)
            && has(Some(&rule.verbs), verb)
    })
}
