//! The route of one Workspace: to the Service that exists for it, whatever it is called, and none while there is none.

use std::sync::Arc;

use tracing::Instrument as _;

use super::super::apply::{ApplyError, ChildApi, ChildMemory, Hash, Next, StoredDifference, hash};
use super::super::engine::{ReconcileCause, Requeue};
use super::super::workspace::kept_without_pod;
use super::Context;
use crate::metrics::RouteState;
use crate::render::names::Fixed;
use crate::render::{self, Action, ChildKind, Manifest, RenderFault, Route, describe_headers};
use crate::stores::child::Child;
use crate::stores::collection::Progress;
use crate::stores::slim::{Identity, Key};
use crate::stores::uid::Uid;
use crate::stores::workspace::StoredWorkspace;

/// What is remembered of a Workspace between two reconciles. Losing it costs reads, never a write.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The uid of the Workspace that this is about.
    uid: Uid,
    /// The name of its VirtualService.
    name: String,
    route: ChildMemory,
    /// What was last logged about its route.
    note: Option<String>,
}

/// What became of a route.
struct RouteOutcome {
    state: RouteState,
    /// What there is to say about it, without a value of a user.
    note: Option<String>,
    requeue: Requeue,
}

impl RouteOutcome {
    fn done(state: RouteState, note: Option<String>) -> Self {
        Self { state, note, requeue: Requeue::Done }
    }

    fn failed(error: &ApplyError) -> Self {
        error.log();
        let requeue = match error.next() {
            Next::Retry => Requeue::Retry(None),
            Next::Wait(pause) => Requeue::Done.or_after(pause),
        };
        let refused =
            "refused: `kubectl apply --dry-run=server` says why, of what `workspaces-controller render` prints";
        let note = error.is_refusal().then(|| refused.to_owned());
        Self { state: RouteState::Failed, note, requeue }
    }
}

/// Reconciles the route of one Workspace.
pub(super) async fn reconcile(
    context: Arc<Context>,
    key: Key,
    cause: ReconcileCause,
    mut memory: Memory,
) -> (Memory, Requeue) {
    let is_reconciled = context.stores.is_reconciled(key.namespace());
    let workspace = context.stores.workspaces().get(&key).filter(|known| is_reconciled && !known.identity.deleting);
    let uid = workspace.as_ref().map(|workspace| workspace.identity.uid.clone()).unwrap_or_default();
    if uid != memory.uid {
        // The previous reconcile may just have written the route of a Workspace that is gone.
        context.stores.abandon_routes(&key, &memory.uid);
        memory = Memory { uid, ..Memory::default() };
    }
    let Some(workspace) = workspace else {
        context.states.set(&key, None, &context.metrics);
        return (memory, Requeue::Forget);
    };
    let span =
        tracing::error_span!("reconcile", object = %key, generation = workspace.generation, cause = cause.as_str());
    let requeue = async {
        let RouteOutcome { state, note, requeue } = reconcile_route(&context, &workspace, cause, &mut memory).await;
        let is_other_state = context.states.set(&key, Some(state), &context.metrics);
        match &note {
            Some(text) if is_other_state || memory.note != note => tracing::warn!(route = state.as_str(), "{text}"),
            _ => {}
        }
        memory.note = note;
        requeue
    };
    let requeue = requeue.instrument(span).await;
    (memory, requeue)
}

async fn reconcile_route(
    context: &Context,
    workspace: &StoredWorkspace,
    cause: ReconcileCause,
    memory: &mut Memory,
) -> RouteOutcome {
    let (stores, identity) = (&context.stores, &workspace.identity);
    let mut fixed = Fixed::new(identity.key.name(), &identity.uid);
    let routes = stores.children(ChildKind::VirtualService).owned_by(identity, &fixed.names);
    if let Some(route) = routes.iter().find(|route| context.leftovers.is_written_by_peer(route)) {
        let name = route.identity.key.name();
        let note = format!(
            "the Go controller writes VirtualService {name}, which is left to it: set its USE_ISTIO to false and restart it, \
             then restart this one with --take-over-routes"
        );
        return RouteOutcome::done(RouteState::OfAnother, Some(note));
    }
    let kept = kept_without_pod(&routes);
    if let Some(kept) = kept {
        kept.identity.key.name().clone_into(&mut fixed.names.virtual_service);
    }
    let name = fixed.names.virtual_service.clone();
    if memory.name != name {
        (memory.name, memory.route) = (name.clone(), ChildMemory::default());
    }
    match service(context, identity, &fixed, kept.is_some(), cause).await {
        Ok(Some(service)) => fixed.names.service = service,
        Ok(None) => return without_service(context, identity, &name, cause, memory).await,
        Err(error) => return RouteOutcome::failed(&error),
    }
    // Known by now, if there is one: it was needed for the Service.
    let Some(kind) = stores.kind(&workspace.spec.kind) else {
        return RouteOutcome::done(RouteState::Unrendered, Some("there is no such WorkspaceKind".to_owned()));
    };
    let rendered = render::render_route(workspace.render_input(), fixed, &kind.spec, &context.routing);
    let (action, refused) = match rendered {
        Ok(Route::Wanted(route)) => (apply(route), None),
        // Both without a route: the settings do not allow the first.
        Ok(Route::Off) => (Action::Delete, None),
        Ok(Route::Refused(fault)) => (fault.action(), Some(fault.to_string())),
        Err(fault) => return RouteOutcome::done(RouteState::Unrendered, Some(unrendered(&fault))),
    };
    match (write(context, (identity, cause), &routes, action, memory).await, refused) {
        (Err(error), _) => RouteOutcome::failed(&error),
        (Ok(()), Some(fault)) => RouteOutcome::done(RouteState::Refused, Some(fault)),
        (Ok(()), None) => RouteOutcome::done(RouteState::InPlace, changed(&memory.route.stored())),
    }
}

