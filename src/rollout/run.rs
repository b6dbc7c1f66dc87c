//! The loop of a roll-out: one restart after the other, never more at a time than may be unavailable, until nothing is pending,
//! it is stopped, or it has to stop. Where only what is idle is restarted, each waits for its next probe.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::arguments::Rollout;
use super::outage::Outage;
use super::plan::{Candidate, Done, LeftBy, Plan, duration, plan};
use super::rate::Pace;
use super::screen::Screen;
use super::standing::{Aftermath, Before, IdleRule, Left, NOT_REPLACED, aftermath, standing};
use super::text::{self, Awaited, Tally};
use super::workspaces::{Failure, Workspaces};
use crate::client::{CallError, causes};
use crate::shutdown::StopSignal;
use crate::stores::slim::Key;
use crate::stores::uid::Uid;

/// How often it is looked whether those that were restarted are available again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked who has been probed, where that counts: three times while a probe is fresh.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// How much longer than two intervals it is waited for a probe.
const PROBE_LATE: Duration = Duration::from_mins(1);
/// After how many refused restarts in a row it is no use to go on.
const REFUSALS_MAX: usize = 5;
/// How often a Workspace that keeps changing is read again.
const CONFLICTS_MAX: usize = 5;

/// Why it stopped before everything was done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// A signal came.
    Signal,
    /// None of those that were restarted became available for so long.
    NotAvailable,
    /// One restart after the other was refused.
    Refused(String),
    /// The API server gives no answer.
    Unanswered(String),
}

/// A Workspace that was restarted and is not available again.
struct Away {
    key: Key,
    uid: Uid,
    before: Before,
    why: String,
}

/// What became of a restart.
enum Restart {
    Done(Before),
    /// Its last probe is not fresh any longer, or found it in use: the next list says how it stands.
    Later,
    /// There is nothing to be done any longer.
    Left(Left),
    Failed(CallError),
}

/// A roll-out that is going on.
pub(super) struct Run<'a> {
    arguments: &'a Rollout,
    workspaces: Workspaces<'a>,
    idle: Option<IdleRule>,
    pub tally: Tally,
    signals: mpsc::Receiver<StopSignal>,
    screen: &'a mut Screen,
    pace: Pace,
    /// Those that are to be restarted, in their order.
    open: Vec<Candidate>,
    /// When they were listed.
    listed: Instant,
    /// Since when there might have been a restart, but none of them has a fresh probe.
    probe_awaited: Option<Instant>,
    /// Whether it has been said that it waits for probes.
    is_probe_wait_reported: bool,
    /// The Workspaces that were dealt with.
    done: Done,
    /// Those of them that turned out not to be due any longer.
    skipped: LeftBy,
    /// How many there are in all, as far as it is known.
    all: usize,
    away: Vec<Away>,
    /// When one of them last became available, or there was a restart.
    progressed: Instant,
    /// When it is looked at them again.
    look_at: Instant,
    /// Whether it has been said that it waits for them.
    is_wait_reported: bool,
    outage: Outage,
    /// How many restarts were refused in a row.
    refusals: usize,
}

impl<'a> Run<'a> {
    pub fn new(
        arguments: &'a Rollout,
        workspaces: Workspaces<'a>,
        idle: Option<IdleRule>,
        signals: mpsc::Receiver<StopSignal>,
        screen: &'a mut Screen,
    ) -> Self {
        let now = Instant::now();
        Self {
            arguments,
            workspaces,
            idle,
            signals,
            screen,
            tally: Tally::default(),
            pace: Pace::new(arguments.max),
            open: Vec::new(),
            listed: now,
            probe_awaited: None,
            is_probe_wait_reported: false,
            done: Done::default(),
            skipped: LeftBy::new(),
            all: 0,
            away: Vec::new(),
            progressed: now,
            look_at: now,
            is_wait_reported: false,
            outage: Outage::default(),
            refusals: 0,
        }
    }

    /// Restarts what is planned, and then what has become due meanwhile; waits for the last of them. Whatever comes of it, the
    /// tally is complete.
    pub async fn restart_all(&mut self, first: Plan) -> Result<(), Stop> {
        self.follow(first);
        let mut ended = self.restart_open().await;
        self.tally.remaining = self.open.len();
        if ended.is_ok() {
            ended = self.come_back().await;
        }
        for (left, keys) in std::mem::take(&mut self.skipped) {
            self.tally.left.entry(left).or_default().extend(keys);
        }
        self.tally.away = self.away.drain(..).map(|away| (away.key, away.why)).collect();
        ended
    }

