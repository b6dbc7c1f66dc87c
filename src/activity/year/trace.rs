//! What happens to a Workspace in a year.

use fastrand::Rng;

pub const SECOND: i64 = 1000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
pub const YEAR: i64 = 365 * DAY;

/// Something that happens. Times are in milliseconds.
#[derive(Clone, Debug)]
pub enum Event {
    /// Its user, who starts it if it is paused, has it compute for so long.
    Use(i64),
    /// A computation ends.
    UseEnds,
    /// It is not ready for so long, and runs on.
    Flap(i64),
    /// The container `main` is restarted, and ready after so long.
    ContainerRestarts(i64),
    /// The pod is replaced, and the new one ready after so long.
    PodRestarts(i64),
    /// Probes fail from now on.
    ProbesFail,
    /// Probes are not answered from now on.
    ProbesHang,
    /// Probes are answered again.
    ProbesWork,
    /// The clock of the controller jumps.
    ClockJumps(i64),
    /// The rules are edited.
    Rules(Vec<Rule>),
    /// The intervals are edited: the regular one and the minimum, in seconds.
    Intervals(i64, i64),
    /// The controller is restarted, and not there for so long.
    ControllerRestarts(i64),
}

/// A rule, and whether it matches the Workspace.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub matches: bool,
    pub pauses: bool,
    pub idle_seconds: i32,
    pub min_running_seconds: i32,
}

/// The events of a year, by time, and which kind of probe the Workspace has.
pub fn generate(random: &mut Rng) -> Vec<(i64, Event)> {
    let mut events = vec![(0, Event::Rules(rules(random))), (0, intervals(random))];
    uses(random, &mut events);
    let rare = |random: &mut Rng, most: usize| random.usize(..=most);
    for _ in 0..rare(random, 40) {
        events.push((random.i64(0..YEAR), Event::Flap(short(random))));
    }
    for _ in 0..rare(random, 20) {
        events.push((random.i64(0..YEAR), Event::ContainerRestarts(short(random))));
        events.push((random.i64(0..YEAR), Event::PodRestarts(short(random))));
    }
    for _ in 0..rare(random, 20) {
        let at = random.i64(0..YEAR);
        events.push((at, if random.bool() { Event::ProbesFail } else { Event::ProbesHang }));
        events.push((at + log(random, 10 * SECOND, 3 * DAY), Event::ProbesWork));
    }
    for _ in 0..rare(random, 6) {
        // A jump, and mostly one back.
        let (at, jump) = (random.i64(0..YEAR), log(random, 2 * MINUTE, YEAR) * if random.bool() { 1 } else { -1 });
        events.push((at, Event::ClockJumps(jump)));
        if random.u8(..4) != 0 {
            events.push((at + log(random, SECOND, 3 * DAY), Event::ClockJumps(-jump)));
        }
    }
    for _ in 0..rare(random, 10) {
        events.push((random.i64(0..YEAR), Event::Rules(rules(random))));
        events.push((random.i64(0..YEAR), intervals(random)));
    }
    for _ in 0..rare(random, 40) {
        events.push((random.i64(0..YEAR), Event::ControllerRestarts(random.i64(0..MINUTE))));
    }
    events.retain(|(at, _)| *at < YEAR);
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Some sessions on most days, each of some computations. Some end after days.
fn uses(random: &mut Rng, events: &mut Vec<(i64, Event)>) {
    let (days, sessions) = (random.u8(1..=7), random.u8(1..=3));
    for day in (0..365).filter(|day| day % 7 < i64::from(days)) {
        for _ in 0..random.u8(..=sessions) {
            let mut at = day * DAY + random.i64(7 * HOUR..20 * HOUR);
            for _ in 0..random.u8(1..=3) {
                let busy = if random.u8(..50) == 0 { log(random, DAY, 7 * DAY) } else { log(random, SECOND, 4 * HOUR) };
                events.push((at, Event::Use(busy)));
                events.push((at + busy, Event::UseEnds));
                at += log(random, SECOND, HOUR);
            }
        }
    }
}

fn intervals(random: &mut Rng) -> Event {
    // Short ones are rare: they are what takes time here.
    let longest = if random.u8(..20) == 0 { HOUR } else { 2 * DAY };
    let interval = log(random, if longest == HOUR { 10 * MINUTE } else { HOUR }, longest) / SECOND;
    Event::Intervals(interval, (interval / random.i64(1..=12)).max(1))
}

fn rules(random: &mut Rng) -> Vec<Rule> {
    (0..random.usize(..=4)).map(|_| rule(random)).collect()
}

fn rule(random: &mut Rng) -> Rule {
    let seconds = |random: &mut Rng, least, most| i32::try_from(log(random, least, most) / SECOND).unwrap_or(i32::MAX);
    Rule {
        matches: random.bool(),
        pauses: random.u8(..4) != 0,
        idle_seconds: seconds(random, 20 * SECOND, 3 * DAY),
        min_running_seconds: if random.bool() { 0 } else { seconds(random, SECOND, DAY) },
    }
}

fn short(random: &mut Rng) -> i64 {
    log(random, SECOND, 10 * MINUTE)
}

/// A time between two others, about as often of each order of magnitude.
pub fn log(random: &mut Rng, least: i64, most: i64) -> i64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a year in milliseconds is exact
    let between = |fraction: f64| ((least as f64) * (most as f64 / least as f64).powf(fraction)) as i64;
    between(random.f64())
}
