//! May this Workspace be stored?

use std::collections::BTreeMap;

use crds::filters::{Choice, denials, depend_on_namespace};
use crds::labels::{LABEL_MAX, is_dns_label, is_dns_subdomain};
use crds::workspace_kind::FilterRuleScope;
use crds::{WorkspaceKind, WorkspaceSpec};
use futures::{StreamExt, TryStreamExt, stream};

use crate::field::{Fault, Findings, introduced, quoted};
use crate::lookup::{AT_ONCE, Lookup, LookupError, MountSource};
use crate::metadata::validate_pod_metadata;
use crate::policy::Policy;
use crate::request::{Request, decode};
use crate::review::{Refusal, Verdict};
use crate::rule::Rule;

mod metadata;
mod volumes;

/// The Workspace to validate.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// `metadata.name`
    pub name: &'a str,
    /// `metadata.namespace`
    pub namespace: &'a str,
    /// `spec`
    pub spec: &'a WorkspaceSpec,
}

/// The kind that a Workspace names, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum ReferencedKind<'a> {
    /// It exists.
    Present(&'a WorkspaceKind),
    /// It does not; these do.
    Missing(&'a [String]),
}

/// The other facts that the rules need; facts that the policy does not require are left empty.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The labels of the namespace, where filter rules select on them.
    pub namespace_labels: BTreeMap<String, String>,
    /// The labels of newly mounted objects, where they need one; `None` for an object that does not exist.
    pub mounted: BTreeMap<MountSource, Option<BTreeMap<String, String>>>,
    /// Whether there is a Notebook with the name of a new Workspace.
    pub notebook: bool,
}

/// Validates a request to create or update a Workspace.
pub(crate) async fn decide<L: Lookup>(request: &Request<'_>, lookup: &L, policy: &Policy) -> Result<Verdict, Refusal> {
    let invalid = |faults| Refusal::Invalid { kind: "Workspace", name: request.name().to_owned(), faults };
    let spec: WorkspaceSpec = decode(request.spec()).map_err(|fault| invalid(vec![*fault]))?;
    let review = Review {
        candidate: Candidate { name: request.name(), namespace: request.namespace(), spec: &spec },
        // A stored object that does not decode any more has no faults to compare with.
        old: decode(request.old_spec()).ok(),
        is_new: request.old_object.is_none(),
        policy,
    };
    let mut kind = lookup.kind(&spec.kind).await?;
    let mut around = review.surroundings(lookup).await?;
    around.namespace_labels = review.namespace_labels(kind.as_deref(), lookup).await?;
    let mut findings = review.findings(kind.as_deref(), &around, lookup);
    // The caches may lag behind the API server.
    if findings.faults.iter().any(|fault| fault.rule.depends_on_kind()) {
        kind = lookup.kind_live(&spec.kind).await?;
        around.namespace_labels = review.namespace_labels(kind.as_deref(), lookup).await?;
        findings = review.findings(kind.as_deref(), &around, lookup);
    }
    if findings.faults.iter().any(|fault| fault.rule == Rule::NotebookName) {
        around.notebook = lookup.notebook_live(request.namespace(), request.name()).await?;
        findings = review.findings(kind.as_deref(), &around, lookup);
    }
    let Findings { faults, warnings } = findings;
    Ok(Verdict { refusal: (!faults.is_empty()).then(|| invalid(faults)), warnings })
}

/// A Workspace, and for an update the stored one.
struct Review<'a> {
    candidate: Candidate<'a>,
    old: Option<WorkspaceSpec>,
    is_new: bool,
    policy: &'a Policy,
}

impl Review<'_> {
    /// Looks up what does not depend on the kind.
    async fn surroundings<L: Lookup>(&self, lookup: &L) -> Result<Surroundings, LookupError> {
        let Candidate { name, namespace, spec } = self.candidate;
        let mut around = Surroundings::default();
        if self.is_new {
            around.notebook = lookup.notebook(namespace, name).await?;
        }
        if self.policy.enforce_can_mount {
            let before = self.old.as_ref().map(volumes::mounted).unwrap_or_default();
            let is_new = |(mounted, _): &(MountSource, String)| !before.iter().any(|(known, _)| known == mounted);
            let ask = |(mounted, _): (MountSource, String)| async move {
                let labels = lookup.mounted_labels(namespace, &mounted).await?;
                Ok::<_, LookupError>((mounted, labels))
            };
            let new = volumes::mounted(spec).into_iter().filter(is_new);
            around.mounted = stream::iter(new.map(ask)).buffered(AT_ONCE).try_collect().await?;
        }
        Ok(around)
    }

    /// Looks up the labels of the namespace, where the rules of the kind select on them.
    async fn namespace_labels<L: Lookup>(
        &self,
        kind: Option<&WorkspaceKind>,
        lookup: &L,
    ) -> Result<BTreeMap<String, String>, LookupError> {
        let asks = |kind: &WorkspaceKind| depend_on_namespace(&kind.spec.filter_rules);
        if self.policy.enforce_filter_rules && kind.is_some_and(asks) {
            lookup.namespace_labels(self.candidate.namespace).await
        } else {
            Ok(BTreeMap::new())
        }
    }

    /// The findings about the Workspace, given its kind; of faults only those that the request introduces.
    fn findings<L: Lookup>(&self, kind: Option<&WorkspaceKind>, around: &Surroundings, lookup: &L) -> Findings {
        let names = if kind.is_none() { lookup.kind_names() } else { Vec::new() };
        let kind = kind.map_or(ReferencedKind::Missing(&names), ReferencedKind::Present);
        let mut findings = validate(self.candidate, kind, around, self.policy);
        let Some(old) = &self.old else { return findings };
        if !findings.faults.is_empty() && old.kind == self.candidate.spec.kind {
            let before = validate(Candidate { spec: old, ..self.candidate }, kind, around, self.policy);
            findings.faults = introduced(findings.faults, &before.faults);
        }
        findings
    }
}

