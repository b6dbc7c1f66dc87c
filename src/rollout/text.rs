//! What is printed. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::arguments::Rollout;
use super::plan::{Candidate, LeftBy, Plan, duration};
use super::standing::{IdleRule, Left};
use crate::config::values::written;
use crate::stores::slim::Key;

/// How many Workspaces of a group are named.
const NAMED_MAX: usize = 3;

/// What came of a roll-out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// How many were restarted.
    pub restarted: usize,
    /// Those of them that are not available again, and why.
    pub away: Vec<(Key, String)>,
    /// Those whose restart was refused, and why.
    pub refused: Vec<(Key, String)>,
    /// Those that are left.
    pub left: LeftBy,
    /// How many still have a restart pending, because it stopped before.
    pub remaining: usize,
}

impl Tally {
    /// As it is printed at the end.
    pub fn summary(&self, arguments: &Rollout) -> String {
        let mut text = workspaces(self.restarted);
        text.push_str(" restarted");
        if !self.away.is_empty() {
            let _ = write!(text, ", {} not available again", self.away.len());
        }
        if !self.refused.is_empty() {
            let _ = write!(text, ", {} not restarted because of an error", self.refused.len());
        }
        if self.remaining > 0 {
            let _ = write!(text, ", {} still to be restarted (run this again)", self.remaining);
        }
        text.push('\n');
        for (key, why) in &self.away {
            let _ = writeln!(text, "  not available: {key}: {why}");
        }
        for (key, why) in &self.refused {
            let _ = writeln!(text, "  not restarted: {key}: {why}");
        }
        text + &left(&self.left, arguments)
    }
}

/// What a roll-out begins with. Where only what is idle is restarted, each is only after its next probe, and the last of them is
/// probed about an interval from now.
pub(super) fn header(arguments: &Rollout, idle: Option<IdleRule>, restarts: usize) -> String {
    let Rollout { kind, namespace, max, dry_run, .. } = arguments;
    let (interval, place) = (max.interval(), namespace.as_ref().map(|name| format!(" in namespace {name}")));
    let verb = if *dry_run { "would be restarted" } else { "to restart" };
    let place = place.unwrap_or_default();
    let mut text = format!("WorkspaceKind {kind}{place}: {} {verb}", workspaces(restarts));
    if restarts > 1 {
        let _ = write!(text, ", one every {}", written(interval));
    }
    let takes = duration(restarts, interval);
    if let Some(rule) = idle.filter(|_| restarts > 0) {
        let takes = approximate(takes.max(rule.interval));
        let _ = write!(text, ", each right after its next probe, so for about {takes} or longer");
    } else if restarts > 1 {
        let _ = write!(text, ", so for at least {}", approximate(takes));
    }
    text.push('\n');
    text
}

/// What a dry run prints.
pub(super) fn dry_run(plan: &Plan, arguments: &Rollout, rule: Option<IdleRule>, now: Timestamp) -> String {
    let mut text = header(arguments, rule, plan.restarts.len());
    for (index, Candidate { key, due, .. }) in plan.restarts.iter().enumerate() {
        let pending = due.pending_since.map(|since| {
            let pending = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            format!("pending for {}", approximate(pending))
        });
        let idle = due.idle.map(|idle| format!("idle for {} when last probed", approximate(idle.time)));
        let facts: Vec<String> = pending.into_iter().chain(idle).collect();
        let facts = if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
        let _ = writeln!(text, "{:>4}. {key}{facts}", index + 1);
    }
    text + &left(&plan.left, arguments) + "dry run: nothing was changed\n"
}

/// Those that are left: how many for which reason, and the first of them.
fn left(left: &LeftBy, arguments: &Rollout) -> String {
    left.iter().fold(String::new(), |text, (reason, keys)| {
        let names = match reason {
            Left::Current => String::new(),
            _ => format!(" ({})", first(keys)),
        };
        format!("{text}{} left: {}{names}\n", keys.len(), why(*reason, arguments))
    })
}

fn first(keys: &[Key]) -> String {
    let mut names: Vec<String> = keys.iter().take(NAMED_MAX).map(Key::to_string).collect();
    if keys.len() > NAMED_MAX {
        names.push(format!("and {} more", keys.len() - NAMED_MAX));
    }
    names.join(", ")
}

/// Why a Workspace is left.
pub(super) fn why(left: Left, arguments: &Rollout) -> String {
    let idle_for = || written(arguments.idle_for.unwrap_or_default());
    match left {
        Left::Again => "restarted, and the kind was changed once more (run this again)".to_owned(),
        Left::InUse => format!("in use, or used less than {} before the last probe", idle_for()),
        Left::Unknown(unknown) => format!("not known to be idle, {unknown}"),
        Left::NeverFresh => {
            "idle by every probe, but none was as recent as it should be (are the clocks right?)".to_owned()
        }
        Left::Requested => "the annotation restart-at already asks for a restart".to_owned(),
        Left::NotReconciled => "changed, and not reconciled since".to_owned(),
        Left::UpdateAvailable => "an update is available, which its user has to select".to_owned(),
        Left::Paused => "paused, the next start takes the current template".to_owned(),
        Left::Deleting => "being deleted".to_owned(),
        Left::Gone => "deleted meanwhile".to_owned(),
        Left::Unreadable => "cannot be read".to_owned(),
        Left::Current => "no restart is pending".to_owned(),
    }
}

/// What a roll-out waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Awaited {
    /// The time of the next restart.
    Turn,
    /// That those that were restarted become available again.
    Available,
    /// The next probe of one that is idle.
    Probe,
}

/// The line that changes on a terminal: `next` is how long that takes, `remaining` how long all the rest.
pub(super) fn status(
    done: usize,
    all: usize,
    away: usize,
    awaited: Awaited,
    next: Duration,
    remaining: Duration,
) -> String {
    let remaining = approximate(remaining);
    let what = match awaited {
        Awaited::Turn => format!("next in {}, {remaining} left", written(Duration::from_secs(next.as_secs()))),
        Awaited::Available => format!("waiting for them, {remaining} left"),
        Awaited::Probe => format!("waiting for the next probe of {}", all.saturating_sub(done)),
    };
    format!("{done} of {all} done, {away} not available yet; {what}")
}

/// In at most two units: nobody reads the seconds of hours.
pub(super) fn approximate(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = if seconds >= 3600 { 60 } else { 1 };
    written(Duration::from_secs(seconds / unit * unit))
}

pub(super) fn workspaces(count: usize) -> String {
    format!("{count} Workspace{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
