//! The command `migrate --hand-back`: prepares the StatefulSets of Workspaces for the Go controller.
//!
//! That one counts on `updateStrategy: RollingUpdate` and never sets it: with `OnDelete` its changes would reach no running
//! pod, and it would wait for them for ever. No pod is restarted by this, unless asked for.

mod decision;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crds::labels::{FIELD_MANAGER, RESTART_ANNOTATION, WORKSPACE_NAME_LABEL};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{causes, list_all};
use crate::config::Mode;
use crate::election::{Holding, who_holds};
use crate::offline::CommandOutput;
use crate::render::names::pod_name;
use crate::stores::pod::Pod;
use crate::stores::slim::{Incoming, Key};
use decision::{Decision, decide, is_on_delete};

/// How long it is watched whether what was changed stays so, and the pause between two looks: a controller that still runs, or
/// whose reconcile was under way, changes it back within two seconds.
const STAYS_FOR: Duration = Duration::from_secs(5);
const STAYS_POLL: Duration = Duration::from_secs(1);

/// The arguments of `migrate --hand-back`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HandBack {
    /// The kubeconfig of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The namespaces to hand back, to which no controller writes; without any, the whole cluster.
    pub namespaces: Vec<String>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether the pods that run an older template are restarted on the current one.
    pub restart_pending: bool,
}

/// Hands back what can be handed back, and lists the rest: then the output has findings. Where a StatefulSet cannot be
/// changed, or a controller changes it back, the others are, and the output is incomplete. `report`: takes a line about what it
/// waits for.
///
/// # Errors
/// A sentence for the user: a controller still runs, a namespace does not exist, or the cluster cannot be read. Nothing has been
/// changed then.
pub async fn run(client: &Client, command: &HandBack, report: impl Fn(&str)) -> Result<CommandOutput, String> {
    // For other namespaces controllers go on running.
    if command.namespaces.is_empty() {
        refuse_while_a_controller_runs(client, report).await?;
    }
    for namespace in &command.namespaces {
        refuse_unless_it_exists(client, namespace).await?;
    }
    let sets: Vec<StatefulSet> = of_workspaces(client, &command.namespaces, "statefulsets").await?;
    let pods: Vec<Incoming<Pod>> = of_workspaces(client, &command.namespaces, "pods").await?;
    let pods: BTreeMap<Key, Result<Pod, String>> =
        pods.into_iter().map(|incoming| (incoming.identity().key, incoming.object)).collect();
    let (mut judged, mut uids) = (Vec::new(), BTreeSet::new());
    for set in &sets {
        let key = key_of(set);
        let pod = pods.get(&Key::new(key.namespace(), &pod_name(key.name())));
        let decision = match pod.map(Result::as_ref).transpose() {
            Ok(pod) => decide(set, pod),
            // It may run an older template.
            Err(_) => Decision::NotSeen,
        };
        let is_changed = match decision {
            Decision::HandedBack | Decision::NotOfAWorkspace => false,
            Decision::Ready => true,
            Decision::RestartPending | Decision::NotSeen => command.restart_pending,
        };
        let mut written = Ok(());
        if is_changed && !command.dry_run {
            written = hand_back(client, set).await;
            uids.extend(set.metadata.uid.as_deref().filter(|_| written.is_ok()));
        }
        judged.push((set, decision, is_changed, written));
    }
    let mut tally = Tally::default();
    let back = changed_back(client, &command.namespaces, &uids).await.unwrap_or_else(|error| {
        let _ = writeln!(tally.errors, "error: it is not known whether they stay as they are: {error}");
        BTreeSet::new()
    });
    for (set, decision, is_changed, written) in judged {
        let key = key_of(set);
        if back.contains(&key) {
            tally.add_changed_back(&key);
        } else {
            tally.add(&key, decision, is_changed, written);
        }
    }
    Ok(tally.output(command))
}

/// Who writes StatefulSets holds a Lease, where a leader is elected: the Go controller, and this one for all or for some namespaces. One
/// that was killed leaves it behind, and it expires.
async fn refuse_while_a_controller_runs(client: &Client, report: impl Fn(&str)) -> Result<(), String> {
    let names = [Mode::Everything, Mode::Namespaces(String::new())].map(|mode| mode.lease_name());
    let holding = who_holds(client, None, &names, report).await;
    match holding.map_err(|error| format!("cannot list leases: {}", causes(&error)))? {
        Holding::Held { lease, holder } | Holding::Unknown { lease, holder, .. } => Err(format!(
            "the Lease {lease} is held by {holder}: stop that controller first (scale its Deployment to 0)"
        )),
        Holding::Nobody => Ok(()),
    }
}

/// One that does not exist has nothing to hand back, but another one may have been meant.
async fn refuse_unless_it_exists(client: &Client, namespace: &str) -> Result<(), String> {
    match Api::<Namespace>::all(client.clone()).get_opt(namespace).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("there is no namespace {namespace:?}")),
        Err(error) => Err(format!("cannot get namespace {namespace:?}: {}", causes(&error))),
    }
}

