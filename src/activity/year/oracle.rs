//! When a Workspace may be paused, and when it has to be: known otherwise than the controller knows it.

use super::trace::{Rule, SECOND};

/// How much longer than an interval it may take: the longest probe, and a second.
const PROBE_TIME: i64 = 11 * SECOND;

/// What is known of the run that is running. Times are in milliseconds by the clock of the controller.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The number of the run; 0 before the first.
    run: u64,
    /// Since when it counts as running.
    since: i64,
    /// When a probe last found activity in it; 0 if none did.
    last_activity: i64,
    /// When a probe last found out anything about it; 0 if none did.
    known: i64,
    /// Since when, in true time, nothing has kept it from being paused but the rule's times.
    undisturbed: Option<i64>,
}

impl Oracle {
    /// The controller sees a run that became ready at a time.
    pub fn sees_ready(&mut self, run: u64, ready: i64) {
        if self.run != run {
            let undisturbed = self.undisturbed;
            *self = Self { run, since: ready, last_activity: 0, known: 0, undisturbed };
        }
    }

    /// A probe of the run that ended then found activity at a time, or only that there is none now. The latter says nothing
    /// about the time in which probes were missed, unless that is short for the rule. It `is_written`, or nobody knows of it
    /// but the controller.
    pub fn finds(&mut self, found: Option<i64>, ended: i64, rules: &[Rule], interval: i64, is_written: bool) {
        let known = if self.known == 0 { self.since } else { self.known };
        let demanded = rules.iter().find(|rule| rule.matches).map_or(0, |rule| i64::from(rule.idle_seconds));
        let has_missed = ended - known > ((2 * interval + 30) * SECOND).max(demanded * SECOND / 8);
        let found = found.unwrap_or(if has_missed { ended } else { 0 });
        if is_written {
            self.known = ended;
        }
        self.last_activity = self.last_activity.max(found);
    }

    /// No time is yet to come by that clock.
    pub fn reads(&mut self, clock: i64) {
        self.last_activity = self.last_activity.min(clock);
    }

    /// Nobody knows any longer of what was not written.
    pub fn forgets(&mut self, written: i64) {
        self.last_activity = self.last_activity.min(written);
    }

    /// When the rules allow to pause the run that is running.
    pub fn eligible_after(&self, rules: &[Rule]) -> Option<i64> {
        let rule = rules.iter().find(|rule| rule.matches).filter(|rule| rule.pauses)?;
        let used = if self.last_activity == 0 { self.since } else { self.last_activity };
        let idle = used + i64::from(rule.idle_seconds) * SECOND;
        Some(idle.max(self.since + i64::from(rule.min_running_seconds) * SECOND))
    }

    /// Something happened, after which the Workspace `can` be paused, if the rules allow, or cannot.
    pub fn is_disturbed(&mut self, can: bool, now: i64) {
        self.undisturbed = can.then_some(now);
    }

    /// Whether nothing keeps the Workspace from being paused but the rule's times.
    pub fn is_undisturbed(&self) -> bool {
        self.undisturbed.is_some()
    }

    /// Since how long it should have been paused, if it should.
    pub fn overdue(&self, rules: &[Rule], interval: i64, now: i64, clock: i64) -> Option<i64> {
        let eligible = self.eligible_after(rules)? - clock + now;
        let latest = eligible.max(self.undisturbed?) + interval * SECOND + PROBE_TIME;
        (now > latest).then(|| now - latest)
    }
}
