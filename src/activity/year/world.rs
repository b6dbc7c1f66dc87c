//! A Workspace, its cluster and the controller, from one event to the next.

use std::time::Duration;

use crds::workspace::WorkspaceStatus;
use crds::workspace_kind::ActivityRule;
use fastrand::Rng;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::record::{ProbeFacts, Verdict, record};
use super::super::report::{Found, ProbeFailure, ProbeReport};
use super::super::rules::{Decision, Labels, PauseRule, decide};
use super::super::run::{self, Run};
use super::super::schedule::{LastOutcome, LastProbe, ScheduleFacts, due_in};
use super::Tally;
use super::oracle::Oracle;
use super::trace::{self, Event, MINUTE, Rule, SECOND, YEAR};
use crate::stores::pod::{ContainerPhase, Pod};

/// When a year begins, in milliseconds since 1970.
const BEGIN: i64 = 1_800_000_000_000;
/// After how long a probe that is not answered is given up.
const TIMEOUT: i64 = 10 * SECOND;

/// What is planted into the controller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    None,
    RulesReversed,
    FailureIsInactivity,
    ActivityOfThePreviousRun,
    GapIsInactivity,
    UnwrittenIsForgotten,
}

/// What probes report.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// As Jupyter: busy, or the last activity, of which its start is one.
    Jupyter,
    /// As a script that knows only whether it is in use.
    Script,
    /// As a script that looks at files, which may be older than the run.
    Files,
}

/// How probes fare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    Work,
    Fail,
    Hang,
}

/// The last probe, in true time: a process knows it by its monotonic clock.
#[derive(Clone, Debug)]
struct Memory {
    started: i64,
    ended: i64,
    outcome: LastOutcome,
    run: Option<Run>,
    /// The newest activity that a probe of that run found.
    found: i64,
}

impl Memory {
    fn found_in(&self, run: &Run) -> i64 {
        if self.run.as_ref() == Some(run) { self.found } else { 0 }
    }
}

/// A probe that has been sent.
#[derive(Clone, Debug)]
struct Sent {
    at: i64,
    clock: Timestamp,
    ends: i64,
    to: Run,
    /// The number of that run, which the controller does not know.
    number: u64,
    /// What would have been answered at once.
    at_once: Found,
    /// The report, once it has ended.
    report: Option<ProbeReport>,
}