/// All objects with the label of children in these namespaces; without any, in the whole cluster.
async fn of_workspaces<K>(client: &Client, namespaces: &[String], plural: &str) -> Result<Vec<K>, String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let labelled = ListParams::default().labels(WORKSPACE_NAME_LABEL);
    if namespaces.is_empty() {
        return list(&Api::all(client.clone()), labelled, plural).await;
    }
    let mut all = Vec::new();
    for namespace in namespaces {
        all.extend(list(&Api::namespaced(client.clone(), namespace), labelled.clone(), plural).await?);
    }
    Ok(all)
}

/// The StatefulSets, of those with these uids, that a controller has given its own strategy again.
async fn changed_back(
    client: &Client,
    namespaces: &[String],
    written: &BTreeSet<&str>,
) -> Result<BTreeSet<Key>, String> {
    let until = Instant::now() + STAYS_FOR;
    let mut back = BTreeSet::new();
    // Once all are, nothing more can be learnt.
    while back.len() < written.len() && Instant::now() < until {
        sleep(STAYS_POLL).await;
        let sets: Vec<StatefulSet> = of_workspaces(client, namespaces, "statefulsets").await?;
        let is_written = |set: &&StatefulSet| set.metadata.uid.as_deref().is_some_and(|uid| written.contains(uid));
        back.extend(sets.iter().filter(is_written).filter(|set| is_on_delete(set)).map(key_of));
    }
    Ok(back)
}

async fn list<K: Clone + DeserializeOwned + std::fmt::Debug>(
    api: &Api<K>,
    params: ListParams,
    plural: &str,
) -> Result<Vec<K>, String> {
    list_all(api, params).await.map_err(|error| format!("cannot list {plural}: {}", causes(&error)))
}

/// Gives a StatefulSet, if it is as it was read, the strategy that the Go controller counts on. What is recorded of its user's
/// edits is removed: the other controller does not keep it, so it would be wrong on the way back.
async fn hand_back(client: &Client, set: &StatefulSet) -> Result<(), String> {
    let metadata = &set.metadata;
    let mut patch = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": metadata.uid}),
        json!({"op": "test", "path": "/metadata/generation", "value": metadata.generation}),
        json!({"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}),
    ];
    if metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(RESTART_ANNOTATION)) {
        let annotation = format!("/metadata/annotations/{}", RESTART_ANNOTATION.replace('/', "~1"));
        patch.push(json!({"op": "remove", "path": annotation}));
    }
    let patch = serde_json::from_value(json!(patch)).map_err(|error| error.to_string())?;
    let key = key_of(set);
    let (namespace, name) = key.parts();
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::<()>::Json(patch)).await.map(drop).map_err(|error| causes(&error))
}

fn key_of(set: &StatefulSet) -> Key {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    Key::new(&text(&set.metadata.namespace), &text(&set.metadata.name))
}

/// What became of all StatefulSets.
#[derive(Default)]
struct Tally {
    lines: String,
    errors: String,
    changed: usize,
    already: usize,
    left: usize,
}

impl Tally {
    fn add(&mut self, key: &Key, decision: Decision, is_changed: bool, written: Result<(), String>) {
        match (decision, written) {
            (Decision::NotOfAWorkspace, _) => return,
            (_, Err(error)) => {
                let _ = writeln!(self.errors, "error: StatefulSet {key} is left as it was: {error}");
                return;
            }
            (Decision::HandedBack, Ok(())) => self.already += 1,
            (_, Ok(())) if is_changed => self.changed += 1,
            (_, Ok(())) => self.left += 1,
        }
        let what = match (decision, is_changed) {
            (Decision::RestartPending, true) => "RollingUpdate; its pod is restarted on the current template",
            (Decision::RestartPending, false) => {
                "left: its pod runs an older template, and would be restarted (--restart-pending does so)"
            }
            (Decision::NotSeen, true) => "RollingUpdate; its pod is restarted if it runs an older template",
            (Decision::NotSeen, false) => {
                "left: its controller has not seen its latest change, so its pod may be restarted (run this again)"
            }
            (Decision::Ready, _) => "RollingUpdate; its pod stays",
            (Decision::HandedBack | Decision::NotOfAWorkspace, _) => return,
        };
        let _ = writeln!(self.lines, "StatefulSet {key}: {what}");
    }

    fn add_changed_back(&mut self, key: &Key) {
        let _ = writeln!(
            self.errors,
            "error: StatefulSet {key} was handed back and is OnDelete again: a controller still writes it. Stop that one, or, \
             where it selects namespaces, wait until its log says that this one is not selected any longer; then run this again"
        );
    }

    fn output(self, command: &HandBack) -> CommandOutput {
        let Self { lines, errors, changed, already, left } = self;
        let verb = if command.dry_run { "would be handed back" } else { "handed back" };
        let mut stdout = format!("{lines}{changed} {verb}, {already} were already, {left} left");
        if command.dry_run {
            stdout += " (dry run: nothing was changed)";
        }
        stdout.push('\n');
        CommandOutput { stdout, has_findings: left > 0, has_unreadable: !errors.is_empty(), stderr: errors }
    }
}
