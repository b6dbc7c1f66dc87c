//! The reconcile of one WorkspaceKind: its finalizer while Workspaces use it, and in its status how many use it and its
//! options, its images, and conditions.

mod acceptance;
mod counts;
mod finalizer;
mod icons;
mod references;
mod reported;
mod status;
mod status_write;

use std::sync::Arc;
use std::time::Duration;

use crds::conditions::Condition;
use crds::workspace_kind::{AssetConfigMap, WorkspaceKindStatus};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;
use webhook::Policy;

use super::engine::{ReconcileCause, Requeue};
use super::events::{EventRecorder, Regarding};
use super::span;
use crate::config::Routing;
use crate::metrics::Metrics;
use crate::stores::Stores;
use crate::stores::collection::Progress;
use crate::stores::kind::StoredKind;
use crate::stores::slim::Key;
use crate::stores::uid::Uid;
use acceptance::Trials;
use finalizer::Finalizer;
use icons::FoundImage;
use references::References;
use status::StatusFacts;

/// What every reconcile needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    pub policy: Policy,
    pub metrics: Arc<Metrics>,
    pub recorder: EventRecorder,
}

/// What is remembered of a kind between two reconciles.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The uid of the kind that this is about.
    uid: Uid,
    /// What the API server was asked about it.
    trials: Trials,
    /// Whether what it refers to exists, by the generation that this was found out of.
    references: Option<(i64, References)>,
    /// Why it is reconciled.
    cause: ReconcileCause,
    /// When its status was last written.
    status_written: Option<Instant>,
    /// The conditions that were last reported, for the CRDs of the Go controller have none.
    reported: Vec<Condition>,
}

/// Reconciles one kind.
pub(super) async fn reconcile(
    context: Arc<Context>,
    key: Key,
    cause: ReconcileCause,
    mut memory: Memory,
) -> (Memory, Requeue) {
    let Some(kind) = context.stores.kinds().get(&key) else { return (memory, Requeue::Forget) };
    if kind.identity.uid != memory.uid {
        memory = Memory { uid: kind.identity.uid.clone(), ..Memory::default() };
    }
    memory.cause = cause;
    span::record_generation(kind.generation());
    let requeue = reconcile_known(&context, &kind, &mut memory).await;
    (memory, requeue)
}

async fn reconcile_known(context: &Context, kind: &StoredKind, memory: &mut Memory) -> Requeue {
    let users = context.stores.count_workspaces_using_kind(kind.identity.key.name());
    let finalized = match finalizer::reconcile(context, kind, users, memory.cause).await {
        Ok(Finalizer::Released) => return Requeue::Done,
        Ok(Finalizer::Settled) => Requeue::Done,
        // An event of what is missing comes before, unless it is a Workspace that cannot be decoded.
        Ok(Finalizer::Outdated) => Requeue::Retry(None),
        Err(error) => {
            tracing::warn!(%error, "failed to change the finalizer; will retry");
            Requeue::Retry(None)
        }
    };
    // Counting all Workspaces for nothing at each change of one would cost as much as they do.
    let too_soon = status_write::too_soon(memory, Instant::now());
    if !too_soon.is_zero() {
        return finalized.or_after(Some(too_soon));
    }
    let (status, status_changes_after) = observe_status(context, kind, users, memory).await;
    let requeue = finalized.or_after(status_changes_after);
    match status_write::write(context, kind, &status, memory).await {
        // Also where nothing had to be written: the CRD may keep nothing of what has changed.
        Ok(()) => {
            let held = kind.kind.status.as_ref().map(|held| &*held.conditions).unwrap_or_default();
            let events = reported::report(held, &status.conditions, &mut memory.reported);
            context.recorder.record(Regarding::WorkspaceKind, &kind.identity, memory.cause, events);
            requeue
        }
        Err(_) => requeue.or_retry(),
    }
}

/// The status, and after how long it may become another one without any event.
async fn observe_status(
    context: &Context,
    kind: &StoredKind,
    workspaces: usize,
    memory: &mut Memory,
) -> (WorkspaceKindStatus, Option<Duration>) {
    let (stores, name) = (&context.stores, kind.identity.key.name());
    let (spec, generation) = (&kind.kind.spec, kind.generation());
    let held = kind.kind.status.clone().unwrap_or_default();
    let options = counts::option_counts(&spec.pod_template, |option| stores.workspaces_using_option(name, option, 0).0);
    let is_known = status::says_accepted(&held, generation, workspaces, &options);
    let (acceptance, again) = acceptance::reconcile(context, kind, &mut memory.trials, is_known).await;
    let found = memory.references.take().filter(|(of, _)| *of == generation);
    let (_, references) =
        memory.references.insert(found.unwrap_or_else(|| (generation, References::of(spec, &context.policy))));
    let find = |source: &AssetConfigMap| find_image(stores, source);
    let status = status::desired(StatusFacts {
        generation,
        held: &held,
        workspaces,
        options,
        icon: icons::asset_status(&spec.spawner.icon, held.spawner_icon.as_ref(), find),
        logo: icons::asset_status(&spec.spawner.logo, held.spawner_logo.as_ref(), find),
        acceptance: &acceptance,
        references,
        now: Timestamp::now(),
    });
    (status, again)
}

fn find_image(stores: &Stores, source: &AssetConfigMap) -> FoundImage {
    let sources = stores.image_sources();
    match (sources.progress(), sources.get(&Key::new(&source.namespace, &source.name))) {
        (Progress::Listing, _) => FoundImage::Unknown,
        (Progress::Forbidden, _) => FoundImage::Forbidden,
        (Progress::Synced | Progress::NotInstalled, None) => FoundImage::NoConfigMap,
        (Progress::Synced | Progress::NotInstalled, Some(found)) => {
            found.sha256(&source.key).map_or(FoundImage::NoKey, FoundImage::Sha256)
        }
    }
}
