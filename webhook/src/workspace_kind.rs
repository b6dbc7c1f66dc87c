//! May this WorkspaceKind be stored, or deleted?
//!
//! Each block of fields has a file with its rules, whose `validate` adds to the findings in the order of the fields.

use std::borrow::Cow;

use crds::WorkspaceKindSpec;
use tokio::time::Instant;

use crate::field::{Fault, Findings, introduced};
use crate::lookup::Lookup;
use crate::metadata::{validate_pod_metadata, validate_stateful_set_metadata};
use crate::policy::{BindCheck, Policy};
use crate::request::{Request, decode, missing};
use crate::review::{Refusal, Verdict};
use crate::rule::Rule;
use stored::StoredTemplate;
use templates::TemplateCheck;

mod activity;
mod cluster_roles;
mod filters;
mod headers;
mod in_use;
mod map_keys;
mod options;
mod pod;
mod ports;
mod redirects;
mod spawner;
mod stored;
mod templates;
mod volumes;

/// Every fault and warning of a spec, whether an update introduces it or not.
pub fn validate(spec: &WorkspaceKindSpec, policy: &Policy) -> Findings {
    validate_in_time(spec, policy, &|| true)
}

/// The same while there is time: where there is not, a fault says that templates take too long, and others may be missing.
pub fn validate_in_time(spec: &WorkspaceKindSpec, policy: &Policy, in_time: &dyn Fn() -> bool) -> Findings {
    let mut findings = Findings::default();
    let template = &spec.pod_template;
    if let Some(metadata) = &template.pod_metadata {
        validate_pod_metadata(Rule::KindPodMetadata, metadata, &mut findings);
    }
    if let Some(metadata) = &template.stateful_set_metadata {
        validate_stateful_set_metadata(metadata, &mut findings);
    }
    let check = TemplateCheck::new(template, policy, in_time);
    if templates::validate(template, &check, &mut findings) {
        headers::validate(template, &check, &mut findings);
    }
    ports::validate(template, policy, &mut findings);
    options::validate(template, &mut findings);
    redirects::validate(template, &mut findings);
    activity::validate(spec, &mut findings);
    filters::validate(&spec.filter_rules, &mut findings);
    volumes::validate(template, &mut findings);
    map_keys::validate(template, &mut findings);
    pod::validate(template, &mut findings);
    spawner::validate(spec, &mut findings);
    findings.sort();
    findings
}

/// The change that a request makes, to the stored kind if there is one.
#[derive(Debug)]
pub(crate) struct SpecChange<'a> {
    new: Cow<'a, Box<WorkspaceKindSpec>>,
    /// The stored spec; `None` where it does not decode, and there are no faults to compare with.
    old: Option<Cow<'a, Box<WorkspaceKindSpec>>>,
    /// The parts of the stored spec that rules about updates need, whether all of it decodes or not.
    stored: Option<StoredTemplate<'a>>,
}

impl<'a> SpecChange<'a> {
    /// The change of a request whose objects decode.
    pub fn of(request: &'a Request<'_, Box<WorkspaceKindSpec>>) -> Result<Self, Refusal> {
        let new = request.spec().ok_or_else(|| refusal(request, vec![*missing()]))?;
        let old = request.old_spec();
        let stored = old.map(|old| StoredTemplate::from(&old.pod_template));
        Ok(Self { new: Cow::Borrowed(new), old: old.map(Cow::Borrowed), stored })
    }

    /// The change of a request whose objects may not decode completely.
    pub fn of_parts(request: &Request<'_>) -> Result<Self, Refusal> {
        let new = decode(request.spec()).map_err(|fault| refusal(request, vec![*fault]))?;
        let old = request.old_spec();
        Ok(Self { new: Cow::Owned(new), old: decode(old).ok().map(Cow::Owned), stored: StoredTemplate::of_parts(old) })
    }
}

/// Validates a request to create or update a kind.
pub(crate) async fn decide<L: Lookup, Spec>(
    request: &Request<'_, Spec>,
    change: &SpecChange<'_>,
    lookup: &L,
    policy: &Policy,
    deadline: Instant,
) -> Result<Verdict, Refusal> {
    let in_time = || Instant::now() < deadline;
    let mut findings = validate_in_time(&change.new, policy, &in_time);
    // Where time ran out, the list of faults is not complete: it neither excuses faults nor is it compared.
    let unfinished = findings.faults.iter().any(|fault| fault.rule == Rule::TemplateTime);
    if !findings.faults.is_empty()
        && !unfinished
        && let Some(old) = &change.old
    {
        findings.faults = introduced(findings.faults, &validate_in_time(old, policy, &in_time).faults);
    }
    findings.add(changes(request, change, lookup, policy).await?);
    findings.sort();
    let Findings { faults, warnings } = findings;
    Ok(Verdict { refusal: (!faults.is_empty()).then(|| refusal(request, faults)), warnings })
}

fn refusal<Spec>(request: &Request<'_, Spec>, faults: Vec<Fault>) -> Refusal {
    Refusal::Invalid { kind: "WorkspaceKind", name: request.name().to_owned(), faults }
}

/// The findings about the difference between the stored kind and the new one.
async fn changes<L: Lookup, Spec>(
    request: &Request<'_, Spec>,
    change: &SpecChange<'_>,
    lookup: &L,
    policy: &Policy,
) -> Result<Findings, Refusal> {
    let mut findings = Findings::default();
    let (old, new) = (change.stored.as_ref(), &change.new.pod_template);
    if let Some(old) = old {
        if old.dialect != new.dialect() {
            let usage = lookup.workspaces_using_kind_live(request.name()).await?;
            findings.faults.extend(ports::dialect_change(old.dialect, new.dialect(), &usage));
        }
        let touched = in_use::touched(old, new);
        findings.add(in_use::validate(request.name(), touched, lookup).await?);
    }
    let roles = match policy.cluster_role_bind {
        BindCheck::Off => Vec::new(),
        BindCheck::Warn | BindCheck::Enforce => cluster_roles::added(new, old.map(|old| &old.cluster_roles)),
    };
    if !roles.is_empty() {
        findings.add(cluster_roles::validate(&request.user(), roles, policy.cluster_role_bind, lookup).await?);
    }
    Ok(findings)
}

/// Validates a request to delete a kind. The Workspaces that use it are counted on the API server: neither the cache
/// nor the status of the kind knows of a Workspace that was created a moment ago.
pub(crate) async fn decide_delete<L: Lookup, Spec>(
    request: &Request<'_, Spec>,
    lookup: &L,
) -> Result<Verdict, Refusal> {
    let name = request.name();
    if name.is_empty() {
        return Err(Refusal::BadRequest("the name of the WorkspaceKind to delete is missing".to_owned()));
    }
    let usage = lookup.workspaces_using_kind_live(name).await?;
    if usage.count == 0 {
        return Ok(Verdict::default());
    }
    let detail = format!("WorkspaceKind is used by {usage}");
    let fault = Box::new(Fault::forbidden(Rule::KindInUse, "", detail));
    Err(Refusal::Conflict { kind: "WorkspaceKind", name: name.to_owned(), fault })
}
