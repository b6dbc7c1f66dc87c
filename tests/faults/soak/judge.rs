//! What was measured in a soak, against the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

use cluster::report;

use super::Form;
use super::gauges::{Sample, floors, slope};
use super::plan::Event;
use super::verdict::{Failure, Fault, Incident, unexcused};

/// In less time figures do not show whether they grow: the limit of memory is a third of what it varies by within ten minutes.
const LONG_ENOUGH_FOR_GROWTH: Duration = Duration::from_mins(25);
/// The API server keeps 25 connections to the webhooks, and there are as many requests under way at most; the rest are our own
/// connections, watches and files.
const MOST_DESCRIPTORS: f64 = 128.0;
/// KiB an hour.
const SLOPE_LIMIT: f64 = 1024.0;
/// What comes and goes.
const SPARE: f64 = 8.0;

/// One of the figures of a look.
type Figure = fn(&Sample) -> f64;

/// What was found wrong, reported one by one; the soak fails in the end.
pub struct Verdicts {
    id: &'static str,
    pub wrong: Vec<String>,
}

impl Verdicts {
    pub fn new(id: &'static str) -> Self {
        Self { id, wrong: Vec::new() }
    }

    pub fn judge(&mut self, pass: bool, figure: impl Display, limit: impl Display) {
        let line = format!("{figure}, limit {limit}");
        report(self.id, pass, figure, limit);
        if !pass {
            self.wrong.push(line);
        }
    }

    /// None of these may be there.
    pub fn none<T: Display>(&mut self, what: &str, found: impl IntoIterator<Item = T>) {
        let found: Vec<String> = found.into_iter().map(|found| found.to_string()).collect();
        for line in found.iter().take(20) {
            println!("{what}: {line}");
        }
        self.judge(found.is_empty(), found.len(), format!("0: {what}"));
    }

    pub fn admission(&mut self, failures: &[Failure], reviews: usize, incidents: &[Incident], began: Instant) {
        let (ours, excused) = unexcused(failures, incidents);
        let line = |failure: &Failure| {
            let (from, to) = (failure.from.duration_since(began), failure.to.duration_since(began));
            format!("{from:.1?} to {to:.1?}: {:?}: {}", failure.fault, failure.text)
        };
        let mut sorts: BTreeMap<Fault, usize> = BTreeMap::new();
        for failure in failures {
            *sorts.entry(failure.fault).or_default() += 1;
        }
        println!("soak: failures, excused ones too: {sorts:?}");
        self.none(
            &format!("of {reviews} reviews failed, beside {excused} that nobody could answer"),
            ours.into_iter().map(line),
        );
    }

    /// `asked` is how often for each Workspace, `deleted` when which pods were.
    pub fn restarts(&mut self, asked: &BTreeMap<String, usize>, deleted: &BTreeMap<String, BTreeSet<String>>) {
        let unasked = deleted.iter().filter(|(pod, times)| {
            let of = asked.iter().find(|(name, _)| pod.contains(name.as_str()));
            times.len() > of.map_or(0, |(_, times)| *times)
        });
        let total: usize = deleted.values().map(BTreeSet::len).sum();
        self.none(
            &format!("pods were restarted more often than asked for, of {total} restarts"),
            unasked.map(|(pod, times)| format!("{pod}: {times:?}")),
        );
    }

    pub fn fail_overs(&mut self, fail_overs: &[(Event, Duration)], form: &Form) {
        let after_lease = form.lease[0] + form.take_over;
        let limits = [
            (Event::RollingRestart, "leader that is asked to stop", form.take_over),
            (Event::KillLeader, "leader that is killed", after_lease),
            (Event::HangLeader, "leader that hangs", after_lease),
        ];
        for (event, what, limit) in limits {
            let times: Vec<Duration> =
                fail_overs.iter().filter(|(of, _)| *of == event).map(|(_, took)| *took).collect();
            let longest = times.iter().max().copied().unwrap_or_default();
            let limited =
                format!("{:.2} s: the longest of {} fail-overs of a {what}", limit.as_secs_f64(), times.len());
            let pass = longest <= limit && !times.is_empty();
            self.judge(pass, format!("{:.2} s", longest.as_secs_f64()), limited);
        }
    }

    pub fn resources(&mut self, samples: &[Sample], duration: Duration) {
        let third = duration / 3;
        let part = |number: u32, what: Figure| {
            let from = number * third;
            samples.iter().filter(move |sample| sample.at >= from && sample.at < from + third).map(what)
        };
        let most = part(0, |sample| sample.descriptors).chain(part(1, |sample| sample.descriptors));
        let most = most.chain(part(2, |sample| sample.descriptors)).fold(0.0, f64::max);
        self.judge(most <= MOST_DESCRIPTORS, most, format!("{MOST_DESCRIPTORS}: file descriptors at any time"));
        let floors = floors(samples);
        println!("soak: memory by minute, KiB: {:?}", floors.iter().map(|(_, memory)| *memory).collect::<Vec<_>>());
        if duration < LONG_ENOUGH_FOR_GROWTH {
            return;
        }
        let figures: [(&str, Figure); 2] =
            [("file descriptors", |sample| sample.descriptors), ("threads", |sample| sample.threads)];
        for (what, of) in figures {
            let [earlier, later] = [1, 2].map(|number| part(number, of).fold(f64::MAX, f64::min));
            let limit = earlier + SPARE;
            let limited = format!("{limit}: the least {what} of the last third, {earlier} in the one before");
            self.judge(later <= limit, later, limited);
        }
        let settled = floors.into_iter().filter(|(at, _)| *at >= third);
        let settled: Vec<(f64, f64)> = settled.map(|(at, memory)| (at.as_secs_f64(), memory)).collect();
        let an_hour = slope(&settled).unwrap_or(f64::MAX) * 3600.0;
        let what = format!("{SLOPE_LIMIT} KiB an hour: the slope of memory over the last {} minutes", settled.len());
        self.judge(an_hour < SLOPE_LIMIT, format!("{an_hour:.0} KiB an hour"), what);
    }
}
