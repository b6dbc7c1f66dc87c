//! The command `cleanup`: takes away what an installation leaves behind, before or after `helm uninstall`.
//!
//! What goes is what this chart or this program made, each by its uid; never a Workspace, a WorkspaceKind, a CRD or a volume. The list is
//! printed before anything is done, and nothing is done while a controller of this program leads, or is to run: it would make again
//! what goes, and without its webhook configuration everything would be accepted. Where another program leads, such as the Go
//! controller, what both write is left to it.

mod plan;

use std::fmt::{self, Debug, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use crds::labels::{FIELD_MANAGER, KIND_FINALIZER, WORKSPACE_NAME_LABEL};
use futures::future::try_join_all;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::api::controllers::{is_pod_of, running};
use crate::client::{CallError, causes, delete_only, finalizer_removal, in_time, list_all};
use crate::config::Mode;
use crate::election::{Holding, who_holds};
use crate::offline::CommandOutput;
use crate::render::ChildKind;
use crate::stores::child::{Child, ChildType};
use crate::stores::slim::{Incoming, Key};
use plan::{Found, Plan, Step, What, is_written_by_us, plan};

/// After which a controller that still runs has made again what was removed: a reconcile takes less than a second, and is retried
/// within two.
const COMES_BACK: Duration = Duration::from_secs(4);

/// The arguments of the command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cleanup {
    /// The kubeconfig of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the installation.
    pub namespace: String,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether it is done although a controller leads.
    pub force: bool,
    /// Whether VirtualServices stay.
    pub keep_routes: bool,
}

/// Prints what goes and what stays, and does it unless it is a dry run. `print` gets text for the standard output at once, `report` a
/// line about what it waits for.
///
/// # Errors
/// A sentence for the user: a controller leads, or the cluster cannot be read. Nothing has been changed then.
pub async fn run(
    client: &Client,
    command: &Cleanup,
    print: impl Fn(&str),
    report: impl Fn(&str),
) -> Result<CommandOutput, String> {
    let leader = leader(client, &report).await?;
    let other = leader.as_ref().filter(|leader| leader.is_other);
    let at_work = match &leader {
        Some(leader) if !leader.is_other => Some(leader.to_string()),
        _ => deployed(client, other).await?,
    };
    let found = read(client, command, other.is_some()).await?;
    let plan = plan(&found, command.keep_routes);
    print(&listed(&plan));
    if let Some(leader) = at_work {
        let refusal = format!(
            "{leader}: stop that controller first (scale its Deployment to 0, or helm uninstall), or say --force"
        );
        match (command.dry_run, command.force) {
            (true, _) => report(&format!("with --yes this would be refused, since {refusal}")),
            (false, true) => report(&format!("--force: although {leader}")),
            (false, false) => return Err(refusal),
        }
    }
    if command.dry_run {
        let stdout = format!("{} to do (dry run: nothing was changed)\n", plan.steps.len());
        return Ok(CommandOutput { stdout, ..CommandOutput::default() });
    }
    let mut errors = String::new();
    let mut done = 0;
    for step in &plan.steps {
        match carry_out(client, step).await {
            Ok(()) => done += 1,
            Err(error) => drop(writeln!(errors, "error: cannot {step}: {error}")),
        }
    }
    match come_back(client, command, &plan, other.is_some()).await {
        Ok(again) => {
            for step in again {
                let _ = writeln!(
                    errors,
                    "error: {step}: it is there again, so a controller still runs; stop it, and run this again"
                );
            }
        }
        Err(error) => drop(writeln!(errors, "error: it is not known whether anything is made again: {error}")),
    }
    let failed = plan.steps.len() - done;
    let namespace = &command.namespace;
    let stdout = format!(
        "{done} done, {failed} failed; the rest goes with: helm uninstall workspaces-controller --namespace {namespace}\n"
    );
    Ok(CommandOutput { stdout, has_unreadable: !errors.is_empty(), stderr: errors, has_findings: false })
}

/// Who leads.
struct Leader {
    lease: Key,
    holder: String,
    /// Whether it is another program, such as the Go controller.
    is_other: bool,
}

