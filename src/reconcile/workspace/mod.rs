//! One look at one Workspace: observe -> render -> apply -> status.

mod plan;
mod pod_state;
mod reasons;
mod status;

use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::Resource as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::Patch;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply::{ApplyError, ChildKind, ChildMemory, Children, Next, REQUEST_TIMEOUT, in_our_name};
use super::engine::Requeue;
use crate::client::names_object;
use crate::config::Routing;
use crate::istio::VirtualService;
use crate::metrics::Metrics;
use crate::render::names::ChildNames;
use crate::render::{self, Desired, Route};
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::collection::{Collection, Progress};
use crate::stores::pod::Pod;
use crate::stores::slim::{Incoming, Key};
use crate::stores::workspace::StoredWorkspace;
use plan::{Inputs, Plan, RoutePlan};
use reasons::Fault;
use status::{ChangedChild, Facts, Made, RouteState};

/// The least time between two status writes of one Workspace.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// How long a StatefulSet that was just written is given to make its pod before the status tells that there is none.
const POD_PATIENCE: Duration = Duration::from_secs(1);
/// How long a new Workspace waits for its kind before its status tells that there is none: the two come by watches of
/// their own, so one that was made just before may be seen just after.
const KIND_PATIENCE: Duration = Duration::from_millis(500);
/// How many looks in a row have to fail before the status tells that something cannot be reached.
const TOLD_AFTER: u32 = 3;

/// What every look needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    pub metrics: Arc<Metrics>,
}

impl Context {
    fn routes_installed(&self) -> bool {
        self.stores.virtual_services().progress() == Progress::Synced
    }
}

/// What is remembered of a Workspace between two looks. Losing it costs reads and renderings, never a write.
#[derive(Debug, Default)]
pub(super) struct Memory {
    uid: Box<str>,
    plan: Option<Plan>,
    service_account: ChildMemory,
    stateful_set: ChildMemory,
    service: ChildMemory,
    virtual_service: ChildMemory,
    /// Whether no pod may run, because its account is somebody else's.
    held: bool,
    /// How many looks in a row could not do all they wanted.
    unreachable: u32,
    /// Whether its kind was missing when it was first looked at.
    missed_kind: bool,
    set_written: Option<Instant>,
    status_written: Option<Instant>,
}

/// Makes one Workspace real and says so in its status.
pub(super) async fn look(context: Arc<Context>, key: Key, mut memory: Memory) -> (Memory, Requeue) {
    let workspace = context.stores.workspaces().get(&key);
    let Some(workspace) = workspace.filter(|workspace| !workspace.identity.deleting) else {
        // Its children go with it: garbage collection follows their owner references. Its route does not wait for that; the
        // look before this one may just have written it.
        context.stores.abandon_route(&key, &memory.uid);
        return (memory, Requeue::Forget);
    };
    if memory.uid != workspace.identity.uid {
        context.stores.abandon_route(&key, &memory.uid);
        memory = Memory { uid: workspace.identity.uid.clone(), ..Memory::default() };
    }
    let kind = context.stores.kind(&workspace.spec.kind);
    let is_new = workspace.status.observed_generation.is_none();
    if kind.is_none() && is_new && !std::mem::replace(&mut memory.missed_kind, true) {
        return (memory, Requeue::After(KIND_PATIENCE));
    }
    let mut look = Look {
        context: &context,
        workspace: &workspace,
        names: ChildNames::new(&key.name, &workspace.identity.uid),
        memory: &mut memory,
        lacks_kind: kind.is_none(),
        made: Made::default(),
        again: None,
        failed: false,
        unreachable: false,
    };
    look.make_real(kind.as_deref()).await;
    look.note_stored();
    look.memory.unreachable = if look.unreachable { look.memory.unreachable.saturating_add(1) } else { 0 };
    look.write_status().await;
    let requeue = match (look.failed, look.again) {
        (true, again) => Requeue::Retry(again),
        (false, Some(after)) => Requeue::After(after),
        (false, None) => Requeue::Done,
    };
    (memory, requeue)
}

/// Why the status could not be written. Nobody's fault who could mend it by an edit: every one is worth another try.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("the API server did not answer in time")]
    TimedOut,
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

