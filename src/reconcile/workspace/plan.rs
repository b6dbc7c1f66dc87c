//! What should exist for a Workspace, in the form that is cheap to keep: hashes instead of objects.
//!
//! Most looks at a Workspace are about its pod. They need not render anything as long as Workspace and kind are those
//! of the last rendering.

use crds::WorkspaceKind;

use super::super::apply::{Hash, hash};
use crate::config::Routing;
use crate::render::{self, Desired, LeftOutMount, RenderFault, Route, RouteFault};
use crate::stores::workspace::StoredWorkspace;

/// What a rendering depends on. The settings do not change while the process lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Inputs {
    workspace: (Box<str>, i64),
    kind: (String, i64),
    /// Whether no pod may run for now.
    held: bool,
}

impl Inputs {
    pub fn new(workspace: &StoredWorkspace, kind: &WorkspaceKind, held: bool) -> Self {
        let metadata = &kind.metadata;
        Self {
            workspace: (workspace.identity.uid.clone(), workspace.generation),
            kind: (metadata.uid.clone().unwrap_or_default(), metadata.generation.unwrap_or_default()),
            held,
        }
    }
}

/// What should exist, as hashes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    inputs: Inputs,
    /// None where the kind names an existing account.
    pub service_account: Option<Hash>,
    pub stateful_set: Hash,
    pub service: Hash,
    pub route: RoutePlan,
    pub left_out: Vec<LeftOutMount>,
}

#[derive(Clone, Debug)]
pub(super) enum RoutePlan {
    Off,
    Wanted(Hash),
    Refused(RouteFault),
}

impl Plan {
    /// Whether it was made from these.
    pub fn is_for(&self, inputs: &Inputs) -> bool {
        self.inputs == *inputs
    }

    /// Renders, and keeps the hashes. What was rendered comes along, for those that have to be written.
    pub fn make(
        inputs: Inputs,
        workspace: &StoredWorkspace,
        kind: &WorkspaceKind,
        routing: &Routing,
    ) -> Result<(Self, Box<Desired>), RenderFault> {
        let mut desired = Box::new(render::render(workspace.render_input(), &kind.spec, routing)?);
        if let (true, Some(spec)) = (inputs.held, &mut desired.stateful_set.spec) {
            spec.replicas = Some(0);
        }
        let plan = Self {
            inputs,
            service_account: desired.service_account.as_ref().map(hash),
            stateful_set: hash(&desired.stateful_set),
            service: hash(&desired.service),
            route: match &desired.route {
                Route::Off => RoutePlan::Off,
                Route::Wanted(route) => RoutePlan::Wanted(hash(&**route)),
                Route::Refused(fault) => RoutePlan::Refused(fault.clone()),
            },
            left_out: desired.left_out.clone(),
        };
        Ok((plan, desired))
    }
}
