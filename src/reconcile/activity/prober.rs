//! Prober: which Workspace is probed when, and how many at a time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::memory::{ProbeMemory, ProbeOutcome};
use super::outcome;
use super::target::ProbeTarget;
use crate::activity::policy::Policy;
use crate::activity::schedule::{self, spacing};
use crate::stores::slim::{Identity, Key};
use crate::stores::workspace::StoredWorkspace;

/// Probes at a time: a few megabytes of buffers at most, and enough that those that hang leave room for others.
const PROBES_MAX: usize = 64;
/// How many of them are of one kind, whose probe may hang in each of its Workspaces.
const PROBES_OF_KIND_MAX: usize = PROBES_MAX / 2;
/// How often it is worked out which probes are due: how late a change of a kind or of a Workspace counts.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The share of the time that working it out may take is the inverse of this, however many Workspaces there are.
const LOOK_SHARE: u32 = 20;
/// How many Workspaces are looked at before other tasks have their turn.
const LOOKED_AT_ONCE: usize = 64;

/// Probes Workspaces when they are due.
pub(super) struct Prober {
    context: Arc<Context>,
    probes: JoinSet<ProbeOutcome>,
    /// The Workspaces that they were sent to.
    running: HashMap<Id, Arc<StoredWorkspace>>,
    /// The last probe of each Workspace.
    last: HashMap<Key, ProbeMemory>,
    /// The time between the starts of two probes.
    spacing: Duration,
    /// When the next probe may start.
    earliest: Instant,
    /// How long it takes at least from one look at all Workspaces to the next.
    look_every: Duration,
}

/// A probe that becomes due before all Workspaces are looked at again.
struct UpcomingProbe {
    due: Instant,
    /// When the last one started.
    last_started: Option<Instant>,
    target: ProbeTarget,
}

/// Another replica may go on: what this one withheld is no news any more.
impl Drop for Prober {
    fn drop(&mut self) {
        self.context.metrics.pauses_withheld(0);
    }
}

