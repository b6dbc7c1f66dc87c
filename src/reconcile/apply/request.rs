//! The requests for one child, each with a timeout, and with the meaning of its answer.

use std::future::Future;
use std::sync::Arc;

use crds::labels::FIELD_MANAGER;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client, Resource as _};
use serde_json::json;

use super::super::engine::ReconcileCause;
use super::error::ApplyError;
use super::response::Meaning;
use crate::client::{CallError, in_time};
use crate::metrics::Metrics;
use crate::render::{ChildKind, ChildRow, Manifest};
use crate::stores::child::{Child, ChildObject, ChildType, WholeChild};
use crate::stores::collection::Collection;
use crate::stores::slim::{Identity, Incoming};

/// No object has this resourceVersion: with it as a precondition an apply can only create. Every other version conflicts.
const MUST_NOT_EXIST: &str = "1";

/// What has to be true for an apply to change anything.
pub(super) enum Precondition<'a> {
    /// No object has the name.
    Absent,
    /// The object has this uid.
    Uid(&'a str),
}

/// Whether an apply is stored.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Purpose {
    /// It is.
    Write,
    /// Only the answer counts: what would be stored.
    DryRun,
}

/// Why a request failed.
pub(super) enum RequestError {
    /// The object is not the one that was expected.
    Outdated(String),
    /// Fields left over from another manager's update strategy conflict with ours.
    UpdateStrategyConflict(String),
    /// The RoleBinding grants another role.
    RoleRefConflict(String),
    /// Anything else.
    Failed(ApplyError),
}

/// The parameters of a patch that is not an apply.
pub(in crate::reconcile) fn as_field_manager() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Where the child of one kind of a Workspace is read and written.
pub(in crate::reconcile) struct ChildApi<'a> {
    pub(super) row: &'static ChildRow,
    /// The kind in the API version that is served.
    pub(super) of: ChildType,
    pub(super) api: Api<Incoming<WholeChild>>,
    pub(super) collection: &'a Collection<Child>,
    pub(super) owner: &'a Identity,
    pub(super) metrics: &'a Metrics,
    cause: ReconcileCause,
}

impl<'a> ChildApi<'a> {
    /// For the child of that kind of the Workspace `owner`.
    pub fn new(
        kind: ChildKind,
        client: &Client,
        metrics: &'a Metrics,
        owner: &'a Identity,
        collection: &'a Collection<Child>,
    ) -> Self {
        let of = ChildType::served(kind, collection);
        let api = Api::namespaced_with(client.clone(), owner.key.namespace(), &of);
        Self { row: kind.row(), of, api, collection, owner, metrics, cause: ReconcileCause::default() }
    }

    /// The same, with why the Workspace is reconciled.
    #[must_use]
    pub fn because(self, cause: ReconcileCause) -> Self {
        Self { cause, ..self }
    }
}

