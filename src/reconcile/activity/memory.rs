//! What is remembered of the last probe of a Workspace: by the monotonic clock of this process, which no change of the time
//! moves.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::probed::Probed;
use super::target::ProbeTarget;
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
    /// When the run was last active, by this probe or an earlier one, in milliseconds since 1970 (0 where that is not known); none
    /// where this one says nothing about the run.
    pub last_activity: Option<i64>,
}

/// What is known before a probe of the same run.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownBefore {
    /// Whether it has been reported that the Workspace would be paused.
    pub withheld_reported: bool,
    /// When the run was last active, in milliseconds since 1970; 0 where that is not known. It may not be in the status: the API
    /// server did not take it.
    pub last_activity: i64,
}

impl ProbeOutcome {
    /// That of a probe that found out nothing.
    pub fn failed() -> Self {
        Self::default()
    }
}

/// The last probe of a Workspace.
pub(super) struct ProbeMemory {
    workspace: Uid,
    probed: Probed,
    started: Instant,
    /// None while it runs.
    ended: Option<Instant>,
    /// How many failed in a row, up to it.
    failures: u32,
    /// Whether the Workspace would have been paused for it.
    is_withheld: bool,
    known: KnownBefore,
}

impl ProbeMemory {
    /// A probe of that Workspace that starts now; `before` was the last one.
    pub fn start(workspace: &Uid, probed: &Probed, before: Option<Self>, now: Instant) -> Self {
        let before = before.filter(|before| before.is_of(workspace) && before.probed.run == probed.run);
        let known =
            before.as_ref().map_or(KnownBefore { withheld_reported: false, last_activity: 0 }, |last| last.known);
        let before = before.filter(|before| before.probed == *probed);
        Self {
            workspace: workspace.clone(),
            probed: probed.clone(),
            started: now,
            ended: None,
            failures: before.as_ref().map_or(0, |before| before.failures),
            is_withheld: before.is_some_and(|before| before.is_withheld),
            known,
        }
    }

    /// The probe that the status of the Workspace records, which another process sent.
    pub fn recorded(target: &ProbeTarget, now: Timestamp, instant: Instant) -> Option<Self> {
        let recorded = LastProbe::recorded(target.held.activity.as_ref()?.last_probe.as_ref()?, now);
        let at = |ago: Duration| instant.checked_sub(ago).unwrap_or(instant);
        Some(Self {
            workspace: target.workspace.identity.uid.clone(),
            probed: target.probed.clone(),
            started: at(recorded.started),
            ended: Some(at(recorded.ended)),
            failures: u32::from(recorded.outcome != LastOutcome::Succeeded),
            is_withheld: false,
            known: KnownBefore { withheld_reported: false, last_activity: 0 },
        })
    }

    /// It ended.
    pub fn end(&mut self, outcome: ProbeOutcome, now: Instant) {
        self.ended = Some(now);
        self.failures = if outcome.succeeded { 0 } else { self.failures.saturating_add(1) };
        self.is_withheld = outcome.is_withheld;
        self.known.withheld_reported |= outcome.is_withheld;
        // Not the later of both: where the clock has been set back, the earlier one is right.
        self.known.last_activity = outcome.last_activity.unwrap_or(self.known.last_activity);
    }

    /// Whether it is of that Workspace, not of an earlier one of its name.
    pub fn is_of(&self, workspace: &Uid) -> bool {
        self.workspace == *workspace
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// When it started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Whether the Workspace would be paused, but for a dry run, by what is known of that run.
    pub fn is_withheld(&self, probed: &Probed) -> bool {
        self.is_withheld && self.probed == *probed
    }

    /// What is known of the run before it is probed again.
    pub fn known(&self) -> KnownBefore {
        self.known
    }

    /// What the next probe depends on.
    pub fn last(&self, probed: &Probed, now: Instant) -> LastProbe {
        let outcome = match self.failures {
            _ if self.probed != *probed => LastOutcome::OfAnotherRun,
            0 => LastOutcome::Succeeded,
            times => LastOutcome::Failed { times },
        };
        let ended = self.ended.unwrap_or(now);
        LastProbe { started: now.duration_since(self.started), ended: now.duration_since(ended), outcome }
    }
}