/// What one look has found and done so far.
struct Look<'a> {
    context: &'a Context,
    workspace: &'a StoredWorkspace,
    names: ChildNames,
    memory: &'a mut Memory,
    /// Whether there is no such kind.
    lacks_kind: bool,
    made: Made,
    again: Option<Duration>,
    failed: bool,
    unreachable: bool,
}

impl<'a> Look<'a> {
    /// Makes the children; `self.made` says how far that went.
    async fn make_real(&mut self, kind: Option<&WorkspaceKind>) {
        let Some(kind) = kind else {
            let message = format!("Workspace references unknown WorkspaceKind: {}", self.workspace.spec.kind);
            self.made.spec_fault = Some(Fault { reason: "WorkspaceKindNotFound", message });
            return;
        };
        let template = &kind.spec.pod_template;
        let input = self.workspace.render_input();
        let (options, fault) = render::resolve_options(template, &input.spec.pod_template.options);
        self.made.options = Some(options);
        self.made.service_account = Some(render::service_account_name(input, template));
        // Redirects that lead nowhere do not keep the selected options from running.
        self.made.spec_fault = fault.as_ref().map(Fault::from);
        let inputs = Inputs::new(self.workspace, kind, self.memory.held);
        if let Some(plan) = self.memory.plan.take_if(|plan| plan.is_for(&inputs)) {
            let settled = self.is_settled(&plan);
            self.note(&plan);
            self.memory.plan = Some(plan);
            if settled {
                return;
            }
        }
        match Plan::make(inputs, self.workspace, kind, &self.context.routing) {
            Ok((plan, desired)) => {
                self.note(&plan);
                self.apply(kind, plan, desired).await;
            }
            Err(fault) => {
                self.made.spec_fault = Some(Fault::from(&fault));
                self.made.route = RouteState::Unknown;
            }
        }
    }

    /// What the status says about a plan whose children are in place.
    fn note(&mut self, plan: &Plan) {
        self.made.left_out.clone_from(&plan.left_out);
        self.made.route = match &plan.route {
            RoutePlan::Off => RouteState::Off,
            RoutePlan::Wanted(_) if !self.context.routes_installed() => RouteState::NotInstalled,
            RoutePlan::Wanted(_) => RouteState::Ready,
            RoutePlan::Refused(fault) => RouteState::Fault(fault.into()),
        };
    }

    /// What the status says about children that the API server stores otherwise than they were applied.
    fn note_stored(&mut self) {
        let (names, memory) = (&self.names, &*self.memory);
        let children = [
            (ServiceAccount::KIND, &names.service_account, &memory.service_account),
            (StatefulSet::KIND, &names.stateful_set, &memory.stateful_set),
            (Service::KIND, &names.service, &memory.service),
            (VirtualService::KIND, &names.service, &memory.virtual_service),
        ];
        for (kind, name, ChildMemory { stored, .. }) in children {
            let is_there = kind != VirtualService::KIND || self.made.route == RouteState::Ready;
            if is_there && !stored.differences.is_empty() {
                self.made.changed.push(ChangedChild { kind, name: name.clone(), fields: stored.differences.clone() });
            }
        }
        let unsafe_headers = &memory.virtual_service.stored.unsafe_headers;
        if self.made.route == RouteState::Ready && !unsafe_headers.is_empty() {
            self.made.route = RouteState::Fault(Fault::of_stored_route(&names.service, unsafe_headers));
        }
    }

    /// Whether every child is as planned.
    fn is_settled(&self, plan: &Plan) -> bool {
        let stores = &self.context.stores;
        let memory = &*self.memory;
        let account = plan.service_account.as_ref();
        account.is_none_or(|hash| {
            self.children(stores.service_accounts()).is_settled(&self.account_key(), hash, &memory.service_account)
        }) && self.children(stores.stateful_sets()).is_settled(
            &self.set_key(),
            &plan.stateful_set,
            &memory.stateful_set,
        ) && self.children(stores.services()).is_settled(&self.service_key(), &plan.service, &memory.service)
            && match &plan.route {
                RoutePlan::Off => true,
                RoutePlan::Wanted(_) if !self.context.routes_installed() => true,
                RoutePlan::Wanted(hash) => self.children(stores.virtual_services()).is_settled(
                    &self.service_key(),
                    hash,
                    &memory.virtual_service,
                ),
                RoutePlan::Refused(fault) => {
                    let (key, routes) = (self.service_key(), self.children(stores.virtual_services()));
                    if fault.keeps_existing() {
                        routes.is_kept(&key, &memory.virtual_service)
                    } else {
                        !routes.exists(&key)
                    }
                }
            }
    }

