//! May this WorkspaceKind be stored, or deleted?
//!
//! The rules stand in one file a block of fields. Each adds to the findings in the order of the fields.

use crds::WorkspaceKindSpec;
use crds::workspace_kind::PodTemplate;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::field::{Fault, Findings, Warning, introduced};
use crate::lookup::Lookup;
use crate::metadata::judge_pod_metadata;
use crate::request::{Request, decode};
use crate::review::{Refusal, Verdict};
use crate::rule::Rule;
use crate::{BindCheck, Policy};
use stored::StoredTemplate;

mod activity;
mod cluster_roles;
mod filters;
mod in_use;
mod options;
mod ports;
mod redirects;
mod stored;
mod templates;
mod volumes;

pub(crate) use stored::Blocks;

/// Tells whether there is time left to judge.
type InTime<'a> = &'a dyn Fn() -> bool;

/// All that is to be said about a kind, whether new or not.
pub fn judge(spec: &WorkspaceKindSpec, policy: &Policy) -> Findings {
    judge_in_time(spec, policy, &|| true)
}

fn judge_in_time(spec: &WorkspaceKindSpec, policy: &Policy, in_time: InTime<'_>) -> Findings {
    let mut findings = Findings::default();
    let template = &spec.pod_template;
    if let Some(metadata) = &template.pod_metadata {
        judge_pod_metadata(Rule::KindPodMetadata, metadata, &mut findings);
    }
    templates::judge(template, policy, in_time, &mut findings);
    ports::judge(template, policy, &mut findings);
    options::judge(template, &mut findings);
    redirects::judge(template, &mut findings);
    activity::judge(spec, &mut findings);
    filters::judge(&spec.filter_rules, &mut findings);
    volumes::judge(template, &mut findings);
    findings.sort();
    findings
}

/// Accepts a request to create or update a kind that plainly can be; the warnings that go with it.
///
/// What an update is held against is compared as text: the API server writes both objects in the same way.
pub(crate) fn accept(
    request: &Request<'_, &RawValue, Blocks<'_>>,
    policy: &Policy,
    deadline: Instant,
) -> Option<Vec<Warning>> {
    let text = request.object.as_ref()?.spec?.get();
    let old = request.old_object.as_ref().map(|old| old.spec.as_ref());
    match (&*request.operation, old) {
        ("CREATE", None) => {}
        ("UPDATE", Some(old)) => serde_json::from_str::<Blocks<'_>>(text).ok()?.same(old?).then_some(())?,
        _ => return None,
    }
    let spec: WorkspaceKindSpec = serde_json::from_str(text).ok()?;
    if old.is_none() && !new_cluster_roles(None, &spec.pod_template, policy).is_empty() {
        return None;
    }
    let findings = judge_in_time(&spec, policy, &|| Instant::now() < deadline);
    findings.faults.is_empty().then_some(findings.warnings)
}

/// Judges a request to create or update a kind.
pub(crate) async fn decide<L: Lookup>(
    request: &Request<'_>,
    lookup: &L,
    policy: &Policy,
    deadline: Instant,
) -> Result<Verdict, Refusal> {
    let in_time = || Instant::now() < deadline;
    let invalid = |faults| Refusal::Invalid { kind: "WorkspaceKind", name: request.name().to_owned(), faults };
    let spec: WorkspaceKindSpec = decode(request.spec()).map_err(|fault| invalid(vec![*fault]))?;
    let mut findings = judge_in_time(&spec, policy, &in_time);
    // Faults of a kind that could not be judged to its end excuse nothing, nor are they all there.
    let unfinished = findings.faults.iter().any(|fault| fault.rule == Rule::TemplateTime);
    // The stored object may not decode; then it has no faults to excuse.
    if !findings.faults.is_empty()
        && !unfinished
        && let Ok(old) = decode::<WorkspaceKindSpec>(request.old_spec())
    {
        findings.faults = introduced(findings.faults, &judge_in_time(&old, policy, &in_time).faults);
    }
    let old = StoredTemplate::of(request.old_spec());
    findings.add(changes(request, old.as_ref(), &spec.pod_template, lookup, policy).await?);
    findings.sort();
    let Findings { faults, warnings } = findings;
    Ok(Verdict { refusal: (!faults.is_empty()).then(|| invalid(faults)), warnings })
}

/// What is to be said about the way from the stored kind to the new one.
async fn changes<L: Lookup>(
    request: &Request<'_>,
    old: Option<&StoredTemplate>,
    new: &PodTemplate,
    lookup: &L,
    policy: &Policy,
) -> Result<Findings, Refusal> {
    let mut findings = Findings::default();
    if let Some(old) = old {
        if old.dialect() != new.dialect() {
            let users = lookup.users_live(request.name()).await?;
            findings.faults.extend(ports::dialect_change(old.dialect(), new.dialect(), &users));
        }
        let touched = in_use::touched(old, new);
        findings.add(in_use::judge(request.name(), touched, lookup).await?);
    }
    let roles = new_cluster_roles(old, new, policy);
    if !roles.is_empty() {
        findings.add(cluster_roles::judge(&request.user(), roles, policy.cluster_role_bind, lookup).await?);
    }
    Ok(findings)
}

/// The ClusterRoles that the caller needs the right to bind.
fn new_cluster_roles(old: Option<&StoredTemplate>, new: &PodTemplate, policy: &Policy) -> Vec<String> {
    if policy.cluster_role_bind == BindCheck::Off {
        return Vec::new();
    }
    cluster_roles::added(new, &old.map(StoredTemplate::cluster_roles).unwrap_or_default())
}

/// Judges a request to delete a kind. The users are counted on the API server: neither the cache nor the status of the
/// kind knows of a Workspace that was created a moment ago.
pub(crate) async fn decide_delete<L: Lookup>(request: &Request<'_>, lookup: &L) -> Result<Verdict, Refusal> {
    let name = request.name();
    if name.is_empty() {
        return Err(Refusal::BadRequest("the name of the WorkspaceKind to delete is missing".to_owned()));
    }
    let users = lookup.users_live(name).await?;
    if users.count == 0 {
        return Ok(Verdict::default());
    }
    let detail = format!("WorkspaceKind is used by {users}");
    let fault = Box::new(Fault::forbidden(Rule::KindInUse, "", detail));
    Err(Refusal::Conflict { kind: "WorkspaceKind", name: name.to_owned(), fault })
}
