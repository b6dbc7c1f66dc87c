//! What is done in a soak and when, drawn by a seed before it begins.
//!
//! There are three tracks, each played one event after the other, side by side: what disrupts the replicas or the API server, what
//! is done to certificates, and what is done to watches. Whatever is on different tracks may coincide, but for late watches: a
//! fail-over has a limit, which they would stretch.

use std::time::Duration;

use fastrand::Rng;

/// The replicas that are killed and restarted. One more, [`STEADY`], never is: its memory is measured.
pub const RESTARTED: [usize; 2] = [0, 1];
pub const STEADY: usize = 2;
pub const REPLICAS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// SIGKILL of the leader; another process takes its place at once.
    KillLeader,
    /// SIGSTOP of the leader for longer than the Lease lasts, then SIGCONT.
    HangLeader,
    /// Each replica but the steady one is replaced: the next process is ready before the old one gets SIGTERM.
    RollingRestart,
    /// SIGKILL of the API server, which is started again.
    RestartApiServer,
    /// The replicas lose every right for some time.
    TakeRights,
    /// A certificate of the same CA is stored.
    RenewCertificate,
    /// A new CA is stored, to sign once it is trusted.
    RotateCa,
    /// Watches end in the middle of an event.
    CutWatches,
    /// Watches end as too old.
    ExpireWatches,
    /// Events of watches are late for some time.
    DelayWatches,
}

impl Event {
    pub const DISRUPTIONS: [Self; 5] =
        [Self::KillLeader, Self::HangLeader, Self::RollingRestart, Self::RestartApiServer, Self::TakeRights];
    pub const ALL: [Self; 10] = [
        Self::KillLeader,
        Self::HangLeader,
        Self::RollingRestart,
        Self::RestartApiServer,
        Self::TakeRights,
        Self::RenewCertificate,
        Self::RotateCa,
        Self::CutWatches,
        Self::ExpireWatches,
        Self::DelayWatches,
    ];

    /// Whether another replica has to lead within a limit.
    pub fn has_fail_over(self) -> bool {
        matches!(self, Self::KillLeader | Self::HangLeader | Self::RollingRestart)
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// After the beginning.
    pub at: Duration,
    pub event: Event,
    /// Whose watches it is about; nothing for those of all.
    pub replica: Option<usize>,
}

/// How long a soak is, how much happens in it, and how long events take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub duration: Duration,
    pub events: usize,
    /// How long a Lease lasts.
    pub lease: Duration,
    /// How long the replicas are without rights.
    pub without_rights: Duration,
    /// Between two new CAs, at least.
    pub between_cas: Duration,
    /// How long events are late for.
    pub delayed: Duration,
}

impl Pace {
    /// About how long until everything is as before.
    fn span(&self, event: Event) -> Duration {
        let seconds = Duration::from_secs;
        match event {
            Event::KillLeader => self.lease + seconds(6),
            Event::HangLeader => self.lease.mul_f64(4.0 / 3.0) + seconds(6),
            Event::RollingRestart => seconds(16),
            Event::RestartApiServer => seconds(12),
            Event::TakeRights => self.without_rights + self.lease,
            Event::DelayWatches => self.delayed,
            _ => Duration::ZERO,
        }
    }
}

/// The tracks, each in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub disruptions: Vec<Planned>,
    pub certificates: Vec<Planned>,
    pub watches: Vec<Planned>,
}

impl Plan {
    pub fn draw(seed: u64, pace: &Pace) -> Self {
        let mut rng = Rng::with_seed(seed);
        let disruptions = disruptions(&mut rng, pace);
        // A twelfth of all, and each sort at least once.
        let certificates = certificates(&mut rng, pace, (pace.events / 12).max(2));
        let rest = pace.events - disruptions.len() - certificates.len();
        let watches = watches(&mut rng, pace, rest, &disruptions);
        Self { disruptions, certificates, watches }
    }

    pub fn count(&self) -> usize {
        self.disruptions.len() + self.certificates.len() + self.watches.len()
    }

    /// How many there are of each sort.
    pub fn by_sort(&self) -> Vec<(Event, usize)> {
        let all = || self.disruptions.iter().chain(&self.certificates).chain(&self.watches);
        Event::ALL.map(|event| (event, all().filter(|planned| planned.event == event).count())).to_vec()
    }
}

fn between(rng: &mut Rng, from: Duration, to: Duration) -> Duration {
    from + to.saturating_sub(from).mul_f64(rng.f64())
}

fn disruptions(rng: &mut Rng, pace: &Pace) -> Vec<Planned> {
    let mut first = Event::DISRUPTIONS.to_vec();
    rng.shuffle(&mut first);
    let mut planned = Vec::new();
    let mut at = Duration::from_secs(2);
    loop {
        let event = first.pop().unwrap_or_else(|| Event::DISRUPTIONS[rng.usize(..Event::DISRUPTIONS.len())]);
        if at + pace.span(event) > pace.duration {
            return planned;
        }
        planned.push(Planned { at, event, replica: None });
        at += pace.span(event) + between(rng, Duration::from_millis(200), Duration::from_secs(3));
    }
}