impl fmt::Display for Leader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the Lease {} is held by {}", self.lease, self.holder)
    }
}

/// Who leads; one of this program before another.
async fn leader(client: &Client, report: impl Fn(&str)) -> Result<Option<Leader>, String> {
    let unreadable = |error| format!("cannot list leases: {}", causes(&error));
    // All at the same time: where one has to be waited for, the others are, too.
    let held = lease_names().map(|name| {
        let report = &report;
        async move { who_holds(client, None, &[name], report).await }
    });
    let mut other = None;
    for holding in try_join_all(held).await.map_err(unreadable)? {
        let (Holding::Held { lease, holder } | Holding::Unknown { lease, holder, .. }) = holding else { continue };
        let leases: Api<Lease> = Api::namespaced(client.clone(), lease.namespace());
        let written = in_time(leases.get_opt(lease.name())).await.map_err(unreadable)?;
        let is_other = written.is_some_and(|lease| !is_written_by_us(&lease.metadata));
        let leader = Leader { lease, holder, is_other };
        if !is_other {
            return Ok(Some(leader));
        }
        other = Some(leader);
    }
    Ok(other)
}

/// Which controller is to run, as part of a sentence, but for another program that leads: it may elect no leader, only serve the
/// webhook, or not get as far as that.
async fn deployed(client: &Client, other: Option<&Leader>) -> Result<Option<String>, String> {
    let mut found = running(client).await.map_err(|error| format!("cannot list deployments: {}", causes(&error)))?;
    found.retain(|found| !other.is_some_and(|other| is_pod_of(found, other.lease.namespace(), &other.holder)));
    let first = found.first().map(|found| (found.namespace().unwrap_or_default(), found.name_any()));
    Ok(first.map(|(namespace, name)| format!("the Deployment {namespace}/{name} is to have pods")))
}

fn lease_names() -> [&'static str; 3] {
    let modes =
        [Mode::Everything, Mode::Namespaces(String::new()), Mode::OnlyRoutes { selector: None, take_over: false }];
    modes.map(|mode| mode.lease_name())
}

fn listed(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = writeln!(text, "{step}");
    }
    for line in &plan.stays {
        let _ = writeln!(text, "keep {line}");
    }
    text
}

async fn read(client: &Client, command: &Cleanup, other_leads: bool) -> Result<Found, String> {
    let namespace = &*command.namespace;
    let all = ListParams::default;
    let mut leases: Vec<Lease> = list(Api::namespaced(client.clone(), namespace), all(), "leases").await?;
    leases.retain(|lease| lease_names().contains(&&*lease.name_any()));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secrets = in_time(secrets.list_metadata(&all())).await;
    // Nothing but their number is needed, and there may be thousands.
    let workspaces = in_time(dynamic(client, "Workspace", "workspaces").list_metadata(&all().limit(1))).await;
    let workspaces = match workspaces {
        Ok(page) => page.items.len() + usize::try_from(page.metadata.remaining_item_count.unwrap_or(0)).unwrap_or(0),
        Err(error) if is_unserved(&error) => 0,
        Err(error) => return Err(format!("cannot list workspaces: {}", causes(&error))),
    };
    Ok(Found {
        configurations: list::<ValidatingWebhookConfiguration>(
            Api::all(client.clone()),
            all(),
            "validatingwebhookconfigurations",
        )
        .await?,
        kinds: list(dynamic(client, "WorkspaceKind", "workspacekinds"), all(), "workspacekinds").await?,
        routes: routes(client).await?,
        leases,
        secrets: secrets.map_err(|error| format!("cannot list secrets: {}", causes(&error)))?.items,
        jobs: list::<Job>(Api::namespaced(client.clone(), namespace), all(), "jobs").await?,
        workspaces,
        other_leads,
    })
}

fn dynamic(client: &Client, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(crds::GROUP, crds::VERSION, kind);
    Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural))
}

