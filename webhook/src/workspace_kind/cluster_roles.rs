//! A user who adds a ClusterRole to a kind grants it to everyone who may start a Workspace, so they need the permission
//! to.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use crds::workspace_kind::PodTemplate;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authentication::v1::UserInfo;
use tokio::time::timeout;

use crate::field::{Fault, Findings, key, quoted};
use crate::lookup::{AT_ONCE, Lookup, LookupError};
use crate::policy::BindCheck;
use crate::rule::Rule;

/// The timeout of lookups that only lead to warnings; they are made concurrently.
const ADVICE_LIMIT: Duration = Duration::from_secs(1);

fn timed_out() -> LookupError {
    LookupError::Unavailable("the API server did not answer in time".to_owned())
}

/// The ClusterRoles of the new object that the stored one does not have, in order.
pub(super) fn added(template: &PodTemplate, before: Option<&BTreeSet<Cow<'_, str>>>) -> Vec<String> {
    let roles = template.service_account.iter().flat_map(|account| &account.cluster_roles);
    let is_new = |name: &str| before.is_none_or(|before| !before.contains(name));
    roles.filter(|role| is_new(&role.name)).map(|role| role.name.clone()).collect()
}

/// Validates that `user` may bind each role.
pub(super) async fn validate<L: Lookup>(
    user: &UserInfo,
    roles: Vec<String>,
    check: BindCheck,
    lookup: &L,
) -> Result<Findings, LookupError> {
    let ask = |role: String| async move {
        let answer = match check {
            BindCheck::Enforce => lookup.may_bind(user, &role).await,
            // A warning must not delay the verdict.
            _ => timeout(ADVICE_LIMIT, lookup.may_bind(user, &role)).await.unwrap_or_else(|_| Err(timed_out())),
        };
        match answer {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(refusal(user, &role))),
            Err(error) if check == BindCheck::Enforce => Err(unanswered(&role, error)),
            Err(error) => Ok(Some(warned(&role, &unanswered(&role, error).to_string()))),
        }
    };
    let at_once = if check == BindCheck::Enforce { AT_ONCE } else { roles.len().max(1) };
    let answers: Vec<Option<Fault>> = stream::iter(roles.into_iter().map(ask)).buffered(at_once).try_collect().await?;
    let mut findings = Findings { faults: answers.into_iter().flatten().collect(), ..Findings::default() };
    if check == BindCheck::Warn {
        for fault in std::mem::take(&mut findings.faults) {
            // The hint would make the warning too long.
            findings.warn(fault.rule, &*fault.field, format!("{}: {}", fault.field, fault.detail));
        }
    }
    Ok(findings)
}

fn field(role: &str) -> String {
    key("spec.podTemplate.serviceAccount.clusterRoles", role)
}

fn refusal(user: &UserInfo, role: &str) -> Fault {
    let account = quoted(user.username.as_deref().unwrap_or_default());
    let detail = format!("user {account} is not allowed to grant this ClusterRole");
    let hint = format!(
        ": requires the verb \"bind\" on clusterroles in rbac.authorization.k8s.io, resource name {}",
        quoted(role)
    );
    Fault::forbidden(Rule::ClusterRoleBind, field(role), detail).about(role).with_hint(hint)
}

fn warned(role: &str, why: &str) -> Fault {
    Fault::forbidden(Rule::ClusterRoleBind, field(role), why)
}

fn unanswered(role: &str, error: LookupError) -> LookupError {
    let describe = |why: String| {
        format!("whether the caller may bind ClusterRole {} could not be determined: {why}", quoted(role))
    };
    match error {
        LookupError::Unavailable(why) => LookupError::Unavailable(describe(why)),
        LookupError::Failed(why) => LookupError::Failed(describe(why)),
    }
}
