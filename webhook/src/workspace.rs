//! May this Workspace be stored?

use crds::labels::{LABEL_MAX, is_dns_label, is_dns_subdomain};
use crds::{WorkspaceKind, WorkspaceSpec};

use crate::Policy;
use crate::field::{Fault, Findings, introduced, quoted};
use crate::lookup::Lookup;
use crate::request::{Request, decode};
use crate::review::{Refusal, Verdict};
use crate::rule::Rule;

/// The Workspace to judge.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// `metadata.name`
    pub name: &'a str,
    /// `metadata.namespace`
    pub namespace: &'a str,
    /// `spec`
    pub spec: &'a WorkspaceSpec,
}

/// What has to be known about the kind that a Workspace names.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// It exists.
    Present(&'a WorkspaceKind),
    /// It does not; these do.
    Missing(&'a [String]),
}

/// Judges a request to create or update a Workspace.
pub(crate) async fn decide<L: Lookup>(request: &Request<'_>, lookup: &L, policy: &Policy) -> Result<Verdict, Refusal> {
    let invalid = |faults| Refusal::Invalid { kind: "Workspace", name: request.name().to_owned(), faults };
    let spec: WorkspaceSpec = decode(request.spec()).map_err(|fault| invalid(vec![*fault]))?;
    let review = Review {
        candidate: Candidate { name: request.name(), namespace: request.namespace(), spec: &spec },
        // A stored object that no longer decodes has no faults to excuse.
        old: request.old_object.as_ref().and_then(|_| decode(request.old_spec()).ok()),
        policy,
    };
    let cached = lookup.kind(&spec.kind).await?;
    let mut findings = review.findings(cached.as_deref(), lookup);
    if findings.faults.iter().any(|fault| fault.rule.rests_on_kind()) {
        // The cache may lag behind a kind that was created or edited a moment ago.
        let live = lookup.kind_live(&spec.kind).await?;
        findings = review.findings(live.as_deref(), lookup);
    }
    let Findings { faults, warnings } = findings;
    Ok(Verdict { refusal: (!faults.is_empty()).then(|| invalid(faults)), warnings })
}

/// A Workspace, and for an update what it was before.
struct Review<'a> {
    candidate: Candidate<'a>,
    old: Option<WorkspaceSpec>,
    policy: &'a Policy,
}

impl Review<'_> {
    /// What is to be said about the Workspace given its kind; of faults only those that it introduces.
    fn findings<L: Lookup>(&self, kind: Option<&WorkspaceKind>, lookup: &L) -> Findings {
        let names = if kind.is_none() { lookup.kind_names() } else { Vec::new() };
        let kind = kind.map_or(Kind::Missing(&names), Kind::Present);
        let mut findings = judge(self.candidate, kind, self.policy);
        let Some(old) = &self.old else { return findings };
        if !findings.faults.is_empty() && old.kind == self.candidate.spec.kind {
            let before = judge(Candidate { spec: old, ..self.candidate }, kind, self.policy);
            findings.faults = introduced(findings.faults, &before.faults);
        }
        findings
    }
}

/// All that is to be said about a Workspace, whether new or not.
pub fn judge(workspace: Candidate<'_>, kind: Kind<'_>, policy: &Policy) -> Findings {
    let mut findings = Findings::default();
    name(workspace.name, &mut findings);
    match kind {
        Kind::Missing(others) => {
            let id = &workspace.spec.kind;
            let detail = format!("workspace kind {} not found", quoted(id));
            let fault = Fault::invalid(Rule::WorkspaceKindExists, "spec.kind", id, detail);
            findings.faults.push(fault.suggesting(id, others.iter().map(String::as_str)));
        }
        Kind::Present(kind) => against_kind(workspace, kind, policy, &mut findings),
    }
    if workspace.spec.defer_updates {
        let text = "spec.deferUpdates has no effect: a running pod is never restarted by itself";
        findings.warn(Rule::DeferUpdates, "spec.deferUpdates", text);
    }
    findings.sort();
    findings
}

/// The name becomes that of a Service and the value of labels.
fn name(name: &str, findings: &mut Findings) {
    let field = "metadata.name";
    if name.len() > LABEL_MAX {
        findings.faults.push(Fault::too_long(Rule::WorkspaceName, field, LABEL_MAX));
    }
    // A subdomain without dots is a label of any length.
    let is_label = is_dns_label(name) || (is_dns_subdomain(name) && !name.contains('.'));
    if !name.is_empty() && !is_label {
        let detail = "must be a DNS label (lowercase letters, digits and '-', with a letter or digit at both ends): the \
                      Service and the labels of the Workspace carry it";
        findings.faults.push(Fault::invalid(Rule::WorkspaceName, field, name, detail));
    }
}

fn against_kind(workspace: Candidate<'_>, kind: &WorkspaceKind, policy: &Policy, findings: &mut Findings) {
    let name = &workspace.spec.kind;
    let template = &kind.spec.pod_template;
    if policy.paths.collides(template.dialect(), workspace.namespace) {
        let detail = format!(
            "the paths of workspace kind {} start with /workspace/: in the namespace \"connect\" they would lie over \
             those of other namespaces, choose another one",
            quoted(name)
        );
        findings.faults.push(Fault::forbidden(Rule::WorkspaceNamespace, "metadata.namespace", detail));
    }
    if kind.metadata.deletion_timestamp.is_some() {
        let detail = format!("workspace kind {} is being deleted", quoted(name));
        findings.faults.push(Fault::invalid(Rule::WorkspaceKindStays, "spec.kind", name, detail));
    }
    let selected = &workspace.spec.pod_template.options;
    let images = template.options.image_config.values.iter().map(|value| value.id.as_str());
    let image = (Rule::WorkspaceImageConfig, "imageConfig", &*selected.image_config);
    findings.faults.extend(missing_option(image, images, name));
    let pods = template.options.pod_config.values.iter().map(|value| value.id.as_str());
    let pod = (Rule::WorkspacePodConfig, "podConfig", &*selected.pod_config);
    findings.faults.extend(missing_option(pod, pods, name));
}

fn missing_option<'a>(
    (rule, option, id): (Rule, &str, &str),
    mut ids: impl Iterator<Item = &'a str> + Clone,
    kind: &str,
) -> Option<Fault> {
    let candidates = ids.clone();
    if ids.any(|candidate| candidate == id) {
        return None;
    }
    let detail = format!("{option} with id {} not found in workspace kind {}", quoted(id), quoted(kind));
    Some(Fault::invalid(rule, format!("spec.podTemplate.options.{option}"), id, detail).suggesting(id, candidates))
}