/// All of it. Times are true ones, in milliseconds since 1970, unless they are by the clock of the controller.
pub struct World {
    seed: u64,
    fault: Fault,
    random: Rng,
    now: i64,
    /// How far the clock of the controller is ahead.
    ahead: i64,
    // The Workspace.
    style: Style,
    paused: bool,
    run: u64,
    pod: Pod,
    pods: u64,
    started: i64,
    ready_from: i64,
    busy_until: i64,
    used: i64,
    answers: Answers,
    // The kind.
    interval: i64,
    min_interval: i64,
    rules: Vec<Rule>,
    decision: Option<Decision>,
    // What is stored.
    status: WorkspaceStatus,
    // The controller.
    back_from: i64,
    memory: Option<Memory>,
    sent: Option<Sent>,
    /// When the last probe started that it knows of.
    last_start: Option<i64>,
    oracle: Oracle,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Rng::with_seed(seed);
        let style = [Style::Jupyter, Style::Script, Style::Files][random.usize(..3)];
        Self {
            seed,
            fault,
            random,
            now: BEGIN,
            ahead: 0,
            style,
            paused: true,
            run: 0,
            pod: Pod::default(),
            pods: 0,
            started: 0,
            ready_from: 0,
            busy_until: 0,
            used: BEGIN - trace::DAY,
            answers: Answers::Work,
            interval: 1,
            min_interval: 1,
            rules: Vec::new(),
            decision: None,
            status: WorkspaceStatus::default(),
            back_from: 0,
            memory: None,
            sent: None,
            last_start: None,
            oracle: Oracle::default(),
            tally: Tally::default(),
        }
    }

    /// Runs the year. The error says what must not be, and when it was.
    pub fn run(mut self) -> Result<Tally, String> {
        let events = trace::generate(&mut self.random);
        for (at, event) in events {
            self.until(BEGIN + at)?;
            let is_jump = matches!(event, Event::ClockJumps(_));
            self.happens(event);
            // A jump of its clock is no event to the controller.
            if !is_jump {
                self.reconcile();
            }
            self.disturbed();
        }
        self.until(BEGIN + YEAR)?;
        Ok(self.tally)
    }

    /// What the controller does until an event happens.
    fn until(&mut self, event: i64) -> Result<(), String> {
        loop {
            let next = self.next().filter(|next| *next <= event);
            self.now = next.unwrap_or(event);
            if let Some(late) = self.oracle.overdue(&self.rules, self.interval, self.now, self.clock()) {
                return Err(self.violation(&format!("not paused {} s after it had to be", late / SECOND)));
            }
            if next.is_none() {
                return Ok(());
            }
            self.act()?;
            self.reconcile();
            if self.can_be_paused() != self.oracle.is_undisturbed() {
                self.disturbed();
            }
        }
    }

    fn violation(&self, what: &str) -> String {
        let hours = (self.now - BEGIN) / trace::HOUR;
        format!(
            "{what}, hour {hours}: interval {} s, rules {:?}, {:?}",
            self.interval, self.rules, self.status.activity
        )
    }

    /// The time by the clock of the controller.
    fn clock(&self) -> i64 {
        self.now + self.ahead
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock()).unwrap_or(Timestamp::MAX)
    }

    fn is_ready(&self) -> bool {
        !self.paused && self.now >= self.ready_from
    }

    fn is_up(&self) -> bool {
        self.now >= self.back_from
    }

    fn is_busy(&self) -> bool {
        self.now < self.busy_until
    }

    /// When the controller has something to do next.
    fn next(&self) -> Option<i64> {
        if !self.is_up() {
            return Some(self.back_from);
        }
        if let Some(sent) = &self.sent {
            return Some(sent.ends);
        }
        if self.paused {
            return None;
        }
        if !self.is_ready() {
            return Some(self.ready_from);
        }
        let run = self.recorded_run()?;
        Some(self.now + millis(due_in(&self.schedule(&run, &self.seed.to_string()))))
    }

    fn schedule<'a>(&self, run: &Run, uid: &'a str) -> ScheduleFacts<'a> {
        let since = |time: i64| Duration::from_millis(u64::try_from(self.now - time).unwrap_or_default());
        let last = self.memory.as_ref().map(|memory| LastProbe {
            started: since(memory.started),
            ended: since(memory.ended),
            outcome: if memory.run.as_ref() == Some(run) { memory.outcome } else { LastOutcome::OfAnotherRun },
        });
        let activity = self.status.activity.as_ref();
        let pause = activity.and_then(|activity| activity.rules.as_ref()?.pause_workspace.as_ref());
        ScheduleFacts {
            interval: seconds(self.interval),
            min_interval: seconds(self.min_interval),
            uid,
            running: u64::try_from(self.clock() - run.since).ok().map(Duration::from_millis),
            last,
            eligible_in: pause.map(|pause| SignedDuration::from_millis(pause.eligible_after - self.clock())),
        }
    }

    fn recorded_run(&self) -> Option<Run> {
        if self.paused { None } else { Run::of(&self.status, &self.pod) }
    }

    /// Does what is due now.
    fn act(&mut self) -> Result<(), String> {
        if self.memory.is_none() && self.is_up() {
            self.remember();
        }
        match self.sent.take() {
            Some(sent) if sent.report.is_some() => self.record(sent),
            Some(sent) => {
                let sent = self.ended(sent);
                // Now and then it takes long until the report is read.
                if self.random.u8(..40) == 0 {
                    let ends = self.now + self.random.i64(MINUTE..10 * MINUTE);
                    self.sent = Some(Sent { ends, ..sent });
                    self.disturbed();
                    return Ok(());
                }
                self.record(sent)
            }
            None => self.send(),
        }
    }

    /// After a start all that is known is in the status.
    fn remember(&mut self) {
        let activity = self.status.activity.as_ref();
        let Some(probe) = activity.and_then(|activity| activity.last_probe.as_ref()) else { return };
        let LastProbe { started, ended, outcome } = LastProbe::recorded(probe, self.timestamp());
        let (started, ended) = (self.now - millis(started), self.now - millis(ended));
        self.memory = Some(Memory { started, ended, outcome, run: self.recorded_run(), found: 0 });
    }

    /// Sends a probe, if one is due.
    fn send(&mut self) -> Result<(), String> {
        let (true, true, Some(run)) = (self.is_up(), self.is_ready(), self.recorded_run()) else { return Ok(()) };
        if !due_in(&self.schedule(&run, &self.seed.to_string())).is_zero() {
            return Ok(());
        }
        if let Some(last) = self.last_start
            && self.now - last < self.min_interval * SECOND
        {
            return Err(self.violation(&format!("probed again after {} ms", self.now - last)));
        }
        self.last_start = Some(self.now);
        self.tally.probes += 1;
        let takes = if self.answers == Answers::Hang { TIMEOUT } else { self.random.i64(20..2 * SECOND) };
        self.sent = Some(Sent {
            at: self.now,
            clock: self.timestamp(),
            ends: self.now + takes,
            to: run,
            number: self.run,
            at_once: self.answer(),
            report: None,
        });
        Ok(())
    }

    /// What the Workspace says of itself, by its own clock, which is right.
    fn answer(&self) -> Found {
        let at = |time: i64| Timestamp::from_millisecond(time).unwrap_or_default();
        match self.style {
            Style::Jupyter | Style::Files if self.is_busy() => Found::ActiveNow,
            Style::Jupyter => Found::LastActive(at(self.used.max(self.started))),
            Style::Files => Found::LastActive(at(self.used)),
            Style::Script if self.is_busy() || self.now - self.used < MINUTE => Found::ActiveNow,
            Style::Script => Found::Inactive,
        }
    }

    /// The report of a probe that ends now. One whose run has ended meanwhile still reports of it.
    fn ended(&self, sent: Sent) -> Sent {
        let result = match self.answers {
            _ if sent.number != self.run || self.paused => Ok(sent.at_once),
            Answers::Work => Ok(self.answer()),
            Answers::Fail => Err(ProbeFailure::Failed("HTTP status 500".to_owned())),
            Answers::Hang => Err(ProbeFailure::Timeout),
        };
        Sent { report: Some(ProbeReport { started: sent.clock, ended: self.timestamp(), result }), ..sent }
    }

    /// Records a report, and pauses the Workspace if that follows.
    fn record(&mut self, sent: Sent) -> Result<(), String> {
        let Sent { at, to, number, report: Some(report), .. } = sent else { return Ok(()) };
        let has_failed = report.result.is_err();
        let planted = match self.fault {
            Fault::FailureIsInactivity if has_failed => ProbeReport { result: Ok(Found::Inactive), ..report.clone() },
            _ => report.clone(),
        };
        let (current, held) = (self.recorded_run(), self.status.activity.clone().unwrap_or_default());
        let (activity, verdict) = record(&ProbeFacts {
            held: &held,
            found_before: self.memory.as_ref().map_or(0, |memory| memory.found_in(&to)),
            probed: &to,
            current: current.as_ref(),
            // With an endless interval no time is too long to have missed something.
            interval: if self.fault == Fault::GapIsInactivity { Duration::MAX } else { seconds(self.interval) },
            report: &planted,
            decision: self.decision.as_ref(),
            now: self.timestamp(),
        });
        let is_written = self.random.u8(..30) != 0;
        let found_now = if self.fault == Fault::UnwrittenIsForgotten { 0 } else { activity.last_activity };

        if is_written {
            self.status.activity = Some(activity);
        }
        let is_of_this_run = number == self.run && !self.paused;
        if let (true, Ok(found)) = (is_of_this_run, report.result) {
            let ended = report.ended.as_millisecond();
            let found = match found {
                Found::ActiveNow => Some(ended),
                Found::LastActive(time) => Some(time.as_millisecond()),
                Found::Inactive => None,
            };
            self.oracle.finds(found, ended, &self.rules, self.interval, is_written);
            self.oracle.reads(self.clock());
        }
        let was_late = self.timestamp() != report.ended;
        self.remember_probe(at, &to, planted.result.is_err() || !is_written, found_now);
        if was_late || !is_written {
            self.disturbed();
        }
        if let (Verdict::Pause(_), true) = (verdict, is_written) {
            self.check_pause(has_failed, is_of_this_run)?;
            self.pause();
        }
        Ok(())
    }

    fn remember_probe(&mut self, started: i64, run: &Run, has_failed: bool, found: i64) {
        let before = self.memory.take().filter(|memory| memory.run.as_ref() == Some(run));
        let before = before.map(|memory| memory.outcome);
        let outcome = match (has_failed, before) {
            (false, _) => LastOutcome::Succeeded,
            (true, Some(LastOutcome::Failed { times })) => LastOutcome::Failed { times: times + 1 },
            (true, _) => LastOutcome::Failed { times: 1 },
        };
        self.memory = Some(Memory { started, ended: self.now, outcome, run: Some(run.clone()), found });
    }

    fn check_pause(&self, has_failed: bool, is_of_this_run: bool) -> Result<(), String> {
        let Some(eligible) = self.oracle.eligible_after(&self.rules) else {
            return Err(self.violation("paused although no rule pauses it"));
        };
        for (must_not_be, what) in [
            (has_failed, "paused for a probe that failed"),
            (self.is_busy(), "paused while it was busy"),
            (!is_of_this_run, "paused for a probe of an earlier run"),
            (self.clock() < eligible, "paused before the rule allows"),
        ] {
            if must_not_be {
                return Err(self.violation(what));
            }
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.paused = true;
        self.tally.pauses += 1;
        self.disturbed();
    }

    /// What the controller does about an event: the status follows the pod and the kind.
    fn reconcile(&mut self) {
        if !self.is_up() || !self.is_ready() {
            return;
        }
        // The kubelet writes whole seconds.
        self.pod.ready_changed = Some(self.ready_from / SECOND);
        let before = self.status.activity.clone();
        let (since, mut activity) = run::of_ready(&self.status, &self.pod, self.timestamp());
        if self.fault == Fault::ActivityOfThePreviousRun {
            activity = before.unwrap_or_default();
        }
        let is_new = since != self.status.last_running_time;
        self.status.last_running_time = since;
        self.status.activity = Some(activity);
        self.oracle.sees_ready(self.run, since_ready(&self.pod));
        if is_new {
            self.disturbed();
        }
    }

    /// Something happened: the time within which the Workspace has to be paused begins anew.
    fn disturbed(&mut self) {
        self.oracle.is_disturbed(self.can_be_paused(), self.now);
    }

    /// Whether a probe that is due would be sent, and find no activity.
    fn can_be_paused(&self) -> bool {
        self.is_up()
            && self.is_ready()
            && !self.is_busy()
            && self.answers == Answers::Work
            && self.sent.as_ref().is_none_or(|sent| sent.report.is_none())
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Use(busy) => {
                if self.paused {
                    let takes = trace::log(&mut self.random, SECOND, 5 * MINUTE);
                    self.paused = false;
                    self.starts(takes, true);
                }
                self.used = self.now;
                self.busy_until = self.busy_until.max(self.now + busy);
            }
            Event::UseEnds if !self.paused => self.used = self.now,
            Event::Flap(takes) => self.ready_from = self.ready_from.max(self.now + takes),
            Event::ContainerRestarts(takes) | Event::PodRestarts(takes) if !self.paused => {
                self.starts(takes, matches!(event, Event::PodRestarts(_)));
            }
            Event::UseEnds | Event::ContainerRestarts(_) | Event::PodRestarts(_) => {}
            Event::ProbesFail => self.answers = Answers::Fail,
            Event::ProbesHang => self.answers = Answers::Hang,
            Event::ProbesWork => self.answers = Answers::Work,
            Event::ClockJumps(by) => self.ahead += by,
            Event::Rules(rules) => {
                self.decision = decision(&rules, self.fault);
                self.rules = rules;
            }
            Event::Intervals(interval, min_interval) => {
                (self.interval, self.min_interval) = (interval, min_interval);
                // What was allowed then need not be now.
                self.last_start = None;
            }
            Event::ControllerRestarts(takes) => {
                self.back_from = self.now + takes;
                (self.memory, self.sent, self.last_start) = (None, None, None);
                self.oracle.forgets(self.status.activity.as_ref().map_or(0, |activity| activity.last_activity));
            }
        }
    }

    /// The container starts, and is ready after some time. What it computed is lost.
    fn starts(&mut self, takes: i64, has_new_pod: bool) {
        self.run += 1;
        self.tally.runs += 1;
        self.pods += u64::from(has_new_pod);
        self.ready_from = self.now + takes;
        self.busy_until = 0;
        // The kubelet writes whole seconds.
        self.started = self.now / SECOND * SECOND;
        self.pod.identity.uid = format!("pod-{}", self.pods).as_str().into();
        self.pod.main.now = ContainerPhase::Running { since: Some(self.started / SECOND) };
    }
}

