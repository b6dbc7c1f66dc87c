//! The children of a Workspace: the one list of the objects that it consists of.
//!
//! The stores, readiness, the order of apply, the triggers on drift, the output of `render` and the test of the chart's
//! ClusterRole follow from it. To add a child: its renderer in this folder, its row and its line in [`Desired`] here, and
//! its rule in the ClusterRole.

use std::ops::Index;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::Value;

use super::context::RenderContext;
use super::fault::RenderFault;
use super::manifest::{Action, Manifest};
use super::names::ChildNames;
use super::virtual_service::{self, Route, UnsafeHeader};
use super::volumes::SkippedMount;
use super::{role_bindings, service, service_account, stateful_set};
use crate::config::Routing;
use crate::istio::{self, VirtualService};

macro_rules! children {
    ($($(#[$doc:meta])* $kind:ident = $row:expr;)+) => {
        /// The kind of a child.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum ChildKind {
            $($(#[$doc])* $kind,)+
        }

        impl ChildKind {
            /// All of them, in the order in which they are applied.
            // The names are only counted: an array type needs its length.
            pub const ALL: [Self; [$(stringify!($kind)),+].len()] = [$(Self::$kind),+];

            /// Its row in the list.
            pub const fn row(self) -> &'static ChildRow {
                match self {
                    $(Self::$kind => const { &$row },)+
                }
            }
        }
    };
}

children! {
    /// The account that the pod runs as. First, because no pod may run under an account of another owner.
    ServiceAccount = ChildRow::of::<ServiceAccount>(Serves::Pod).without_spec();
    /// What the account may do in its namespace: one for each ClusterRole of the kind.
    RoleBinding = ChildRow::of::<RoleBinding>(Serves::Neither).without_spec();
    /// The pod.
    StatefulSet = ChildRow::of::<StatefulSet>(Serves::Pod);
    /// The ports of the pod.
    Service = ChildRow::of::<Service>(Serves::Pod);
    /// The route from outside to the ports.
    VirtualService = ChildRow::of::<VirtualService>(Serves::Route)
        .or_served_as(istio::OLDER_VERSIONS)
        .checked_by(virtual_service::check_stored);
}

impl ChildKind {
    /// The name of the only child of that kind; none where there may be several.
    pub fn name(self, names: &ChildNames) -> Option<&str> {
        match self {
            Self::ServiceAccount => Some(&names.service_account),
            Self::RoleBinding => None,
            Self::StatefulSet => Some(&names.stateful_set),
            Self::Service => Some(&names.service),
            Self::VirtualService => Some(&names.virtual_service),
        }
    }
}

/// Whether the pod or the route depends on a child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Serves {
    /// Its pod. Every API server has the resource.
    Pod,
    /// Both are there without it, so what is wrong with it stops neither.
    Neither,
    /// Its route. Neither the resource nor the child exists without Istio.
    Route,
}

/// What is known of a kind of children.
#[derive(Debug)]
pub struct ChildRow {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The API version.
    pub version: &'static str,
    /// Older API versions of the same content, for API servers that do not serve `version`; the preferred one first.
    pub older_versions: &'static [&'static str],
    /// The kind.
    pub kind: &'static str,
    /// The resource: the plural in paths and RBAC rules.
    pub plural: &'static str,
    /// What depends on it.
    pub serves: Serves,
    /// Whether it has a spec.
    pub has_spec: bool,
    /// The headers in a stored spec that may break the routes of other Workspaces.
    pub check_stored: fn(&Value) -> Vec<UnsafeHeader>,
}

impl ChildRow {
    /// What the controller does with children: server-side apply is a patch, which also creates. The garbage collector deletes
    /// them; what a Workspace has too many of, or loses before it goes, the controller does.
    pub const VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

    const fn of<K: Resource>(serves: Serves) -> Self {
        Self {
            group: K::GROUP,
            version: K::VERSION,
            older_versions: &[],
            kind: K::KIND,
            plural: K::URL_PATH_SEGMENT,
            serves,
            has_spec: true,
            check_stored: |_| Vec::new(),
        }
    }

    /// The API versions in which it may be served; the preferred one first.
    pub fn versions(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.version).chain(self.older_versions.iter().copied())
    }

    const fn or_served_as(self, older_versions: &'static [&'static str]) -> Self {
        Self { older_versions, ..self }
    }

    const fn without_spec(self) -> Self {
        Self { has_spec: false, ..self }
    }

    const fn checked_by(self, check_stored: fn(&Value) -> Vec<UnsafeHeader>) -> Self {
        Self { check_stored, ..self }
    }
}

