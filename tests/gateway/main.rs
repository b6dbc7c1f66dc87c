//! What a real gateway makes of our routes: istiod and Envoy, unmodified, on the real control plane and with the real controller.
//!
//! This target has no test harness, for what it needs is more than Rust and Go: `make test-gateway` runs it, and an ordinary
//! `cargo test` says so. It enters a network namespace of its own, whose loopback interface also has addresses that EndpointSlices
//! take, so that nothing leaves this machine and no port is taken.

#![allow(clippy::unwrap_used, clippy::panic)]

mod backend;
mod expectation;
mod generator;
mod hostile;
mod namespace;
mod planted;
mod routes;
mod site;
mod stored;
mod visitor;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use cluster::Tools;
use site::Site;

/// Runs the checks; anything else is what the test command passes to harnesses.
const RUN: &str = "--run";
/// As [`RUN`], inside the network namespace.
const RUN_INSIDE: &str = "--run-inside";
/// The generator's seed, random by default.
const SEED_VARIABLE: &str = "SEED";

fn main() -> ExitCode {
    let asked_for = |what: &str| std::env::args().any(|argument| argument == what);
    if asked_for(RUN_INSIDE) {
        run_inside()
    } else if asked_for(RUN) {
        run()
    } else {
        println!("the checks of the real gateway (G1, G2, G3) are left to make test-gateway");
        ExitCode::SUCCESS
    }
}

/// Gets what has to be built or fetched, and runs the checks in a network namespace.
fn run() -> ExitCode {
    let outcome = namespace::needs().and_then(|entered| {
        let failed = |error: cluster::Error| error.to_string();
        Tools::ensure().map_err(failed)?;
        Tools::istiod().map_err(failed)?;
        Tools::istio_crds().map_err(failed)?;
        Tools::envoy().map_err(failed)?;
        entered.run(RUN_INSIDE)
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("gateway: {why}");
            ExitCode::FAILURE
        }
    }
}

/// One check after the other on the same gateway; the first one that fails does not keep the others from running.
fn run_inside() -> ExitCode {
    namespace::bring_up().unwrap();
    let seed = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed} (SEED={seed} make test-gateway repeats it)");
    let site = Site::start();
    let checks: [(&str, &dyn Fn()); 3] =
        [("G1", &|| routes::check(&site, seed)), ("G2", &|| hostile::check(&site)), ("G3", &|| stored::check(&site))];
    let mut passed = true;
    for (id, check) in checks {
        let started = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        println!("{id} took {} s", started.elapsed().as_secs());
        passed &= outcome.is_ok();
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