fn certificates(rng: &mut Rng, pace: &Pace, count: usize) -> Vec<Planned> {
    let turn = pace.duration / u32::try_from(count).unwrap();
    let mut next_ca = Duration::ZERO;
    (0..count)
        .map(|number| {
            let from = turn * u32::try_from(number).unwrap();
            let at = between(rng, from, from + turn);
            // Each sort once first.
            let is_ca = number == 0 || (number > 1 && at >= next_ca && rng.u8(..6) == 0);
            if is_ca {
                next_ca = at + pace.between_cas;
            }
            let event = if is_ca { Event::RotateCa } else { Event::RenewCertificate };
            Planned { at, event, replica: None }
        })
        .collect()
}

fn watches(rng: &mut Rng, pace: &Pace, count: usize, disruptions: &[Planned]) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    let latest = pace.duration.saturating_sub(pace.delayed);
    for number in 0..count {
        let drawn = match (number, rng.u8(..10)) {
            (0, _) | (3.., 0) => Event::DelayWatches,
            (1, _) | (3.., 1..=3) => Event::ExpireWatches,
            _ => Event::CutWatches,
        };
        let replica = Some(rng.usize(..=REPLICAS)).filter(|replica| *replica < REPLICAS);
        let (mut at, mut event) = (between(rng, Duration::ZERO, latest), drawn);
        // The first one finds its place; others are cuts where there is none.
        let mut tries = if number == 0 { 10_000 } else { 3 };
        while event == Event::DelayWatches && !is_free_for_delay(at, pace, disruptions, &planned) {
            (at, tries) = (between(rng, Duration::ZERO, latest), tries - 1);
            if tries == 0 {
                event = Event::CutWatches;
            }
        }
        planned.push(Planned { at, event, replica });
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn is_free_for_delay(at: Duration, pace: &Pace, disruptions: &[Planned], watches: &[Planned]) -> bool {
    let conflicts = disruptions.iter().filter(|other| other.event.has_fail_over());
    let mut conflicts = conflicts.chain(watches.iter().filter(|other| other.event == Event::DelayWatches));
    !conflicts.any(|other| at < other.at + pace.span(other.event) && other.at < at + pace.delayed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::{LONG, SHORT};

    fn overlap(one: &Planned, other: &Planned, pace: &Pace) -> bool {
        one.at < other.at + pace.span(other.event) && other.at < one.at + pace.span(one.event)
    }

    #[test]
    fn a_plan_has_so_many_events_and_each_sort_of_them() {
        for (seed, pace) in (0..200).flat_map(|seed| [(seed, SHORT.pace), (seed, LONG.pace)]) {
            let plan = Plan::draw(seed, &pace);
            assert_eq!(plan.count(), pace.events, "seed {seed}");
            let missing: Vec<Event> =
                plan.by_sort().into_iter().filter(|(_, count)| *count == 0).map(|(event, _)| event).collect();
            assert!(missing.is_empty(), "seed {seed}: {missing:?}");
            let last = [&plan.disruptions, &plan.certificates, &plan.watches].map(|track| {
                assert!(track.is_sorted_by_key(|planned| planned.at), "seed {seed}");
                track.iter().map(|planned| planned.at + pace.span(planned.event)).max()
            });
            assert!(last.into_iter().flatten().all(|end| end <= pace.duration), "seed {seed}: {last:?}");
        }
    }

    #[test]
    fn events_that_exclude_each_other_do_not_overlap() {
        for (seed, pace) in (0..200).flat_map(|seed| [(seed, SHORT.pace), (seed, LONG.pace)]) {
            let plan = Plan::draw(seed, &pace);
            let delays = plan.watches.iter().filter(|planned| planned.event == Event::DelayWatches);
            let leaders = plan.disruptions.iter().filter(|planned| planned.event.has_fail_over());
            let slow: Vec<Planned> = delays.chain(leaders).copied().collect();
            for track in [&plan.disruptions, &slow] {
                for (number, one) in track.iter().enumerate() {
                    let others = &track[number + 1..];
                    let found = others.iter().find(|other| overlap(one, other, &pace));
                    assert_eq!(found, None, "seed {seed}: {one:?}");
                }
            }
            let cas: Vec<Duration> = plan
                .certificates
                .iter()
                .filter(|planned| planned.event == Event::RotateCa)
                .map(|planned| planned.at)
                .collect();
            assert!(cas.windows(2).all(|pair| pair[1] >= pair[0] + pace.between_cas), "seed {seed}: {cas:?}");
        }
    }

    #[test]
    fn a_seed_is_a_plan() {
        let plan = |seed| Plan::draw(seed, &LONG.pace);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }
}