/// What the rules decide, of which some match the namespace and some do not.
fn decision(rules: &[Rule], fault: Fault) -> Option<Decision> {
    let written = rules.iter().map(|rule| {
        let expression = if rule.matches {
            json!({"key": "team", "operator": "In", "values": ["a", "b"]})
        } else {
            json!({"key": "team", "operator": "NotIn", "values": ["a"]})
        };
        let written = json!({
            "config": {"secondsSinceActive": rule.idle_seconds, "minRunningSeconds": rule.min_running_seconds},
            "match": {"matchNamespace": {"selector": {"matchExpressions": [expression]}}},
            "effect": {"pauseWorkspace": rule.pauses},
        });
        serde_json::from_value::<ActivityRule>(written).unwrap_or_else(|error| panic!("{error}"))
    });
    let written: Vec<_> = written.collect();
    let mut rules: Vec<_> = PauseRule::of(&written).collect();
    if fault == Fault::RulesReversed {
        rules.reverse();
    }
    let namespace = Labels::from([("team".to_owned(), "a".to_owned())]);
    decide(&rules, Some(&namespace), Some(&Labels::new())).unwrap_or_else(|error| panic!("{error}"))
}

/// When a pod became ready, in milliseconds.
fn since_ready(pod: &Pod) -> i64 {
    pod.ready_changed.unwrap_or_default() * SECOND
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Rounded up, or a time that is nearly due would come again and again.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}
