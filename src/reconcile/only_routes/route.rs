//! The route of one Workspace: to the Service that exists for it, whatever it is called, and none while there is none.

use std::sync::Arc;

use crds::workspace::WorkspaceStatus;

use super::super::apply::{ApplyError, ChildApi, ChildMemory, Hash, Next, StoredDifference, hash};
use super::super::engine::{ReconcileCause, Requeue};
use super::super::span;
use super::super::workspace::kept_without_pod;
use super::context::Context;
use super::undone::Undone;
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
    undone: Undone,
    /// Whether it is known that none of its VirtualServices is hidden by a lost label.
    has_looked: bool,
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
        context.states.set(&key, None);
        return (memory, Requeue::Forget);
    };
    span::record_generation(workspace.generation);
    let RouteOutcome { state, note, requeue } = reconcile_route(&context, &workspace, cause, &mut memory).await;
    let is_other_state = context.states.set(&key, Some(state));
    match &note {
        Some(text) if is_other_state || memory.note != note => tracing::warn!(route = state.as_str(), "{text}"),
        _ => {}
    }
    memory.note = note;
    (memory, requeue)
}

async fn reconcile_route(
    context: &Context,
    workspace: &StoredWorkspace,
    cause: ReconcileCause,
    memory: &mut Memory,
) -> RouteOutcome {
    let identity = &workspace.identity;
    let mut fixed = Fixed::new(identity.key.name(), &identity.uid);
    let routes = match existing(context, workspace, &fixed, cause, memory).await {
        Ok(routes) => routes,
        Err(error) => return RouteOutcome::failed(&error),
    };
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
    if kept.is_some() {
        memory.route.expect_existing();
    }
    match service(context, identity, &fixed, kept.is_some(), cause).await {
        Ok(Some(service)) => fixed.names.service = service,
        Ok(None) => return without_service(context, (identity, cause), &routes, memory).await,
        Err(error) => return RouteOutcome::failed(&error),
    }
    let (action, refused) = match desired(context, workspace, fixed) {
        Ok(desired) => desired,
        Err(unrendered) => return RouteOutcome::done(RouteState::Unrendered, Some(unrendered)),
    };
    if let (Action::Apply(_), Some(_), Some(left)) = (&action, kept, memory.undone.left_for()) {
        let note = format!(
            "another client undoes again and again what is applied to VirtualService {name}, which is left to it for some \
             minutes: if that is the Go controller, set its USE_ISTIO to false and restart it"
        );
        let requeue = Requeue::After(left);
        return RouteOutcome { state: RouteState::OfAnother, note: Some(note), requeue };
    }
    match (write(context, (identity, cause), &routes, action, memory).await, refused) {
        (Err(error), _) => RouteOutcome::failed(&error),
        (Ok(()), Some(fault)) => RouteOutcome::done(RouteState::Refused, Some(fault)),
        (Ok(()), None) => RouteOutcome::done(RouteState::InPlace, changed(&memory.route.stored())),
    }
}

/// The VirtualServices of the Workspace. One that is not in the cache, where there was one or may have been before the start, may only
/// have lost the label that it is watched by.
async fn existing(
    context: &Context,
    workspace: &StoredWorkspace,
    fixed: &Fixed,
    cause: ReconcileCause,
    memory: &mut Memory,
) -> Result<Vec<Arc<Child>>, ApplyError> {
    let (routes, identity) = (context.stores.children(ChildKind::VirtualService), &workspace.identity);
    let cached = routes.owned_by(identity, &fixed.names);
    // They go with their CRD.
    if routes.progress() != Progress::Synced {
        return Ok(cached);
    }
    let is_first_look = !memory.has_looked;
    let is_new = || workspace.status.unpack() == WorkspaceStatus::default();
    let may_be_hidden = cached.is_empty() && (memory.route.existed() || (is_first_look && !is_new()));
    let found = if may_be_hidden {
        api(context, ChildKind::VirtualService, identity, cause).list_owned().await?
    } else {
        cached
    };
    memory.has_looked = true;
    if may_be_hidden && is_first_look {
        for route in &found {
            context.leftovers.add(&route.identity);
        }
    }
    Ok(found)
}

/// What is to be done about the VirtualService, and why none can be applied; or why it cannot be rendered.
fn desired(
    context: &Context,
    workspace: &StoredWorkspace,
    fixed: Fixed,
) -> Result<(RouteAction, Option<String>), String> {
    // Known by now, if there is one: it was needed for the Service.
    let kind = context.stores.kind(&workspace.spec.kind).ok_or("there is no such WorkspaceKind")?;
    match render::render_route(workspace.render_input(), fixed, &kind.spec, &context.routing) {
        Ok(Route::Wanted(route)) => Ok((apply(route), None)),
        // Both without a route: the settings do not allow the first.
        Ok(Route::Off) => Ok((Action::Delete, None)),
        Ok(Route::Refused(fault)) => Ok((fault.action(), Some(fault.to_string()))),
        Err(fault) => Err(unrendered(&fault)),
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
    let stays = !matches!(action, Action::Delete);
    let applied = if let Action::Apply((hash, _)) = &action { Some(*hash) } else { None };
    if stays
        && api.act(&key, action, &mut memory.route).await?
        && let Some(hash) = applied
    {
        memory.undone.written(hash);
    }
    // One that is kept is still the Go controller's.
    if applied.is_some() {
        context.leftovers.settle(&key);
    }
    let goes = |route: &Child| !(stays && route.identity.key == key);
    for route in routes.iter().filter(|route| goes(route) && !route.identity.deleting && route.is_of_controller()) {
        api.delete(&route.identity).await?;
        context.leftovers.settle(&route.identity.key);
    }
    if !stays {
        memory.route = ChildMemory::default();
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

/// The name of the Service of the Workspace, by its owner: it is the Go controller's, and has a random name. Where a route leads
/// to one that is not in the cache, it may only have lost the label that it is watched by.
async fn service(
    context: &Context,
    workspace: &Identity,
    fixed: &Fixed,
    has_route: bool,
    cause: ReconcileCause,
) -> Result<Option<String>, ApplyError> {
    let usable = |mut services: Vec<Arc<Child>>| {
        services.retain(|service| !service.identity.deleting && service.is_of_controller());
        services
    };
    let mut services = usable(context.stores.children(ChildKind::Service).owned_by(workspace, &fixed.names));
    if services.is_empty() && has_route {
        services = usable(api(context, ChildKind::Service, workspace, cause).list_owned().await?);
    }
    Ok(kept_without_pod(&services).map(|service| service.identity.key.name().to_owned()))
}

/// A route would lead nowhere, or to whoever makes a Service of that name.
async fn without_service(
    context: &Context,
    of: (&Identity, ReconcileCause),
    routes: &[Arc<Child>],
    memory: &mut Memory,
) -> RouteOutcome {
    // They go with their CRD.
    if context.stores.children(ChildKind::VirtualService).progress() == Progress::Synced
        && let Err(error) = write(context, of, routes, Action::Delete, memory).await
    {
        return RouteOutcome::failed(&error);
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