    /// Where probes count, those of a list that is older than a few seconds do not.
    async fn restart_open(&mut self) -> Result<(), Stop> {
        while !self.open.is_empty() {
            self.turn().await?;
            if self.idle.is_some() && self.listed.elapsed() >= LIST_EVERY {
                self.plan_anew().await?;
                continue;
            }
            match self.open.iter().find(|candidate| !candidate.due.waits_for_probe()).cloned() {
                Some(candidate) => {
                    let ended = self.restart_one(&candidate).await;
                    self.open.retain(|open| !self.done.contains(&open.uid));
                    ended?;
                }
                None => self.wait_for_probe().await?,
            }
            if self.open.is_empty() {
                self.plan_anew().await?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, plan: Plan) {
        self.all = self.done.len() + plan.restarts.len();
        (self.open, self.tally.left, self.listed) = (plan.restarts, plan.left, Instant::now());
    }

    /// What is to be done beside what has been done.
    async fn plan_anew(&mut self) -> Result<(), Stop> {
        loop {
            let read = async { Ok((self.workspaces.list(self.arguments).await?, self.workspaces.now().await?)) };
            match read.await {
                Ok((workspaces, now)) => {
                    self.outage.end();
                    self.follow(plan(workspaces, &self.done, self.idle, now));
                    return Ok(());
                }
                Err(error) => self.unanswered(&error).await?,
            }
        }
    }

    /// Waits for the next list. Each has a probe within an interval, or counts as unknown after two; where all of them seem
    /// to be older than they are, it would wait for ever.
    async fn wait_for_probe(&mut self) -> Result<(), Stop> {
        let patience =
            self.idle.map_or(Duration::ZERO, |rule| rule.interval.saturating_mul(2).saturating_add(PROBE_LATE));
        if self.probe_awaited.get_or_insert_with(Instant::now).elapsed() > patience {
            for Candidate { key, uid, .. } in std::mem::take(&mut self.open) {
                self.done.others.insert(uid);
                self.skipped.entry(Left::NeverFresh).or_default().push(key);
            }
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_probe_wait_reported, true) {
            let open = text::workspaces(self.open.len());
            self.screen.print(&format!("waiting for the next probe of {open}\n"));
        }
        self.wait(Awaited::Probe, self.listed + LIST_EVERY).await
    }

    /// Restarts a Workspace once it may be.
    async fn restart_one(&mut self, candidate: &Candidate) -> Result<(), Stop> {
        let key = &candidate.key;
        let (mut asked, mut conflicts) = (None, 0);
        loop {
            self.turn().await?;
            match self.try_restart(candidate, &mut asked).await {
                Restart::Done(before) => {
                    self.restarted(candidate, before);
                    return Ok(());
                }
                Restart::Later => {
                    self.outage.end();
                    let open = self.open.iter_mut().filter(|open| open.uid == candidate.uid);
                    open.filter_map(|open| open.due.idle.as_mut()).for_each(|idle| idle.is_fresh = false);
                    return Ok(());
                }
                Restart::Left(left) => {
                    self.outage.end();
                    self.done.others.insert(candidate.uid.clone());
                    self.skipped.entry(left).or_default().push(key.clone());
                    self.screen.print(&format!("{key} is left: {}\n", text::why(left, self.arguments)));
                    return Ok(());
                }
                Restart::Failed(error) => match Failure::of(&error) {
                    Failure::Unanswered => self.unanswered(&error).await?,
                    Failure::Conflict if conflicts < CONFLICTS_MAX => conflicts += 1,
                    Failure::Conflict | Failure::Missing | Failure::Refused => return self.refused(candidate, &error),
                },
            }
        }
    }

    /// Asks for the restart, if it is still due. `asked` is the time that was sent before, of which it is not known whether it
    /// is stored.
    async fn try_restart(&self, candidate: &Candidate, asked: &mut Option<String>) -> Restart {
        // In this order: no probe is older than it seems.
        let read = async { Ok((self.workspaces.read(&candidate.key).await?, self.workspaces.now().await?)) };
        let (incoming, now) = match read.await {
            Ok(read) => read,
            Err(error) if matches!(Failure::of(&error), Failure::Missing) => return Restart::Left(Left::Gone),
            Err(error) => return Restart::Failed(error),
        };
        let Ok(workspace) = incoming.object else { return Restart::Left(Left::Unreadable) };
        if workspace.identity.uid != candidate.uid {
            return Restart::Left(Left::Gone);
        }
        if asked.is_some() && asked.as_deref() == workspace.restart_at.as_deref() {
            return Restart::Done(candidate.due.before);
        }
        let due = match standing(&workspace, self.idle, now) {
            Ok(due) if due.waits_for_probe() => return Restart::Later,
            Err(Left::InUse | Left::Unknown(_)) => return Restart::Later,
            Ok(due) => due,
            Err(left) => return Restart::Left(left),
        };
        let at = asked.insert(now.to_string());
        match self.workspaces.restart(&workspace.identity, at).await {
            Ok(()) => Restart::Done(due.before),
            Err(error) if matches!(Failure::of(&error), Failure::Missing) => Restart::Left(Left::Gone),
            Err(error) => Restart::Failed(error),
        }
    }

    fn restarted(&mut self, candidate: &Candidate, before: Before) {
        let Candidate { key, uid, .. } = candidate;
        self.pace.restarted();
        self.outage.end();
        (self.refusals, self.progressed, self.probe_awaited) = (0, Instant::now(), None);
        self.done.restarted.insert(uid.clone());
        self.tally.restarted += 1;
        self.screen.print(&format!("{key} is restarted ({} of {})\n", self.done.len(), self.all));
        let why = NOT_REPLACED.to_owned();
        self.away.push(Away { key: key.clone(), uid: uid.clone(), before, why });
    }

    /// Goes on with the next one, unless all are refused.
    fn refused(&mut self, candidate: &Candidate, error: &CallError) -> Result<(), Stop> {
        let why = causes(error);
        self.outage.end();
        self.refusals += 1;
        self.done.others.insert(candidate.uid.clone());
        self.screen.print(&format!("{} is not restarted: {why}\n", candidate.key));
        self.tally.refused.push((candidate.key.clone(), why.clone()));
        if self.refusals < REFUSALS_MAX { Ok(()) } else { Err(Stop::Refused(why)) }
    }

    /// Waits until another restart may be.
    async fn turn(&mut self) -> Result<(), Stop> {
        loop {
            let is_full = self.away.len() >= self.arguments.max_unavailable;
            if !is_full {
                self.is_wait_reported = false;
                if self.signals.is_empty() && self.pace.due() <= Instant::now() {
                    return Ok(());
                }
            } else if !std::mem::replace(&mut self.is_wait_reported, true) {
                let away = text::workspaces(self.away.len());
                self.screen.print(&format!("waiting for {away} to become available again (--max-unavailable)\n"));
            }
            if is_full {
                self.wait(Awaited::Available, self.look_at).await?;
                self.check_deadline()?;
            } else {
                self.wait(Awaited::Turn, self.pace.due()).await?;
            }
        }
    }

    /// Waits until all that were restarted are available again.
    async fn come_back(&mut self) -> Result<(), Stop> {
        if !self.away.is_empty() {
            let away = text::workspaces(self.away.len());
            self.screen.print(&format!("waiting for {away} to become available again\n"));
        }
        while !self.away.is_empty() {
            self.wait(Awaited::Available, self.look_at).await?;
            self.check_deadline()?;
        }
        Ok(())
    }

    fn check_deadline(&self) -> Result<(), Stop> {
        let is_late = !self.away.is_empty() && self.progressed.elapsed() >= self.arguments.progress_deadline;
        if is_late { Err(Stop::NotAvailable) } else { Ok(()) }
    }

    /// Waits until then, but not longer than until those that were restarted have been looked at once more.
    async fn wait(&mut self, awaited: Awaited, until: Instant) -> Result<(), Stop> {
        let next = until.saturating_duration_since(Instant::now());
        let remaining = self.all.saturating_sub(self.done.len());
        let left = next + duration(remaining, self.arguments.max.interval());
        let (done, all, away) = (self.done.len(), self.all, self.away.len());
        self.screen.status(|| text::status(done, all, away, awaited, next, left));
        self.sleep(until.min(self.look_at)).await?;
        if self.look_at <= Instant::now() {
            self.look().await?;
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(())
    }

    /// Looks which of those that were restarted are available again.
    async fn look(&mut self) -> Result<(), Stop> {
        let mut index = 0;
        while let Some(away) = self.away.get_mut(index) {
            let now = match self.workspaces.read(&away.key).await {
                Err(error) if matches!(Failure::of(&error), Failure::Missing) => Aftermath::Over,
                // The others are looked at the next time.
                Err(error) => return self.outage_of(&error).map(drop),
                Ok(incoming) if incoming.identity().uid != away.uid => Aftermath::Over,
                Ok(incoming) => incoming.object.map_or_else(Aftermath::Away, |now| aftermath(away.before, &now)),
            };
            self.outage.end();
            match now {
                Aftermath::Over => {
                    self.away.remove(index);
                    self.progressed = Instant::now();
                }
                Aftermath::Away(why) => {
                    away.why = why;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// The API server gave no answer: it may in a moment, and if not for long, there is no use in going on.
    async fn unanswered(&mut self, error: &CallError) -> Result<(), Stop> {
        let pause = self.outage_of(error)?;
        // Meanwhile there may have been probes.
        self.probe_awaited = None;
        self.screen.print(&format!("no answer, trying again in {} s: {}\n", pause.as_secs(), causes(error)));
        self.sleep(Instant::now() + pause).await
    }

    /// How long to wait for the next request.
    fn outage_of(&mut self, error: &CallError) -> Result<Duration, Stop> {
        self.outage.pause().ok_or_else(|| Stop::Unanswered(causes(error)))
    }

    /// Sleeps until then, or until a signal comes.
    async fn sleep(&mut self, until: Instant) -> Result<(), Stop> {
        tokio::select! {
            biased;
            Some(_) = self.signals.recv() => Err(Stop::Signal),
            () = sleep_until(until) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
