//! What the process remembers of the probes that it sent: by its monotonic clock, which no change of the time moves.

use std::time::Duration;

use tokio::time::Instant;

use crate::activity::run::Run;
use crate::activity::schedule::{LastOutcome, LastProbe};
use crate::stores::uid::Uid;

/// What is remembered of a probe that ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ProbeOutcome {
    pub succeeded: bool,
    /// In how long the next probe may be due, as the kind says; none where that is not known.
    pub soonest: Option<Duration>,
    /// Whether the Workspace would have been paused.
    pub is_withheld: bool,
}

impl ProbeOutcome {
    /// That of a probe that found out nothing.
    pub fn failed() -> Self {
        Self::default()
    }
}

/// The last probe of a Workspace.
pub(super) struct OwnProbe {
    workspace: Uid,
    run: Run,
    started: Instant,
    /// None while it runs.
    ended: Option<Instant>,
    /// How many failed in a row, up to it.
    failures: u32,
    /// Whether it has been reported, about this run, that the Workspace would be paused.
    withheld_reported: bool,
}

impl OwnProbe {
    /// A probe of that Workspace, sent to that run of its container, that starts now; `before` was the last one.
    pub fn start(workspace: &Uid, run: &Run, before: Option<Self>, now: Instant) -> Self {
        let before = before.filter(|before| before.run == *run);
        Self {
            workspace: workspace.clone(),
            run: run.clone(),
            started: now,
            ended: None,
            failures: before.as_ref().map_or(0, |before| before.failures),
            withheld_reported: before.is_some_and(|before| before.withheld_reported),
        }
    }

    /// It ended.
    pub fn end(&mut self, outcome: ProbeOutcome, now: Instant) {
        self.ended = Some(now);
        self.failures = if outcome.succeeded { 0 } else { self.failures.saturating_add(1) };
        self.withheld_reported = outcome.is_withheld;
    }

    /// Whether it is of that Workspace, not of an earlier one of its name.
    pub fn is_of(&self, workspace: &Uid) -> bool {
        self.workspace == *workspace
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it has been reported that the Workspace would be paused.
    pub fn is_withheld_reported(&self) -> bool {
        self.withheld_reported
    }

    /// What the next probe of that run depends on.
    pub fn last(&self, run: &Run, now: Instant) -> LastProbe {
        let outcome = match self.failures {
            _ if self.run != *run => LastOutcome::OfAnotherRun,
            0 => LastOutcome::Succeeded,
            times => LastOutcome::Failed { times },
        };
        let ended = self.ended.unwrap_or(now);
        LastProbe { started: now.duration_since(self.started), ended: now.duration_since(ended), outcome }
    }
}