impl ChildApi<'_> {
    /// The child was written or deleted.
    pub(super) fn count_write(&self) {
        self.metrics.written(self.row.plural, self.cause.label());
    }

    /// The child was scaled.
    pub(super) fn count_scale(&self) {
        self.metrics.written("statefulsets/scale", self.cause.label());
    }

    /// What is kept of the object of that name, as the API server has it.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Arc<Child>>, ApplyError> {
        Ok(self.read(name).await?.map(|stored| Arc::new(stored.child)))
    }

    /// The object of that name, with its spec.
    pub(in crate::reconcile) async fn read(&self, name: &str) -> Result<Option<WholeChild>, ApplyError> {
        match self.request(name, self.api.get(name)).await {
            Ok(incoming) => incoming.object.map(Some).map_err(|why| self.unreachable(name, why)),
            Err(RequestError::Outdated(_)) => Ok(None),
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// All that belong to the Workspace and that a controller made, of all in its namespace, whatever their labels.
    pub async fn list_owned(&self) -> Result<Vec<Arc<Child>>, ApplyError> {
        const ALL: &str = "(list)";
        let list = match self.request(ALL, self.api.list(&ListParams::default())).await {
            Ok(list) => list,
            Err(error) => return Err(self.error(ALL, error)),
        };
        let children = list.items.into_iter().filter_map(|incoming| Some(incoming.object.ok()?.child));
        let is_wanted = |child: &Child| child.is_owned_by(&self.owner.uid) && child.is_of_controller();
        Ok(children.filter(is_wanted).map(Arc::new).collect())
    }

    /// Applies `object`; the answer is what is stored.
    pub(super) async fn write(
        &self,
        object: &mut dyn Manifest,
        precondition: Precondition<'_>,
    ) -> Result<WholeChild, RequestError> {
        self.send(object, precondition, Purpose::Write).await
    }

    pub(super) async fn send(
        &self,
        object: &mut dyn Manifest,
        precondition: Precondition<'_>,
        purpose: Purpose,
    ) -> Result<WholeChild, RequestError> {
        let metadata = object.metadata();
        let name = metadata.name.clone().unwrap_or_default();
        (metadata.resource_version, metadata.uid) = match precondition {
            Precondition::Absent => (Some(MUST_NOT_EXIST.to_owned()), None),
            Precondition::Uid(uid) => (None, Some(uid.to_owned())),
        };
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.dry_run = purpose == Purpose::DryRun;
        let unwritable = |why: serde_json::Error| RequestError::Failed(self.unreachable(&name, why.to_string()));
        let patch = Patch::Apply(object.body(&ChildObject::api_version(&self.of)).map_err(unwritable)?);
        let answer = self.request(&name, self.api.patch(&name, &params, &patch)).await?;
        answer.object.map_err(|why| RequestError::Failed(self.unreachable(&name, why)))
    }

    /// Apply cannot remove `rollingUpdate`, set by another manager, from a StatefulSet's `updateStrategy`, and the API server
    /// refuses it beside `OnDelete`.
    pub(super) async fn replace_update_strategy(&self, of: &Identity, object: &dyn Manifest) -> Result<(), ApplyError> {
        let desired = object.value();
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": &*of.uid},
            {"op": "replace", "path": "/spec/updateStrategy", "value": desired["spec"]["updateStrategy"]},
        ]);
        let Ok(patch) = serde_json::from_value(patch) else { return Ok(()) };
        let name = of.key.name();
        self.request(name, self.api.patch(name, &as_field_manager(), &Patch::<()>::Json(patch)))
            .await
            .map_err(|error| self.error(name, error))?;
        tracing::info!(kind = self.row.kind, child = name, "update strategy replaced");
        self.count_write();
        Ok(())
    }

    pub(super) async fn request<T>(
        &self,
        name: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RequestError> {
        in_time(request).await.map_err(|error| match error {
            CallError::Api(kube::Error::Api(status)) => self.refusal(name, *status),
            error => RequestError::Failed(self.unreachable(name, error.to_string())),
        })
    }

    fn refusal(&self, name: &str, status: Status) -> RequestError {
        let (kind, name) = (self.row.kind, name.to_owned());
        let meaning = Meaning::of(&status);
        let message = status.message;
        match meaning {
            // Only the watch knows, and reports when that changes. Nothing would end the wait for it where it does not say so.
            Meaning::NotServed if !self.is_installed() => RequestError::Failed(ApplyError::NotInstalled { kind }),
            Meaning::Outdated => RequestError::Outdated(message),
            Meaning::TooLarge => RequestError::Failed(ApplyError::TooLarge { kind, name, message }),
            Meaning::UpdateStrategyConflict => RequestError::UpdateStrategyConflict(message),
            Meaning::RoleRefConflict => RequestError::RoleRefConflict(message),
            Meaning::Refused => RequestError::Failed(ApplyError::Refused { kind, name, message }),
            Meaning::NotServed | Meaning::Unreachable => RequestError::Failed(self.unreachable(&name, message)),
        }
    }

    pub(super) fn unreachable(&self, name: &str, why: String) -> ApplyError {
        ApplyError::Unreachable { kind: self.row.kind, name: name.to_owned(), why }
    }

    pub(super) fn error(&self, name: &str, error: RequestError) -> ApplyError {
        match error {
            RequestError::Outdated(why) => self.unreachable(name, why),
            RequestError::UpdateStrategyConflict(message) | RequestError::RoleRefConflict(message) => {
                ApplyError::Refused { kind: self.row.kind, name: name.to_owned(), message }
            }
            RequestError::Failed(error) => error,
        }
    }
}