/// One `T` for each kind of children.
#[derive(Debug, Default)]
pub struct PerChild<T>([T; ChildKind::ALL.len()]);

impl<T> Index<ChildKind> for PerChild<T> {
    type Output = T;

    fn index(&self, kind: ChildKind) -> &T {
        &self.0[kind as usize]
    }
}

/// What should exist for a Workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The account that the pod runs as; none where the kind names an existing one.
    pub service_account: Option<ServiceAccount>,
    /// What the account may do: one for each ClusterRole of the kind.
    pub role_bindings: Vec<RoleBinding>,
    /// The pod.
    pub stateful_set: StatefulSet,
    /// The ports of the pod.
    pub service: Service,
    /// The route to the ports.
    pub route: Route,
    /// The name of the VirtualService.
    pub route_name: String,
    /// Mounts of the kind or the Workspace that could not be made, because another one has their path.
    pub skipped_mounts: Vec<SkippedMount>,
}

impl Desired {
    pub(super) fn render(context: &RenderContext<'_>, routing: &Routing) -> Result<Self, RenderFault> {
        let (stateful_set, skipped_mounts) = stateful_set::desired(context)?;
        Ok(Self {
            service_account: service_account::desired(context),
            role_bindings: role_bindings::desired(context),
            stateful_set,
            service: service::desired(context),
            route: virtual_service::desired(context, routing),
            route_name: context.fixed.names.virtual_service.clone(),
            skipped_mounts,
        })
    }

    /// What is to be done about each child, in the order in which it is done; nothing about those that are neither made nor
    /// deleted.
    pub fn into_actions(self) -> Vec<ChildAction<Box<dyn Manifest>>> {
        // Without `..`: a child that is forgotten here does not compile.
        let Self { service_account, role_bindings, stateful_set, service, route, route_name, skipped_mounts: _ } = self;
        let mut virtual_service = match route {
            Route::Off => None,
            Route::Wanted(route) => Some(ChildAction::apply(ChildKind::VirtualService, *route)),
            Route::Refused(fault) => {
                let (kind, name) = (ChildKind::VirtualService, route_name.into());
                Some(ChildAction { kind, name, action: fault.action() })
            }
        };
        let mut role_bindings: Vec<_> =
            role_bindings.into_iter().map(|binding| ChildAction::apply(ChildKind::RoleBinding, binding)).collect();
        let mut service_account = service_account.map(|account| ChildAction::apply(ChildKind::ServiceAccount, account));
        let mut stateful_set = Some(ChildAction::apply(ChildKind::StatefulSet, stateful_set));
        let mut service = Some(ChildAction::apply(ChildKind::Service, service));
        let mut actions = Vec::new();
        for kind in ChildKind::ALL {
            match kind {
                ChildKind::ServiceAccount => actions.extend(service_account.take()),
                ChildKind::RoleBinding => actions.extend(std::mem::take(&mut role_bindings)),
                ChildKind::StatefulSet => actions.extend(stateful_set.take()),
                ChildKind::Service => actions.extend(service.take()),
                ChildKind::VirtualService => actions.extend(virtual_service.take()),
            }
        }
        actions
    }

    /// The objects that are applied, in that order.
    pub fn into_objects(self) -> impl Iterator<Item = Value> {
        self.into_actions().into_iter().filter_map(|child| match child.action {
            Action::Apply(object) => Some(object.value()),
            Action::KeepExisting | Action::Delete => None,
        })
    }
}

/// What is to be done about one child.
#[derive(Debug)]
pub struct ChildAction<T> {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: Box<str>,
    /// What is to be done.
    pub action: Action<T>,
}

impl<T> ChildAction<T> {
    /// Maps the object to apply.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> ChildAction<U> {
        let Self { kind, name, action } = self;
        ChildAction { kind, name, action: action.map(change) }
    }
}

impl ChildAction<Box<dyn Manifest>> {
    fn apply(kind: ChildKind, mut object: impl Manifest + 'static) -> Self {
        let name = object.metadata().name.clone().unwrap_or_default().into();
        Self { kind, name, action: Action::Apply(Box::new(object)) }
    }
}
