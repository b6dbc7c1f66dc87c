//! A Workspace that is probed, with what the stores have about it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::workspace::{WorkspaceState, WorkspaceStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::activity::policy::Policy;
use crate::activity::run::Run;
use crate::activity::schedule::{LastProbe, ScheduleFacts, due_in};
use crate::render::ChildKind;
use crate::stores::Stores;
use crate::stores::metadata::OwnerKind;
use crate::stores::pod::Pod;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

/// A Workspace that is probed.
pub(super) struct Subject {
    pub workspace: Arc<StoredWorkspace>,
    /// The status that it has.
    pub held: WorkspaceStatus,
    pub kind: Arc<WorkspaceKind>,
    pub pod: Arc<Pod>,
    /// The address of the pod.
    pub address: IpAddr,
    /// The run of its container.
    pub run: Run,
}

impl Subject {
    /// The Workspace, if it is probed now: only while it runs, and has a pod that is ours beyond doubt.
    pub fn of(stores: &Stores, workspace: Arc<StoredWorkspace>, kind: &Arc<WorkspaceKind>) -> Option<Self> {
        let is_running = workspace.status.state() == WorkspaceState::Running;
        if workspace.spec.paused || workspace.identity.deleting || !is_running {
            return None;
        }
        let held = workspace.status.unpack();
        let pod = pod(stores, &workspace, &held)?;
        let (address, run) = (pod.address?, Run::of(&held, &pod)?);
        Some(Self { workspace, held, kind: kind.clone(), pod, address, run })
    }

    /// In how long its next probe is due. `last` is the last one, if this process sent it.
    pub fn due_in(&self, policy: &Policy<'_>, last: Option<LastProbe>, now: Timestamp) -> Duration {
        let activity = self.held.activity.as_ref();
        let recorded = || Some(LastProbe::recorded(activity?.last_probe.as_ref()?, now));
        let eligible = activity.and_then(|activity| activity.rules.as_ref()?.pause_workspace.as_ref());
        let milliseconds = |time: i64| time.saturating_sub(now.as_millisecond());
        due_in(&ScheduleFacts {
            interval: policy.interval,
            min_interval: policy.min_interval,
            uid: &self.workspace.identity.uid,
            running: u64::try_from(-milliseconds(self.run.since)).ok().map(Duration::from_millis),
            last: last.or_else(recorded),
            eligible_in: eligible.map(|rule| SignedDuration::from_millis(milliseconds(rule.eligible_after))),
        })
    }
}

/// The pod of our StatefulSet, if it has an address of its own: at that of its node others listen too.
fn pod(stores: &Stores, workspace: &StoredWorkspace, held: &WorkspaceStatus) -> Option<Arc<Pod>> {
    let here = |name: &str| Key::new(workspace.identity.key.namespace(), name);
    let pod = stores.pods().get(&here(&held.pod_template_pod.as_ref()?.name))?;
    let owner = pod.owner.as_ref().filter(|owner| owner.kind == OwnerKind::StatefulSet)?;
    let set = stores.children(ChildKind::StatefulSet).get(&here(&owner.name))?;
    let is_ours = set.identity.uid == owner.uid && set.is_owned_by(&workspace.identity.uid);
    (is_ours && !pod.identity.deleting).then_some(pod)
}
