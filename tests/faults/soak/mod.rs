//! The soak: three replicas behind a load balancer, with certificates of their own, while reviews come at an even rate, Workspaces
//! come and go, and everything that can happen to an installation happens again and again, in an order that a seed draws.
//!
//! The long form takes half an hour and has a thousand events; the short one has the same code and a shorter Lease. Both
//! print the seed that they use. `WORKSPACES_SOAK_SEED=<number>` plays that plan again and `WORKSPACES_SOAK_MINUTES=<number>` makes
//! the long form that long, with as many events a minute:
//!
//! ```text
//! WORKSPACES_SOAK_SEED=7 WORKSPACES_SOAK_MINUTES=10 \
//!     cargo test --all-features --test faults -- --ignored --nocapture soak
//! ```
//!
//! What has to hold:
//!
//! - **Admission.** Every review is answered as it should be; `verdict.rs` says which failures are nobody's fault.
//! - **Children.** In the end each Workspace has one child of each sort, and there is none of another one. Duplicates are looked for
//!   all the time.
//! - **Pods.** No replica deletes a pod more often than its user asked for a restart, and the StatefulSets and pods of Workspaces
//!   that nobody edits stay what they are.
//! - **Fail-over.** From the event until the time in the Lease at which the next leader took it.
//! - **Resources.** One replica is never killed nor restarted, so that there is something to measure for the whole time: it hangs
//!   like others when it leads, and its certificates and watches fare as theirs. Its memory is the resident size without mapped
//!   files; the slope is that of a line through the lowest figure of each minute, after a third of the time. There is no count of
//!   tasks, so threads are counted. Of less than 25 minutes nothing is said about growth.

mod census;
mod gauges;
mod judge;
mod load;
mod plan;
mod player;
mod site;
mod verdict;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{alone, wait};
use gauges::Sample;
use judge::Verdicts;
use load::{Load, residents};
use plan::{Pace, Plan, REPLICAS, STEADY};
use player::Player;
use site::{Site, locked};

