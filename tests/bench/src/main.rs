//! `make bench`: what a review and a Workspace cost, on the real control plane, compared with lower bounds.
//!
//! Figures are CPU time of the whole process as the kernel counts it, so a busy machine does not change them much; what
//! is compared runs in the same call.

mod activity;
mod bare;
mod in_use;
mod jupyter;
mod kind_edit;
mod large;
mod null;
mod overload;
mod population;
mod process;
mod rest;
mod restart;
mod reviews;
mod start;
mod workspaces;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cluster::{Cluster, ClusterOptions};
use restart::Restart;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] => run(true, true).and_then(|()| starts()),
        ["reviews"] => run(true, false),
        ["workspaces"] => run(false, true),
        ["start"] => starts(),
        ["new", count] => new(count),
        ["many", count] => many(count),
        ["probes", count] => probes(count),
        ["hanging"] => hanging(),
        // The processes that the figures are compared with.
        ["null", certificates] => null::serve(certificates),
        ["bare", kubeconfig, writes] => bare::repeat(kubeconfig, writes),
        ["list", kubeconfig] => bare::list(kubeconfig),
        _ => Err(
            "usage: bench [reviews|workspaces|start|new COUNT|many COUNT|probes COUNT|hanging]; without an argument the first three are measured"
                .into(),
        ),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(reviews: bool, workspaces: bool) -> Result<()> {
    let (cluster, binary) = start()?;
    if reviews {
        in_use::measure()?;
        reviews::measure(&cluster, &binary)?;
    }
    if workspaces {
        at_scale(&cluster, &binary)?;
    }
    Ok(())
}

/// Builds the product and starts a control plane.
fn start() -> Result<(Cluster, PathBuf)> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "workspaces-controller"])
        .status()?;
    if !built.success() {
        return Err("the product does not build".into());
    }
    let binary = std::env::current_exe()?.with_file_name("workspaces-controller");
    let cluster = Cluster::start(ClusterOptions::default())?;
    println!("{:<58} {:>12} {:>22}", "", "figure", "Go controller");
    Ok((cluster, binary))
}

/// Starts on an empty cluster, and with many Workspaces, which are paused, so that the machine bears it.
fn starts() -> Result<()> {
    const MANY: usize = 5000;
    let (cluster, binary) = start()?;
    start::measure(&cluster, &binary, "on an empty cluster", 300.0)?;
    population::prepare(&cluster)?;
    let Restart { controller, .. } = restart::fresh(&cluster, &binary, 0)?;
    population::create(&cluster, 0..MANY, true)?;
    population::wait_state(&cluster, &controller, "Paused", MANY)?;
    drop(controller);
    start::measure(&cluster, &binary, &format!("with {MANY} Workspaces and their children"), 3000.0)
}

/// So many new Workspaces.
fn new(count: &str) -> Result<()> {
    let count = count.parse()?;
    let (cluster, binary) = start()?;
    population::prepare(&cluster)?;
    workspaces::measure(&cluster, &binary, count)
}

/// So many Workspaces that are probed.
fn probes(count: &str) -> Result<()> {
    let count = count.parse()?;
    let (cluster, binary) = start()?;
    population::prepare(&cluster)?;
    activity::regular(&cluster, &binary, count)
}

/// New Workspaces while probes hang.
fn hanging() -> Result<()> {
    let (cluster, binary) = start()?;
    population::prepare(&cluster)?;
    activity::hanging(&cluster, &binary)
}

/// So many Workspaces, paused, so that the machine bears it.
fn many(count: &str) -> Result<()> {
    let count: usize = count.parse()?;
    let (cluster, binary) = start()?;
    population::prepare(&cluster)?;
    let Restart { controller, resident } = restart::fresh(&cluster, &binary, 0)?;
    population::create(&cluster, 0..count, true)?;
    population::wait_state(&cluster, &controller, "Paused", count)?;
    drop(controller);
    let controller = restart::measure(&cluster, &binary, count, (0, resident), 64.0)?;
    kind_edit::measure(&cluster, &controller, count)
}

/// Workspaces that are new, are edited, rest and are many.
fn at_scale(cluster: &Cluster, binary: &Path) -> Result<()> {
    const SOME: usize = 500;
    const MANY: usize = 2000;
    const FOREIGN: usize = 10_000;
    population::prepare(cluster)?;
    workspaces::measure(cluster, binary, SOME)?;
    let Restart { controller, resident } = restart::fresh(cluster, binary, SOME)?;
    figure("Resident memory with 500 Workspaces", process::mib(resident), "MiB", Some(97.0));
    kind_edit::measure(cluster, &controller, SOME)?;
    rest::measure(cluster, &controller)?;
    population::create(cluster, SOME..MANY, false)?;
    population::create_foreign(cluster, FOREIGN)?;
    population::wait_state(cluster, &controller, "Running", MANY)?;
    drop(controller);
    restart::measure(cluster, binary, MANY, (SOME, resident), 40.0)?;
    Ok(())
}

/// Prints a ratio and its limit.
fn ratio(what: &str, value: f64, limit: f64) {
    let verdict = if value <= limit { "" } else { "MISSED" };
    println!("{what:<58} {:>12} {:>22}", format!("{value:.2} x"), format!("limit {limit:.2} x {verdict}"));
}

/// Prints a count and its limit.
fn at_most(what: &str, count: usize, limit: usize) {
    let verdict = if count <= limit { "" } else { "MISSED" };
    println!("{what:<58} {count:>12} {:>22}", format!("limit {limit} {verdict}"));
}

/// Prints a figure and its limit.
fn limited(what: &str, value: f64, unit: &str, limit: f64) {
    let verdict = if value <= limit { "" } else { "MISSED" };
    println!("{what:<58} {:>12} {:>22}", format!("{value:.2} {unit}"), format!("limit {limit:.1} {unit} {verdict}"));
}

/// Prints one figure next to that of the Go controller, measured on a machine of two cores.
fn figure(what: &str, value: f64, unit: &str, go: Option<f64>) {
    let go = go.map(|go| format!("{go:.1} {unit} ({:.2} x)", value / go)).unwrap_or_default();
    println!("{what:<58} {:>12} {go:>22}", format!("{value:.1} {unit}"));
}
