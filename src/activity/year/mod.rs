//! Virtual time: generated years of a Workspace, over rules, schedule, record and run.
//!
//! A trace (`trace.rs`) is what happens: use, sleep, clocks that jump, probes that fail or hang, restarts of pod, container and
//! controller, flaps of readiness, edits of the kind. `world.rs` goes from one event to the next as the controller would, with
//! nothing but `status` surviving its restarts. `oracle.rs` knows by the identity of the run, which the status does not
//! record, when the Workspace may be paused, and when it has to be.
//!
//! What must hold in every year:
//! - It is never paused while it is busy, for a probe that failed or was sent to an earlier run, where the first rule that
//!   matches exempts it, or before that rule allows.
//! - It is paused within one interval, and the time of a probe, of being eligible: of the last moment since which it has been
//!   running, idle, eligible, probes can succeed, and the kind has not been edited. So where probes fail, within one interval of
//!   when they work again.
//! - Probes start at least the minimum interval apart, but for a probe that a controller took with it when it ended.
//!
//! `YEAR_SEED=17 cargo test year` runs one year only.

#![allow(clippy::unwrap_used, clippy::panic)]

mod oracle;
mod trace;
mod world;

use world::{Fault, World};

/// How many years are generated.
const YEARS: u64 = 2000;

/// What happened in a year.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    probes: u64,
    pauses: u64,
    runs: u64,
}

/// Runs the years from `first` to `last` on two threads; the first one that is not as it must be, by its seed.
fn run(first: u64, last: u64, fault: Fault) -> Result<Tally, String> {
    let half = |odd: u64| -> Result<Tally, (u64, String)> {
        let mut tally = Tally::default();
        for seed in (first..last).filter(|seed| seed % 2 == odd) {
            let year = World::new(seed, fault).run();
            let year = year.map_err(|violation| (seed, format!("YEAR_SEED={seed}: {violation}")))?;
            tally.probes += year.probes;
            tally.pauses += year.pauses;
            tally.runs += year.runs;
        }
        Ok(tally)
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| half(0));
        let other = half(1);
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    });
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(Tally {
            probes: one.probes + other.probes,
            pauses: one.pauses + other.pauses,
            runs: one.runs + other.runs,
        }),
        (Err(one), Err(other)) => Err(one.min(other).1),
        (Err((_, violation)), Ok(_)) | (Ok(_), Err((_, violation))) => Err(violation),
    }
}

#[test]
fn no_busy_workspace_is_paused_in_two_thousand_years_and_every_idle_one_is() {
    let seed = std::env::var("YEAR_SEED").ok().and_then(|seed| seed.parse().ok());
    let (first, last) = seed.map_or((0, YEARS), |seed: u64| (seed, seed + 1));
    let tally = run(first, last, Fault::None).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{} years: {tally:?}", last - first);
    // Or the test says nothing.
    let years = last - first;
    assert!(
        years == 1 || tally.pauses > 10 * years && tally.probes > 300 * years && tally.runs > 20 * years,
        "{tally:?}"
    );
}

/// - The rules are read from the last to the first, so that a catch-all overrules the exemption before it.
/// - A probe that fails counts as one that finds no activity.
/// - What is known of the activity in a run is kept in the next one.
/// - A time in which probes were missed counts as idle.
/// - What was found is forgotten where the API server did not take it.
#[test]
fn planted_faults_are_caught() {
    let (exempt, early, late) = ("no rule pauses it", "paused before the rule allows", "not paused");
    for (fault, violations) in [
        (Fault::RulesReversed, &[exempt, early, late][..]),
        (Fault::FailureIsInactivity, &["paused for a probe that failed"]),
        (Fault::ActivityOfThePreviousRun, &[early, late]),
        (Fault::GapIsInactivity, &[early]),
        (Fault::UnwrittenIsForgotten, &[early]),
    ] {
        let caught = run(0, 100, fault).map_or_else(|violation| violation, |tally| format!("no fault: {tally:?}"));
        assert!(violations.iter().any(|violation| caught.contains(violation)), "{fault:?}: {caught}");
        println!("{fault:?}: {caught}");
    }
}
