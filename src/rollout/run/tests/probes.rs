//! Only what is idle is restarted: each Workspace right after a probe, however long that takes.

use super::*;
use crate::activity::idle::IdleUnknown;

pub(super) const INTERVAL: Duration = Duration::from_hours(1);
const HOUR: i64 = 3600;
/// Long before anything begins.
const LONG_AGO: i64 = -24 * HOUR;

/// The last probe at that second, of one that is probed every hour from `first` on, and has been so before.
fn last_probe(first: i64, second: i64) -> i64 {
    second - (second - first).rem_euclid(HOUR)
}

fn idle(ended: i64) -> Probed {
    Probed { ended, last_active: LONG_AGO, is_success: true }
}

fn only_idle(max: &str) -> Rollout {
    Rollout { idle_for: Some(Duration::from_mins(30)), ..arguments(max) }
}

fn fixture(names: &[String], probes: impl Fn(&str, i64) -> Probed + Send + 'static) -> Fixture {
    let fixture = Fixture::new(names, &[], true);
    fixture.server().probes = Some(Box::new(probes));
    fixture
}

fn number(name: &str) -> i64 {
    name.rsplit('-').next().unwrap().parse().unwrap()
}

fn took(fixture: &Fixture) -> u64 {
    fixture.start.elapsed().as_secs()
}

/// The second of each restart; they were those of these Workspaces.
fn seconds(server: &Server, expected: &[&str]) -> Vec<i64> {
    let (seconds, names): (Vec<i64>, Vec<&str>) = server.tried.iter().map(|(at, name)| (*at, &**name)).unzip();
    assert_eq!(names, expected);
    seconds
}

/// All of them once, each at most 30 seconds after its probe, and at least `apart` seconds from one to the next. Returns the second
/// of the last one.
fn are_all_restarted_after_their_probes(
    fixture: &Fixture,
    count: usize,
    apart: i64,
    first: impl Fn(i64) -> i64,
) -> i64 {
    let server = fixture.server();
    assert_eq!((server.restarts.len(), server.tried.len()), (count, count));
    for (second, name) in &server.tried {
        let age = second - last_probe(first(number(name)), *second);
        assert!(age <= 30, "{name} at {second}, {age} s after its probe");
    }
    let seconds: Vec<i64> = server.tried.iter().map(|(second, _)| *second).collect();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] >= apart), "{seconds:?}");
    *seconds.last().unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_idle_is_restarted_after_its_next_probe_and_only_if_that_finds_it_idle() {
    let names: Vec<_> = ["back", "fails", "idle-10", "idle-20", "stops"].map(str::to_owned).into();
    // Half an hour after the start, but for the two that are idle: in 10 and in 20 minutes.
    let fixture = fixture(&names, |name, second| {
        let first = if name.starts_with("idle") { number(name) * 60 } else { HOUR / 2 };
        let ended = last_probe(first, second);
        match name {
            "back" if ended > 0 => Probed { last_active: ended - 60, ..idle(ended) },
            "fails" if ended > 0 => Probed { is_success: false, ..idle(ended) },
            "stops" => idle(first - HOUR),
            _ => idle(ended),
        }
    });
    let (ended, tally) = fixture.roll_out(&only_idle("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Ok(()), 2, 0));
    let key = |name: &str| vec![Key::new("team-a", name)];
    let left = LeftBy::from([
        (Left::InUse, key("back")),
        (Left::Unknown(IdleUnknown::ProbeFailed), key("fails")),
        (Left::Unknown(IdleUnknown::Outdated), key("stops")),
    ]);
    assert_eq!(tally.left, left);
    let server = fixture.server();
    let seconds = seconds(&server, &["idle-10", "idle-20"]);
    assert!((600..=612).contains(&seconds[0]) && (1200..=1212).contains(&seconds[1]), "{seconds:?}");
    // No probe for more than two intervals; one list every ten seconds.
    let took = took(&fixture);
    assert!((5400..5420).contains(&took), "{took}");
    assert!(server.lists <= 545, "{}", server.lists);
}

#[tokio::test(start_paused = true)]
async fn what_was_fresh_in_the_list_is_judged_once_more_at_its_turn() {
    let names: Vec<_> = ["first", "back", "late"].map(str::to_owned).into();
    let fixture = fixture(&names, |name, second| match name {
        "first" => idle(last_probe(-20, second)),
        // Six seconds later it has been probed anew. It is idle again when it is probed after an hour.
        "back" if second >= 3 => Probed { last_active: 3, ..idle(last_probe(3, second)) },
        "back" => Probed { last_active: LONG_AGO + 1, ..idle(-25) },
        // Six seconds later that is 34 seconds ago.
        _ => Probed { last_active: LONG_AGO + 2, ..idle(if second < 4000 { -28 } else { 4000 }) },
    });
    let (ended, tally) = fixture.roll_out(&only_idle("10/min")).await;
    assert_eq!((ended, tally.restarted), (Ok(()), 3));
    let seconds = seconds(&fixture.server(), &["first", "back", "late"]);
    let is_after = |index: usize, probe: i64| (probe..=probe + 12).contains(&seconds[index]);
    assert!(seconds[0] == 0 && is_after(1, HOUR + 3) && is_after(2, 4000), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn eight_hundred_that_are_probed_each_hour_all_have_their_turn() {
    let first = |number: i64| number * HOUR / 800;
    let fixture = fixture(&names(800), move |name, second| idle(last_probe(first(number(name)), second)));
    let (ended, tally) = fixture.roll_out(&only_idle("10/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Ok(()), 800, 0));
    let last = are_all_restarted_after_their_probes(&fixture, 800, 6, first);
    // The pace alone would take 80 minutes; towards the end it waits for the probe of this or that one.
    assert!((799 * 6..2 * 3600).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn those_that_are_probed_at_the_same_time_have_their_turn_hour_by_hour() {
    // Within 20 seconds.
    let first = |number: i64| 600 + number;
    let fixture = fixture(&names(20), move |name, second| idle(last_probe(first(number(name)), second)));
    let (ended, tally) = fixture.roll_out(&only_idle("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Ok(()), 20, 0));
    let last = are_all_restarted_after_their_probes(&fixture, 20, 12, first);
    // Four in the fifty seconds of each hour in which one of them has a fresh probe.
    assert!((600 + 4 * 3600..600 + 6 * 3600).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_seconds_is_no_wait() {
    let fixture = fixture(&names(3), |_, second| idle(second - second.rem_euclid(10)));
    let (ended, tally) = fixture.roll_out(&only_idle("5/min")).await;
    assert_eq!((ended, tally.restarted), (Ok(()), 3));
    let names = ["lab-000", "lab-001", "lab-002"];
    assert_eq!(seconds(&fixture.server(), &names), [0, 12, 24]);
}

#[tokio::test(start_paused = true)]
async fn where_the_clocks_differ_it_ends_after_two_intervals() {
    let fixture = fixture(&names(2), |_, second| idle(last_probe(0, second) - 31));
    let (ended, tally) = fixture.roll_out(&only_idle("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Ok(()), 0, 0));
    let keys = vec![Key::new("team-a", "lab-000"), Key::new("team-a", "lab-001")];
    assert_eq!(tally.left, LeftBy::from([(Left::NeverFresh, keys)]));
    let took = took(&fixture);
    assert!((7260..7280).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_the_wait_for_a_probe() {
    let fixture = fixture(&names(3), |_, second| idle(last_probe(1800, second)));
    let (ended, tally) = fixture.stopped_after(1000, &only_idle("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Err(Stop::Signal), 0, 3));
    assert_eq!(took(&fixture), 1000);
}