    /// Makes every child as planned: account, set, Service, VirtualService.
    async fn apply(&mut self, kind: &WorkspaceKind, plan: Plan, mut desired: Box<Desired>) {
        let mut plan = plan;
        let context = self.context;
        // Service and VirtualService have the same metadata.
        let route_metadata = desired.service.metadata.clone();
        let stores = &context.stores;
        let (mut held, mut has_account) = (false, true);
        if let (Some(hash), Some(account)) = (&plan.service_account, &mut desired.service_account) {
            let (key, children) = (self.account_key(), self.children(stores.service_accounts()));
            let result = children.ensure(&key, hash, &mut self.memory.service_account, account).await;
            has_account = result.is_ok();
            held = match &result {
                Ok(_) => false,
                Err(ApplyError::Foreign { .. } | ApplyError::LeftBehind { .. }) => true,
                // Whose it is could not be found out: as before.
                Err(_) => self.memory.held,
            };
            self.take_pod(result);
        }
        if held != self.memory.held {
            // No pod may run as an account that is somebody else's; a set that exists is left without one.
            self.memory.held = held;
            let inputs = Inputs::new(self.workspace, kind, held);
            let Ok(made) = Plan::make(inputs, self.workspace, kind, &context.routing) else { return };
            (plan, desired) = made;
        }
        let (key, children, set) = (self.set_key(), self.children(stores.stateful_sets()), &mut desired.stateful_set);
        if has_account || children.exists(&key) {
            let result = children.ensure(&key, &plan.stateful_set, &mut self.memory.stateful_set, set).await;
            if matches!(result, Ok(true)) {
                self.memory.set_written = Some(Instant::now());
            }
            self.take_pod(result);
        }
        let (key, children) = (self.service_key(), self.children(stores.services()));
        let result = children.ensure(&key, &plan.service, &mut self.memory.service, &mut desired.service).await;
        self.take_pod(result);
        self.apply_route(&plan, &mut desired.route, &route_metadata).await;
        self.memory.plan = Some(plan);
    }

    async fn apply_route(&mut self, plan: &Plan, route: &mut Route, metadata: &ObjectMeta) {
        let (key, children) = (self.service_key(), self.children(self.context.stores.virtual_services()));
        let memory = &mut self.memory.virtual_service;
        let result = match (&plan.route, route) {
            (RoutePlan::Wanted(hash), Route::Wanted(route)) if self.context.routes_installed() => {
                children.ensure(&key, hash, memory, route).await
            }
            (RoutePlan::Refused(fault), _) if fault.keeps_existing() => children.keep(&key, metadata, memory).await,
            (RoutePlan::Refused(_), _) => children.remove(&key, memory).await,
            _ => return,
        };
        match result {
            Ok(_) => {}
            Err(ApplyError::NotInstalled { .. }) => self.made.route = RouteState::NotInstalled,
            Err(error) => {
                if self.is_told(&error) {
                    self.made.route = RouteState::Fault(Fault::from(&error));
                }
            }
        }
    }

    /// Takes the outcome for a child that the pod depends on. The first error is the one that is told.
    fn take_pod(&mut self, result: Result<bool, ApplyError>) {
        if let Err(error) = result
            && self.is_told(&error)
        {
            self.made.child_fault.get_or_insert_with(|| Fault::from(&error));
        }
    }

