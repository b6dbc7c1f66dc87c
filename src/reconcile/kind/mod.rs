//! The reconcile of one WorkspaceKind: its finalizer while Workspaces use it, and how many use it and its options, in its
//! status.

mod counts;
mod finalizer;
mod icons;
mod status;
mod status_write;

use std::sync::Arc;
use std::time::Duration;

use crds::workspace_kind::AssetConfigMap;
use kube::Client;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::engine::{ReconcileCause, Requeue};
use crate::stores::Stores;
use crate::stores::collection::Progress;
use crate::stores::kind::StoredKind;
use crate::stores::slim::Key;
use finalizer::Finalizer;
use icons::FoundImage;
use status::StatusFacts;

/// How soon a kind is reconciled again that the stores do not have as it is, if no event comes before.
const OUTDATED_AGAIN: Duration = Duration::from_secs(1);

/// What every reconcile needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
}

/// What is remembered of a kind between two reconciles.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The uid of the kind that this is about.
    uid: Box<str>,
    /// When its status was last written.
    status_written: Option<Instant>,
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
    let (generation, cause) = (kind.generation(), cause.as_str());
    let span = tracing::error_span!("reconcile", object = %key, generation, cause);
    let requeue = reconcile_known(&context, &kind, &mut memory).instrument(span).await;
    (memory, requeue)
}

async fn reconcile_known(context: &Context, kind: &StoredKind, memory: &mut Memory) -> Requeue {
    let stores = &context.stores;
    let name = &kind.identity.key.name;
    let workspaces = stores.count_workspaces_using_kind(name);
    let finalized = match finalizer::reconcile(context, kind, workspaces).await {
        Ok(Finalizer::Released) => return Requeue::Done,
        Ok(Finalizer::Settled) => Requeue::Done,
        Ok(Finalizer::Outdated) => Requeue::After(OUTDATED_AGAIN),
        Err(error) => {
            tracing::warn!(%error, "failed to change the finalizer; will retry");
            Requeue::Retry(None)
        }
    };
    let template = &kind.kind.spec.pod_template;
    let options = counts::option_counts(template, |option| stores.workspaces_using_option(name, option, 0).0);
    let find = |source: &AssetConfigMap| find_image(stores, source);
    let held = kind.kind.status.as_ref();
    let spawner = &kind.kind.spec.spawner;
    let icon = icons::asset_status(&spawner.icon, held.and_then(|held| held.spawner_icon.as_ref()), find);
    let logo = icons::asset_status(&spawner.logo, held.and_then(|held| held.spawner_logo.as_ref()), find);
    let facts = StatusFacts { kind, workspaces, options, icon, logo };
    match status_write::write(context, kind, &status::desired(facts), memory).await {
        Ok(too_soon_for) => finalized.or_after(too_soon_for),
        Err(_) => finalized.or_retry(),
    }
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