/// Does what is to be done about the VirtualService, and deletes all others of the Workspace that a controller made.
async fn write(
    context: &Context,
    (workspace, cause): (&Identity, ReconcileCause),
    routes: &[Arc<Child>],
    action: RouteAction,
    memory: &mut Memory,
) -> Result<(), ApplyError> {
    let api = api(context, ChildKind::VirtualService, workspace, cause);
    let key = Key::new(workspace.key.namespace(), &memory.name);
    api.act(&key, action, &mut memory.route).await?;
    context.leftovers.settle(&key);
    for second in routes.iter().filter(|route| is_second(route, &memory.name)) {
        api.delete(&second.identity).await?;
        context.leftovers.settle(&second.identity.key);
    }
    Ok(())
}

/// What is to be done about a VirtualService.
type RouteAction = Action<(Hash, Box<dyn Manifest>)>;

fn api<'a>(context: &'a Context, kind: ChildKind, owner: &'a Identity, cause: ReconcileCause) -> ChildApi<'a> {
    ChildApi::new(kind, &context.client, &context.metrics, owner, context.stores.children(kind)).because(cause)
}

fn apply(route: Box<impl Manifest + 'static>) -> RouteAction {
    Action::Apply((hash(&*route), route))
}

fn is_second(route: &Child, kept: &str) -> bool {
    route.identity.key.name() != kept && !route.identity.deleting && route.is_of_controller()
}

/// The name of the Service of the Workspace, by its owner: it is the Go controller's, and has a random name. Where a route leads
/// to one that is not in the cache, it may only have lost the label that it is watched by.
async fn service(
    context: &Context,
    workspace: &Identity,
    fixed: &Fixed,
    has_route: bool,
    cause: ReconcileCause,
) -> Result<Option<String>, ApplyError> {
    let mut services = context.stores.children(ChildKind::Service).owned_by(workspace, &fixed.names);
    if services.is_empty() && has_route {
        services = api(context, ChildKind::Service, workspace, cause).list_owned().await?;
    }
    services.retain(|service| !service.identity.deleting && service.is_of_controller());
    Ok(kept_without_pod(&services).map(|service| service.identity.key.name().to_owned()))
}

/// A route would lead nowhere, or to whoever makes a Service of that name.
async fn without_service(
    context: &Context,
    workspace: &Identity,
    name: &str,
    cause: ReconcileCause,
    memory: &mut Memory,
) -> RouteOutcome {
    let routes = context.stores.children(ChildKind::VirtualService);
    let key = Key::new(workspace.key.namespace(), name);
    // It goes with its CRD.
    if routes.progress() == Progress::Synced {
        let api = api(context, ChildKind::VirtualService, workspace, cause);
        if let Err(error) = api.act(&key, Action::Delete, &mut memory.route).await {
            return RouteOutcome::failed(&error);
        }
    }
    RouteOutcome::done(RouteState::Waiting, None)
}

/// What is wrong, by the field, without what its user wrote there.
fn unrendered(fault: &RenderFault) -> String {
    let why = match fault {
        RenderFault::ImageConfig(_) => "its imageConfig is not one of the kind",
        RenderFault::PodConfig(_) => "its podConfig is not one of the kind",
        RenderFault::Name => "its name is not a DNS label",
        RenderFault::DuplicatePort(_) => "two ports of its imageConfig have one number",
        RenderFault::Env { .. } => "a variable of its kind cannot be rendered",
    };
    format!("its route stays as it is: {why}")
}

/// What a mutating webhook made of the route.
fn changed(stored: &StoredDifference) -> Option<String> {
    let StoredDifference { differences, unsafe_headers } = stored;
    if !unsafe_headers.is_empty() {
        return Some(format!(
            "its VirtualService is stored otherwise than it was applied: {}",
            describe_headers(unsafe_headers)
        ));
    }
    (!differences.is_empty()).then(|| format!("a mutating webhook changed its VirtualService: {differences}"))
}