    /// Sees to it that there is another try; whether the status tells the error already.
    fn is_told(&mut self, error: &ApplyError) -> bool {
        let workspace = &self.workspace.identity.key;
        let said = error.without_quotes();
        match error.next() {
            Next::Retry => {
                tracing::warn!(%workspace, error = said, "a child is not as it should be; trying again");
                self.failed = true;
            }
            Next::Wait(after) => {
                tracing::debug!(%workspace, error = said, "a child has to wait");
                if let Some(after) = after {
                    self.look_again(after);
                }
            }
        }
        match error {
            ApplyError::Contested { .. } | ApplyError::LeftBehind { .. } => self.made.undecided = true,
            ApplyError::Unreachable { .. } => {
                self.unreachable = true;
                self.made.undecided |= self.memory.unreachable + 1 < TOLD_AFTER;
            }
            _ => {}
        }
        !self.made.undecided
    }

    fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Writes the status if it differs, not too soon after the last time.
    async fn write_status(&mut self) {
        let pod = self.pod();
        let facts = Facts { workspace: self.workspace, pod: pod.as_deref(), made: &self.made, now: Timestamp::now() };
        let (desired, again) = status::desired(facts);
        if let Some(after) = again {
            self.look_again(after);
        }
        if desired == self.workspace.status {
            return;
        }
        let waits_for_pod = pod.is_none() && desired.state == WorkspaceState::Unknown;
        let patience = self.memory.set_written.filter(|_| waits_for_pod).map(|written| written + POD_PATIENCE);
        // No flood brings a kind down, and whoever just made the Workspace waits for it.
        let paced = self.memory.status_written.filter(|_| !self.lacks_kind);
        let pause = paced.map(|written| written + STATUS_PAUSE);
        let left = patience.max(pause).map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if !left.is_zero() {
            self.look_again(left);
            return;
        }
        let value = |status: &WorkspaceStatus| serde_json::to_value(status).unwrap_or_default();
        let Some(change) = status::merge_patch(&value(&self.workspace.status), &value(&desired)) else { return };
        self.memory.status_written = Some(Instant::now());
        if let Err(error) = self.patch_status(change).await {
            tracing::warn!(workspace = %self.workspace.identity.key, %error, "the status could not be written; trying again");
            self.failed = true;
        }
    }

    /// The uid makes it a status of this Workspace, not of a later one with its name.
    async fn patch_status(&self, change: Value) -> Result<(), StatusError> {
        let Key { namespace, name } = &self.workspace.identity.key;
        let api: Api<Incoming<StoredWorkspace>> = Api::namespaced(self.context.client.clone(), namespace);
        let patch = Patch::Merge(json!({"metadata": {"uid": &*self.workspace.identity.uid}, "status": change}));
        let params = in_our_name();
        let request = api.patch_status(name, &params, &patch);
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Err(_) => Err(StatusError::TimedOut),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                // Unless it is the resource that is unknown.
                if names_object(&status) {
                    drop(self.context.stores.workspaces().remove(&self.workspace.identity));
                }
                Ok(())
            }
            Ok(answer) => {
                // What we wrote is no news.
                let workspace = answer?.object.map_err(StatusError::Answer)?;
                self.context.stores.workspaces().put_answer(workspace);
                Ok(())
            }
        }
    }

    /// The pod of our StatefulSet.
    fn pod(&self) -> Option<Arc<Pod>> {
        let stores = &self.context.stores;
        let set = stores.stateful_sets().get(&self.set_key());
        let set = set.filter(|set| set.is_owned_by(&self.workspace.identity.uid));
        let pod = stores.pods().get(&self.key(&self.names.pod()))?;
        let owner = pod
            .owner
            .as_ref()
            .filter(|owner| &*owner.kind == "StatefulSet" && *owner.name == *self.names.stateful_set)?;
        let ours = set.is_none_or(|set| set.identity.uid == owner.uid);
        ours.then_some(pod)
    }

    fn children<K: ChildKind>(&self, collection: &'a Collection<Child<K>>) -> Children<'a, K> {
        let Context { client, metrics, .. } = self.context;
        Children::new(client, metrics, &self.workspace.identity, collection)
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.workspace.identity.key.namespace, name)
    }

    fn account_key(&self) -> Key {
        self.key(&self.names.service_account)
    }

    fn set_key(&self) -> Key {
        self.key(&self.names.stateful_set)
    }

    fn service_key(&self) -> Key {
        self.key(&self.names.service)
    }
}