/// Every fault and warning of a Workspace, whether an update introduces it or not.
pub fn validate(
    workspace: Candidate<'_>,
    kind: ReferencedKind<'_>,
    around: &Surroundings,
    policy: &Policy,
) -> Findings {
    let mut findings = Findings::default();
    let template = &workspace.spec.pod_template;
    name(workspace.name, &mut findings);
    match kind {
        ReferencedKind::Missing(others) => {
            let id = &workspace.spec.kind;
            let detail = format!("workspace kind {} not found", quoted(id));
            let fault = Fault::invalid(Rule::WorkspaceKindExists, "spec.kind", id, detail);
            findings.faults.push(fault.suggesting(id, others.iter().map(String::as_str)));
        }
        ReferencedKind::Present(kind) => against_kind(workspace, kind, around, policy, &mut findings),
    }
    if let Some(metadata) = &template.pod_metadata {
        validate_pod_metadata(Rule::WorkspacePodMetadata, metadata, &mut findings);
        metadata::validate_protected(metadata, workspace.name, &policy.protected_pod_metadata, &mut findings);
    }
    let home = match kind {
        ReferencedKind::Present(kind) => Some(&*kind.spec.pod_template.volume_mounts.home),
        ReferencedKind::Missing(_) => None,
    };
    volumes::validate_paths(&template.volumes, home, &mut findings);
    volumes::validate_mountable(workspace.spec, &around.mounted, &mut findings);
    if around.notebook {
        let detail = format!(
            "there is a Notebook (kubeflow.org/v1) of this name in namespace {}: its Service would select this \
             Workspace's pod, choose another name",
            quoted(workspace.namespace)
        );
        findings.faults.push(Fault::invalid(Rule::NotebookName, "metadata.name", workspace.name, detail));
    }
    if workspace.spec.defer_updates {
        let text = "spec.deferUpdates has no effect: a running pod is never restarted automatically";
        findings.warn(Rule::DeferUpdates, "spec.deferUpdates", text);
    }
    findings.sort();
    findings
}

/// Validates the name, which a Service and label values are made of.
fn name(name: &str, findings: &mut Findings) {
    let field = "metadata.name";
    if name.len() > LABEL_MAX {
        findings.faults.push(Fault::too_long(Rule::WorkspaceName, field, LABEL_MAX));
    }
    // A subdomain without dots is a DNS label, but for its length.
    let is_label = is_dns_label(name) || (is_dns_subdomain(name) && !name.contains('.'));
    if !name.is_empty() && !is_label {
        let detail = "must be a DNS label (lowercase letters, digits and '-', with a letter or digit at both ends): the \
                      Service and the labels of the Workspace carry it";
        findings.faults.push(Fault::invalid(Rule::WorkspaceName, field, name, detail));
    }
}

fn against_kind(
    workspace: Candidate<'_>,
    kind: &WorkspaceKind,
    around: &Surroundings,
    policy: &Policy,
    findings: &mut Findings,
) {
    let name = &workspace.spec.kind;
    let template = &kind.spec.pod_template;
    if policy.paths.collides(template.dialect(), workspace.namespace) {
        let detail = format!(
            "the paths of workspace kind {} start with /workspace/: in the namespace \"connect\" they would overlap \
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
    if policy.enforce_filter_rules {
        denied(workspace.spec, kind, around, findings);
    }
}

/// The filter rules of the kind that deny the kind or a selected option, with their own messages.
fn denied(spec: &WorkspaceSpec, kind: &WorkspaceKind, around: &Surroundings, findings: &mut Findings) {
    let (selected, options) = (&spec.pod_template.options, &kind.spec.pod_template.options);
    let choice = Choice {
        namespace: &around.namespace_labels,
        image: options.image_config.values.iter().find(|value| value.id == selected.image_config),
        pod: options.pod_config.values.iter().find(|value| value.id == selected.pod_config),
    };
    for denial in denials(&kind.spec.filter_rules, &choice) {
        let (field, what, id) = match denial.scope {
            FilterRuleScope::WorkspaceKind => ("spec.kind", "workspace kind", &spec.kind),
            FilterRuleScope::ImageConfig => {
                ("spec.podTemplate.options.imageConfig", "imageConfig", &selected.image_config)
            }
            FilterRuleScope::PodConfig => ("spec.podTemplate.options.podConfig", "podConfig", &selected.pod_config),
        };
        let why = match denial.message {
            Some(message) => crds::value_template::cut(message).to_owned(),
            None => format!("spec.filterRules[{}] of workspace kind {} denies it", denial.index, quoted(&spec.kind)),
        };
        let detail = format!("{what} {} is not allowed here: {why}", quoted(id));
        findings.faults.push(Fault::forbidden(Rule::FilterDenied, field, detail));
    }
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
