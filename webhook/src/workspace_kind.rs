//! May this WorkspaceKind be stored, or deleted?
//!
//! The rules stand in one file a block of fields. Each adds to the findings in the order of the fields.

use crds::WorkspaceKindSpec;
use crds::ports::Dialect;
use crds::workspace_kind::ProxiedPort;
use serde::Deserialize;
use tokio::time::Instant;

use crate::Policy;
use crate::field::{Fault, Findings, Warning, introduced};
use crate::lookup::Lookup;
use crate::request::{Request, decode};
use crate::review::{Refusal, Verdict};
use crate::rule::Rule;

mod options;
mod ports;
mod redirects;
mod templates;

/// Tells whether there is time left to judge.
type InTime<'a> = &'a dyn Fn() -> bool;

/// All that is to be said about a kind, whether new or not.
pub fn judge(spec: &WorkspaceKindSpec, policy: &Policy) -> Findings {
    judge_in_time(spec, policy, &|| true)
}

fn judge_in_time(spec: &WorkspaceKindSpec, policy: &Policy, in_time: InTime<'_>) -> Findings {
    let mut findings = Findings::default();
    let template = &spec.pod_template;
    templates::judge(template, policy, in_time, &mut findings);
    ports::judge(template, policy, &mut findings);
    options::judge(template, &mut findings);
    redirects::judge(template, &mut findings);
    findings.sort();
    findings
}

/// What matters of the stored spec as long as the new one is without faults. It decodes where the rest may not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OldSpec {
    pod_template: OldPodTemplate,
}

#[derive(Deserialize)]
struct OldPodTemplate {
    #[serde(default)]
    ports: Option<Vec<ProxiedPort>>,
}

impl OldSpec {
    fn dialect(&self) -> Dialect {
        Dialect::of(self.pod_template.ports.as_deref().unwrap_or_default())
    }
}

/// Accepts a request to create or update a kind that plainly can be; the warnings that go with it.
pub(crate) fn accept(
    request: &Request<'_, WorkspaceKindSpec, OldSpec>,
    policy: &Policy,
    deadline: Instant,
) -> Option<Vec<Warning>> {
    let spec = request.object.as_ref()?.spec.as_ref()?;
    let keeps_dialect = || {
        let old = request.old_object.as_ref()?.spec.as_ref()?;
        Some(old.dialect() == spec.pod_template.dialect())
    };
    let may_be = match &*request.operation {
        "CREATE" => request.old_object.is_none(),
        "UPDATE" => keeps_dialect()?,
        _ => false,
    };
    let findings = may_be.then(|| judge_in_time(spec, policy, &|| Instant::now() < deadline))?;
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
    let dialect = spec.pod_template.dialect();
    if let Ok(old) = decode::<OldSpec>(request.old_spec())
        && old.dialect() != dialect
    {
        let users = lookup.users_live(request.name()).await?;
        findings.faults.extend(ports::dialect_change(old.dialect(), dialect, &users));
        findings.sort();
    }
    let Findings { faults, warnings } = findings;
    Ok(Verdict { refusal: (!faults.is_empty()).then(|| invalid(faults)), warnings })
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
