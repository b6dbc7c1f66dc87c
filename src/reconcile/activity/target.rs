//! A Workspace that is probed, with what the stores have about it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::probed::Probed;
use crate::activity::policy::Policy;
use crate::activity::run::Run;
use crate::activity::schedule::{LastProbe, ScheduleFacts, due_in};
use crate::render::ChildKind;
use crate::stores::Stores;
use crate::stores::child::Child;
use crate::stores::metadata::OwnerKind;
use crate::stores::pod::Pod;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

/// A Workspace that is probed.
pub(super) struct ProbeTarget {
    pub workspace: Arc<StoredWorkspace>,
    /// The status that it has.
    pub held: WorkspaceStatus,
    pub kind: Arc<WorkspaceKind>,
    pub pod: Arc<Pod>,
    /// The address of the pod.
    pub address: IpAddr,
    /// Whether the pod may be one of an older template than its StatefulSet has.
    pub is_outdated: bool,
    /// The run of its container, and how the kind configures the probe.
    pub probed: Probed,
}

impl ProbeTarget {
    /// The Workspace, if it is probed now: only while it runs, and has a pod that is ours beyond doubt.
    pub fn of(
        stores: &Stores,
        workspace: Arc<StoredWorkspace>,
        kind: &Arc<WorkspaceKind>,
        policy: &Policy<'_>,
    ) -> Option<Self> {
        let is_running = workspace.status.state() == WorkspaceState::Running;
        let is_reconciled = stores.is_reconciled(workspace.identity.key.namespace());
        if workspace.spec.paused || workspace.identity.deleting || !is_running || !is_reconciled {
            return None;
        }
        let held = workspace.status.unpack();
        let (pod, set) = pod_and_set(stores, &workspace, &held)?;
        let (address, probed) = (pod.address?, Probed::new(run(&held, &pod)?, &policy.probe));
        let is_outdated = set.current_revision() != Some(&*pod.revision);
        Some(Self { workspace, held, kind: kind.clone(), pod, address, is_outdated, probed })
    }

    /// In how long its next probe is due.
    pub fn due_in(&self, policy: &Policy<'_>, last: Option<LastProbe>, now: Timestamp) -> Duration {
        let eligible =
            self.held.activity.as_ref().and_then(|activity| activity.rules.as_ref()?.pause_workspace.as_ref());
        let milliseconds = |time: i64| time.saturating_sub(now.as_millisecond());
        due_in(&ScheduleFacts {
            interval: policy.interval,
            min_interval: policy.min_interval,
            uid: &self.workspace.identity.uid,
            running: u64::try_from(-milliseconds(self.probed.run.running_since())).ok().map(Duration::from_millis),
            last,
            eligible_in: eligible.map(|rule| SignedDuration::from_millis(milliseconds(rule.eligible_after))),
        })
    }
}

/// The run of the container in a pod that is to stay.
pub(super) fn run(held: &WorkspaceStatus, pod: &Pod) -> Option<Run> {
    Run::of(held, pod).filter(|_| *pod.phase == *"Running" && !pod.identity.deleting)
}

/// The pod of our StatefulSet, and that.
fn pod_and_set(stores: &Stores, workspace: &StoredWorkspace, held: &WorkspaceStatus) -> Option<(Arc<Pod>, Arc<Child>)> {
    let here = |name: &str| Key::new(workspace.identity.key.namespace(), name);
    let pod = stores.pods().get(&here(&held.pod_template_pod.as_ref()?.name))?;
    let owner = pod.owner.as_ref().filter(|owner| owner.kind == OwnerKind::StatefulSet)?;
    let set = stores.children(ChildKind::StatefulSet).get(&here(&owner.name))?;
    let is_ours = set.identity.uid == owner.uid && set.is_owned_by(&workspace.identity.uid);
    is_ours.then_some((pod, set))
}