/// How much happens, and how fast.
#[derive(Clone, Copy)]
struct Form {
    id: &'static str,
    pace: Pace,
    /// How long a Lease lasts, how long its holder goes on writing, and the pause between renewals.
    lease: [Duration; 3],
    /// How long another replica may take to lead, once the Lease is free.
    take_over: Duration,
    /// How long a certificate is valid: longer than the replicas are ever without rights or API server, three times over.
    leaf: Duration,
    reviews_per_second: u32,
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const SHORT: Form = Form {
    id: "soak",
    pace: Pace {
        duration: seconds(75),
        events: 30,
        lease: seconds(5),
        without_rights: seconds(4),
        between_cas: seconds(15),
        delayed: seconds(2),
    },
    lease: [seconds(5), Duration::from_millis(3_500), Duration::from_millis(800)],
    // It runs beside others, and shows that all of it works.
    take_over: seconds(6),
    leaf: seconds(90),
    reviews_per_second: 20,
};

const LONG: Form = Form {
    id: "soak-long",
    pace: Pace {
        duration: seconds(1_800),
        events: 1_000,
        lease: seconds(15),
        without_rights: seconds(12),
        between_cas: seconds(30),
        delayed: seconds(3),
    },
    lease: [seconds(15), seconds(10), seconds(2)],
    take_over: seconds(2),
    leaf: seconds(120),
    reviews_per_second: 50,
};

/// Ends what goes on beside, also when a thread fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A number of the environment.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Set and pod of the Workspaces that nobody edits, by name: what would change with a restart.
fn rest(site: &Site) -> BTreeMap<String, Vec<String>> {
    let label = |object: &Value| object["metadata"]["labels"][census::LABEL].as_str().unwrap_or_default().to_owned();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (group, resource) in [("/apis/apps/v1", "statefulsets"), ("/api/v1", "pods")] {
        for object in site.list(group, resource).unwrap() {
            let metadata = &object["metadata"];
            let identity = format!("{resource} {} generation {}", metadata["uid"], metadata["generation"]);
            found.entry(label(&object)).or_default().push(identity);
        }
    }
    found.retain(|name, _| residents().contains(name));
    found
}

fn soak(form: Form) {
    let seed = variable("WORKSPACES_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: seed {seed} (WORKSPACES_SOAK_SEED={seed})");
    let result = std::panic::catch_unwind(|| play(form, seed));
    match result {
        Ok(wrong) => assert!(wrong.is_empty(), "soak with seed {seed}: {wrong:#?}"),
        Err(panic) => {
            println!("soak: failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Returns what was wrong.
fn play(form: Form, seed: u64) -> Vec<String> {
    let _alone = alone();
    let plan = Plan::draw(seed, &form.pace);
    println!("soak: {} events in {:?}: {:?}", plan.count(), form.pace.duration, plan.by_sort());
    let site = Site::new(form);
    let replicas = (0..REPLICAS).map(|number| site.start(number)).collect();
    load::create_residents(&site);
    let before = wait("the pods of those that nobody edits", || {
        let found = rest(&site);
        let is_complete = found.len() == load::RESIDENTS && found.values().all(|parts| parts.len() == 2);
        if is_complete { Ok(found) } else { Err(format!("{found:?}")) }
    });
    let mut player = Player::new(&site, replicas);
    let load = Load::new(&site, seed);
    let samples = run(&plan, &site, &load, &mut player);

    let mut verdicts = Verdicts::new(form.id);
    verdicts.judge(true, plan.count(), format!("{}: events, drawn by seed {seed}", form.pace.events));
    verdicts.admission(&locked(&load.failures), load.reviews.load(Ordering::SeqCst), &site.incidents(), load.began);
    let census = site.final_census();
    player.look();
    verdicts.none("orphans", census.orphans);
    verdicts.none("children that are missing", census.missing);
    verdicts.none("duplicates", census.duplicates.into_iter().chain(std::mem::take(&mut player.duplicates)));
    verdicts.restarts(&locked(&load.asked_restarts), &player.deleted_pods);
    let after = rest(&site);
    let changed = before.iter().filter(|(name, parts)| after.get(*name) != Some(*parts));
    verdicts.none(
        &format!("of {} Workspaces that nobody edited have another StatefulSet or pod", before.len()),
        changed.map(|(name, parts)| format!("{name}: {parts:?}, now {:?}", after.get(name))),
    );
    verdicts.fail_overs(&player.fail_overs, &form);
    verdicts.resources(&samples, form.pace.duration);
    drop(player);
    site.cluster.stop();
    verdicts.wrong
}

/// Plays everything side by side; returns what the steady replica took meanwhile.
fn run(plan: &Plan, site: &Site, load: &Load<'_>, player: &mut Player<'_>) -> Vec<Sample> {
    let (is_over, began) = (&AtomicBool::new(false), load.began);
    let samples = thread::scope(|scope| {
        scope.spawn(move || load.run(is_over));
        scope.spawn(move || player::certificates(site, &plan.certificates, began, is_over));
        scope.spawn(move || player::watches(site, &plan.watches, began, is_over));
        scope.spawn(move || site.witness(is_over));
        let sampling = scope.spawn(move || sample(site, began, is_over));
        {
            let _ending = Ending(is_over);
            player.play(&plan.disruptions, began, is_over);
        }
        sampling.join().unwrap()
    });
    println!("soak: played in {:.0?}", began.elapsed());
    samples
}

/// Looks at the steady replica until it is over.
fn sample(site: &Site, began: Instant, is_over: &AtomicBool) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        samples.extend(Sample::of(site.pids()[STEADY], began.elapsed()));
        thread::sleep(Duration::from_secs(1));
    }
    samples
}

#[test]
fn soak_of_a_minute() {
    soak(SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn soak_of_half_an_hour() {
    let mut form = LONG;
    if let Some(minutes) = variable("WORKSPACES_SOAK_MINUTES") {
        let duration = Duration::from_mins(minutes.max(3));
        form.pace.events = usize::try_from(duration.as_secs() * 1_000 / 1_800).unwrap();
        form.pace.duration = duration;
    }
    soak(form);
}
