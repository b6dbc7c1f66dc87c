//! Activity: probes the Workspaces that run, records in their status what was found, and pauses those that are idle where the
//! rules of their kind say so.
//!
//! Apart from the queues of the reconciler and with a limit of its own: probes that hang delay no reconcile.

mod ask;
mod outcome;
mod own;
mod pause;
mod subject;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::events::EventRecorder;
use crate::activity::policy::Policy;
use crate::activity::schedule::spacing;
use crate::config::Routing;
use crate::metrics::Metrics;
use crate::stores::Stores;
use crate::stores::slim::{Identity, Key};
use crate::stores::uid::Uid;
use own::{OwnProbe, ProbeOutcome};
use subject::Subject;

/// Probes at a time: a few hundred kilobytes of buffers, and enough that those that hang leave room for others.
const PROBES_MAX: usize = 64;
/// How often it is worked out which probes are due: how late a change of a kind or of a Workspace counts.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What probing needs.
pub(super) struct Context {
    pub client: Client,
    pub stores: Stores,
    pub routing: Routing,
    pub metrics: Arc<Metrics>,
    pub recorder: EventRecorder,
    /// Whether it is only reported which Workspaces would be paused.
    pub dry_run_pausing: bool,
}

/// Probes until it is dropped, and the probes that run with it.
pub(super) async fn run(context: Arc<Context>) {
    let mut prober = Prober {
        context,
        probes: JoinSet::new(),
        running: HashMap::new(),
        own: HashMap::new(),
        spacing: Duration::ZERO,
        earliest: Instant::now(),
    };
    loop {
        let upcoming = prober.look();
        prober.probe(upcoming, Instant::now() + LOOK_EVERY).await;
    }
}

struct Prober {
    context: Arc<Context>,
    probes: JoinSet<ProbeOutcome>,
    /// The Workspaces, by name and uid, that they were sent to.
    running: HashMap<Id, (Key, Uid)>,
    /// The last probe of each Workspace, as far as this process sent it.
    own: HashMap<Key, OwnProbe>,
    /// The time between the starts of two probes.
    spacing: Duration,
    /// When the next probe may start.
    earliest: Instant,
}

impl Prober {
    /// The Workspaces that are probed before it is looked again, with the time when each is due, the next one last.
    fn look(&mut self) -> Vec<(Instant, Subject)> {
        let (now, instant) = (Timestamp::now(), Instant::now());
        let (mut upcoming, mut waits) = (Vec::new(), Vec::new());
        let mut own = std::mem::take(&mut self.own);
        let stores = &self.context.stores;
        for kind in stores.kind_names().iter().filter_map(|name| stores.kind(name)) {
            let Some(policy) = Policy::of(&kind.spec) else { continue };
            for workspace in stores.workspaces().indexed(kind.metadata.name.as_deref().unwrap_or_default()) {
                let Some(subject) = Subject::of(stores, workspace, &kind) else { continue };
                let last = own.remove(&subject.workspace.identity.key);
                let last = last.filter(|last| last.is_of(&subject.workspace.identity.uid));
                waits.push(policy.interval);
                let due = match &last {
                    Some(last) if last.is_running() => None,
                    last => {
                        let last = last.as_ref().map(|last| last.last(&subject.run, instant));
                        Some(instant + subject.due_in(&policy, last, now))
                    }
                };
                if let Some(last) = last {
                    self.own.insert(subject.workspace.identity.key.clone(), last);
                }
                upcoming.extend(due.filter(|due| *due < instant + LOOK_EVERY).map(|due| (due, subject)));
            }
        }
        // Those whose probe still runs are kept for its end.
        self.own.extend(own.into_iter().filter(|(_, last)| last.is_running()));
        self.spacing = spacing(waits);
        upcoming.sort_unstable_by_key(|(due, _)| std::cmp::Reverse(*due));
        upcoming
    }

    /// Starts these probes when they are due, and takes the results of all that run, until then.
    async fn probe(&mut self, mut upcoming: Vec<(Instant, Subject)>, mut until: Instant) {
        loop {
            let has_room = self.probes.len() < PROBES_MAX;
            let next = upcoming.last().filter(|_| has_room).map(|(due, _)| (*due).max(self.earliest));
            tokio::select! {
                () = sleep_until(until) => return,
                Some(ended) = self.probes.join_next_with_id() => {
                    // Where the next one may be due before it is looked again, it is looked then.
                    let soonest = self.end(ended).soonest;
                    until = soonest.map_or(until, |soonest| until.min(Instant::now() + soonest));
                }
                () = sleep_until(next.unwrap_or(until)), if next.is_some_and(|next| next < until) => {
                    if let Some((_, subject)) = upcoming.pop() {
                        self.start(subject);
                    }
                }
            }
        }
    }

    fn start(&mut self, subject: Subject) {
        let (now, Identity { key, uid, .. }) = (Instant::now(), subject.workspace.identity.clone());
        self.earliest = now + self.spacing;
        let last = OwnProbe::start(&uid, &subject.run, self.own.remove(&key), now);
        let was_reported = last.is_withheld_reported();
        let probe = outcome::probe(self.context.clone(), subject, was_reported);
        self.running.insert(self.probes.spawn(probe).id(), (key.clone(), uid));
        self.own.insert(key, last);
    }

    fn end(&mut self, ended: Result<(Id, ProbeOutcome), JoinError>) -> ProbeOutcome {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((key, uid)) = self.running.remove(&id) else { return ProbeOutcome::failed() };
        let outcome = ended.map_or_else(
            |_| {
                tracing::error!(object = %key, "the activity probe panicked; will probe again");
                ProbeOutcome::failed()
            },
            |(_, outcome)| outcome,
        );
        // Another one may have its name by now.
        if let Some(last) = self.own.get_mut(&key).filter(|last| last.is_of(&uid)) {
            last.end(outcome, Instant::now());
        }
        outcome
    }
}