impl Prober {
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            probes: JoinSet::new(),
            running: HashMap::new(),
            last: HashMap::new(),
            spacing: Duration::ZERO,
            earliest: Instant::now(),
            look_every: LOOK_EVERY,
        }
    }

    /// Probes until it is dropped.
    pub async fn run(mut self) {
        loop {
            let began = Instant::now();
            let upcoming = self.look().await;
            let pause = began.elapsed().saturating_mul(LOOK_SHARE);
            self.look_every = LOOK_EVERY.max(pause);
            self.probe(upcoming, Instant::now() + pause).await;
        }
    }

    /// The probes that become due before the next look, the next one last.
    async fn look(&mut self) -> Vec<UpcomingProbe> {
        let (mut upcoming, mut waits, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        let stores = self.context.stores.clone();
        let mut withheld = 0;
        // Read once: all that are overdue are due at the same time, so that the longest unprobed comes first.
        let (now, instant) = (Timestamp::now(), Instant::now());
        for kind in stores.kind_names().iter().filter_map(|name| stores.kind(name)) {
            let Some(policy) = Policy::of(&kind.spec) else { continue };
            let workspaces = stores.workspaces().indexed(kind.metadata.name.as_deref().unwrap_or_default());
            for (index, workspace) in workspaces.into_iter().enumerate() {
                if index % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1 {
                    yield_now().await;
                }
                let Identity { key, uid, .. } = &workspace.identity;
                let last = self.last.remove(key).filter(|last| last.is_of(uid));
                let Some(target) = ProbeTarget::of(&stores, workspace.clone(), &kind, &policy) else {
                    // It may be not ready for a moment only.
                    seen.extend(last.filter(|_| !workspace.spec.paused).map(|last| (key.clone(), last)));
                    continue;
                };
                // One that another process sent is known by its time of day: that is converted once.
                let last = last.or_else(|| ProbeMemory::recorded(&target, now, instant));
                let before = last.as_ref().map(|last| last.last(&target.probed, instant));
                waits.push(schedule::pause(before.map(|last| last.outcome), policy.interval, policy.min_interval));
                withheld += usize::from(last.as_ref().is_some_and(|last| last.is_withheld(&target.probed)));
                let due = instant + target.due_in(&policy, before, now);
                let last_started = last.as_ref().map(ProbeMemory::started);
                let is_running = last.as_ref().is_some_and(ProbeMemory::is_running);
                seen.extend(last.map(|last| (key.clone(), last)));
                if !is_running && due < instant + self.look_every {
                    upcoming.push(UpcomingProbe { due, last_started, target });
                }
            }
        }
        // Those whose probe still runs are kept for its end.
        seen.extend(std::mem::take(&mut self.last).into_iter().filter(|(_, last)| last.is_running()));
        self.last = seen;
        self.spacing = spacing(waits);
        self.context.metrics.pauses_withheld(withheld);
        upcoming.sort_unstable_by_key(|probe| Reverse((probe.due, probe.last_started)));
        upcoming
    }

    /// Starts these probes when they are due, and takes the results of all that run, until the next look, which is not before
    /// `earliest_look`.
    async fn probe(&mut self, mut upcoming: Vec<UpcomingProbe>, earliest_look: Instant) {
        let mut until = Instant::now() + self.look_every;
        loop {
            let running = self.running.values().map(|workspace| &*workspace.spec.kind);
            let next = next(running, upcoming.iter().map(|probe| &*probe.target.workspace.spec.kind));
            let start = next.and_then(|next| Some(upcoming.get(next)?.due.max(self.earliest)));
            tokio::select! {
                () = sleep_until(until) => return,
                Some(ended) = self.probes.join_next_with_id() => {
                    // Where the next one may be due before all are looked at again, that is done then.
                    let soonest = self.end(ended).soonest.map(|soonest| (Instant::now() + soonest).max(earliest_look));
                    until = soonest.map_or(until, |soonest| until.min(soonest));
                }
                () = sleep_until(start.unwrap_or(until)), if start.is_some_and(|start| start < until) => {
                    if let Some(next) = next {
                        self.start(upcoming.remove(next).target);
                    }
                }
            }
        }
    }

    fn start(&mut self, target: ProbeTarget) {
        let (now, workspace) = (Instant::now(), target.workspace.clone());
        self.earliest = now + self.spacing;
        let Identity { key, uid, .. } = &workspace.identity;
        let last = ProbeMemory::start(uid, &target.probed, self.last.remove(key), now);
        let probe = outcome::probe(self.context.clone(), target, last.known());
        self.last.insert(key.clone(), last);
        self.running.insert(self.probes.spawn(probe).id(), workspace);
    }

    fn end(&mut self, ended: Result<(Id, ProbeOutcome), JoinError>) -> ProbeOutcome {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(workspace) = self.running.remove(&id) else { return ProbeOutcome::failed() };
        let Identity { key, uid, .. } = &workspace.identity;
        let outcome = ended.map_or_else(
            |_| {
                let (namespace, name) = key.parts();
                tracing::error!(namespace, name, "the activity probe panicked; will probe again");
                ProbeOutcome::failed()
            },
            |(_, outcome)| outcome,
        );
        // Another one may have its name by now.
        if let Some(last) = self.last.get_mut(key).filter(|last| last.is_of(uid)) {
            last.end(outcome, Instant::now());
        }
        outcome
    }
}

/// The index of the next probe, the last one, for whose kind there is room beside those that run.
fn next<'a>(
    running: impl ExactSizeIterator<Item = &'a str>,
    upcoming: impl ExactSizeIterator<Item = &'a str> + DoubleEndedIterator,
) -> Option<usize> {
    if running.len() >= PROBES_MAX {
        return None;
    }
    let mut of_kinds: HashMap<&str, usize> = HashMap::new();
    for kind in running {
        *of_kinds.entry(kind).or_default() += 1;
    }
    let has_room = |kind: &str| of_kinds.get(kind).is_none_or(|probes| *probes < PROBES_OF_KIND_MAX);
    upcoming.enumerate().rfind(|(_, kind)| has_room(kind)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    #[test]
    fn a_kind_whose_probes_hang_leaves_room_for_others() {
        let next = |hanging: usize, others: usize, upcoming: &[&'static str]| {
            let running: Vec<_> = repeat_n("hangs", hanging).chain(repeat_n("other", others)).collect();
            next(running.into_iter(), upcoming.iter().copied())
        };
        let upcoming = ["other", "hangs", "other", "hangs"];
        assert_eq!(next(31, 0, &upcoming), Some(3));
        assert_eq!(next(32, 0, &upcoming), Some(2));
        assert_eq!(next(32, 31, &upcoming), Some(2));
        assert_eq!(next(32, 32, &upcoming), None);
        assert_eq!(next(32, 0, &["hangs"]), None);
        assert_eq!(next(0, 0, &[]), None);
    }
}