/// All objects; none where the resource is not served, as after the CRDs were deleted.
async fn list<K: Clone + DeserializeOwned + Debug>(
    api: Api<K>,
    params: ListParams,
    plural: &str,
) -> Result<Vec<K>, String> {
    match list_all(&api, params).await {
        Err(error) if is_unserved(&error) => Ok(Vec::new()),
        listed => listed.map_err(|error| format!("cannot list {plural}: {}", causes(&error))),
    }
}

fn is_unserved(error: &CallError) -> bool {
    matches!(error, CallError::Api(kube::Error::Api(status)) if status.code == 404)
}

/// The VirtualServices of Workspaces, in the API version in which they are served.
async fn routes(client: &Client) -> Result<Vec<Incoming<Child>>, String> {
    for of in ChildType::all(ChildKind::VirtualService) {
        let api: Api<Incoming<Child>> = Api::all_with(client.clone(), &of);
        let routes = list(api, ListParams::default().labels(WORKSPACE_NAME_LABEL), "virtualservices").await?;
        if !routes.is_empty() {
            return Ok(routes);
        }
    }
    Ok(Vec::new())
}

/// Does a step. That it is done already is no error.
async fn carry_out(client: &Client, step: &Step) -> Result<(), String> {
    let Step { what, namespace, name, uid } = step;
    let (name, uid) = (name.as_str(), uid.as_str());
    let of_namespace = || client.clone();
    let done = match what {
        What::Configuration => delete::<ValidatingWebhookConfiguration>(Api::all(client.clone()), name, uid).await,
        What::Finalizer(index) => remove_finalizer(client, name, uid, *index).await,
        What::Route => delete_route(client, namespace, name, uid).await,
        What::Lease => delete::<Lease>(Api::namespaced(of_namespace(), namespace), name, uid).await,
        What::Secret => delete::<Secret>(Api::namespaced(of_namespace(), namespace), name, uid).await,
        What::Job => delete::<Job>(Api::namespaced(of_namespace(), namespace), name, uid).await,
    };
    match done {
        Err(error) if is_unserved(&error) => Ok(()),
        done => done.map_err(|error| causes(&error)),
    }
}

/// Deletes the object with that uid, and no other that has its name by now.
async fn delete<K: Resource + Clone + DeserializeOwned + Debug>(
    api: Api<K>,
    name: &str,
    uid: &str,
) -> Result<(), CallError> {
    // The pods of a Job, too.
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..delete_only(uid) };
    in_time(api.delete(name, &params)).await.map(drop)
}

async fn delete_route(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
    for of in ChildType::all(ChildKind::VirtualService) {
        let api: Api<Incoming<Child>> = Api::namespaced_with(client.clone(), namespace, &of);
        match in_time(api.delete(name, &delete_only(uid))).await {
            Err(error) if is_unserved(&error) && !error.is_object_missing() => {}
            deleted => return deleted.map(drop),
        }
    }
    Ok(())
}

async fn remove_finalizer(client: &Client, name: &str, uid: &str, index: usize) -> Result<(), CallError> {
    let patch =
        serde_json::from_value(finalizer_removal(uid, index, KIND_FINALIZER)).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api = dynamic(client, "WorkspaceKind", "workspacekinds");
    in_time(api.patch(name, &params, &Patch::<()>::Json(patch))).await.map(drop)
}

/// The finalizers and routes that are there again after a while, although they were removed.
async fn come_back(client: &Client, command: &Cleanup, done: &Plan, other_leads: bool) -> Result<Vec<Step>, String> {
    let is_made_again = |step: &Step| matches!(step.what, What::Finalizer(_) | What::Route);
    if !done.steps.iter().any(is_made_again) {
        return Ok(Vec::new());
    }
    sleep(COMES_BACK).await;
    let again = plan(&read(client, command, other_leads).await?, command.keep_routes).steps;
    // Another route of the same name was made anew; a kind stays the same.
    let is_same =
        |step: &Step| done.steps.iter().any(|other| (&other.namespace, &other.name) == (&step.namespace, &step.name));
    Ok(again.into_iter().filter(is_made_again).filter(is_same).collect())
}
