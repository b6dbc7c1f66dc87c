//! The children of a Workspace: the one list of the objects that it consists of.
//!
//! The stores, readiness, the order of apply, the triggers on drift, the output of `render` and the test of the chart's
//! ClusterRole follow from it. To add a child: its renderer in this folder, its row and its line in [`Desired`] here, and
//! its rule in the ClusterRole.

use std::ops::{Index, IndexMut};

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use serde_json::Value;

use super::context::RenderContext;
use super::fault::RenderFault;
use super::manifest::{Action, Manifest};
use super::names::ChildNames;
use super::virtual_service::{self, Route, UnsafeHeader};
use super::volumes::SkippedMount;
use super::{service, service_account, stateful_set};
use crate::config::Routing;
use crate::istio::VirtualService;

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
    ServiceAccount = ChildRow::of::<ServiceAccount>(Serves::Pod, |names| &names.service_account).without_spec();
    /// The pod.
    StatefulSet = ChildRow::of::<StatefulSet>(Serves::Pod, |names| &names.stateful_set);
    /// The ports of the pod.
    Service = ChildRow::of::<Service>(Serves::Pod, |names| &names.service);
    /// The route from outside to the ports.
    VirtualService = ChildRow::of::<VirtualService>(Serves::Route, |names| &names.service)
        .checked_by(virtual_service::check_stored);
}

/// Whether the pod or the route depends on a child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Serves {
    /// Its pod. Every API server has the resource.
    Pod,
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
    name: fn(&ChildNames) -> &str,
}

impl ChildRow {
    const fn of<K: Resource>(serves: Serves, name: fn(&ChildNames) -> &str) -> Self {
        Self {
            group: K::GROUP,
            version: K::VERSION,
            kind: K::KIND,
            plural: K::URL_PATH_SEGMENT,
            serves,
            has_spec: true,
            check_stored: |_| Vec::new(),
            name,
        }
    }

    const fn without_spec(self) -> Self {
        Self { has_spec: false, ..self }
    }

    const fn checked_by(self, check_stored: fn(&Value) -> Vec<UnsafeHeader>) -> Self {
        Self { check_stored, ..self }
    }

    /// What the controller does with such children: server-side apply is a patch, which also creates. The garbage collector
    /// deletes them, but for routes, which have to go before their Workspace.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self.serves {
            Serves::Pod => &["get", "list", "watch", "create", "patch"],
            Serves::Route => &["get", "list", "watch", "create", "patch", "delete"],
        }
    }

    /// The name of the child among `names`.
    pub fn name<'a>(&self, names: &'a ChildNames) -> &'a str {
        (self.name)(names)
    }
}

/// One `T` for each kind of children.
#[derive(Debug, Default)]
pub struct PerChild<T>([T; ChildKind::ALL.len()]);

impl<T> PerChild<T> {
    /// What `make` makes of each kind.
    pub fn new(make: impl FnMut(ChildKind) -> T) -> Self {
        Self(ChildKind::ALL.map(make))
    }

    /// What `change` makes of each.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> PerChild<U> {
        PerChild(self.0.map(change))
    }

    /// Each with its kind, in the order in which they are applied.
    pub fn iter(&self) -> impl Iterator<Item = (ChildKind, &T)> {
        ChildKind::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<ChildKind> for PerChild<T> {
    type Output = T;

    fn index(&self, kind: ChildKind) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ChildKind> for PerChild<T> {
    fn index_mut(&mut self, kind: ChildKind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

/// What should exist for a Workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The account that the pod runs as; none where the kind names an existing one.
    pub service_account: Option<ServiceAccount>,
    /// The pod.
    pub stateful_set: StatefulSet,
    /// The ports of the pod.
    pub service: Service,
    /// The route to the ports.
    pub route: Route,
    /// Mounts of the kind or the Workspace that could not be made, because another one has their path.
    pub skipped_mounts: Vec<SkippedMount>,
}

impl Desired {
    pub(super) fn render(context: &RenderContext<'_>, routing: &Routing) -> Result<Self, RenderFault> {
        let (stateful_set, skipped_mounts) = stateful_set::desired(context)?;
        Ok(Self {
            service_account: service_account::desired(context),
            stateful_set,
            service: service::desired(context),
            route: virtual_service::desired(context, routing),
            skipped_mounts,
        })
    }

    /// What is to be done about each child; nothing about those that are neither made nor deleted.
    pub fn into_actions(self) -> PerChild<Option<Action<Box<dyn Manifest>>>> {
        // Without `..`: a child that is forgotten here does not compile.
        let Self { service_account, stateful_set, service, route, skipped_mounts: _ } = self;
        let mut service_account = service_account.map(apply);
        let mut stateful_set = Some(apply(stateful_set));
        let mut service = Some(apply(service));
        let mut virtual_service = match route {
            Route::Off => None,
            Route::Wanted(route) => Some(Action::Apply(route as Box<dyn Manifest>)),
            Route::Refused(fault) if fault.keeps_existing() => Some(Action::KeepExisting),
            Route::Refused(_) => Some(Action::Delete),
        };
        PerChild::new(|kind| match kind {
            ChildKind::ServiceAccount => service_account.take(),
            ChildKind::StatefulSet => stateful_set.take(),
            ChildKind::Service => service.take(),
            ChildKind::VirtualService => virtual_service.take(),
        })
    }

    /// The objects that are applied, in that order.
    pub fn into_objects(self) -> impl Iterator<Item = Value> {
        let actions = self.into_actions().0.into_iter().flatten();
        actions.filter_map(|action| match action {
            Action::Apply(object) => Some(object.value()),
            Action::KeepExisting | Action::Delete => None,
        })
    }
}

fn apply(object: impl Manifest + 'static) -> Action<Box<dyn Manifest>> {
    Action::Apply(Box::new(object))
}
