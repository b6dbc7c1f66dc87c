//! `make bench`: what a review and a Workspace cost, on the real control plane, compared with lower bounds.
//!
//! Figures are CPU time of the whole process as the kernel counts it, so a busy machine does not change them much; what
//! is compared runs in the same call.

mod bare;
mod in_use;
mod large;
mod null;
mod overload;
mod process;
mod reviews;
mod workspaces;

use std::error::Error;
use std::process::{Command, ExitCode};

use cluster::{Cluster, ClusterOptions};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] => run(true, true),
        ["reviews"] => run(true, false),
        ["workspaces"] => run(false, true),
        // The processes that the figures are compared with.
        ["null", certificates] => null::serve(certificates),
        ["bare", kubeconfig, writes] => bare::repeat(kubeconfig, writes),
        _ => Err("usage: bench [reviews|workspaces]; without an argument both are measured".into()),
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
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "workspaces-controller"])
        .status()?;
    if !built.success() {
        return Err("the product does not build".into());
    }
    let binary = std::env::current_exe()?.with_file_name("workspaces-controller");
    let cluster = Cluster::start(ClusterOptions::default())?;
    println!("{:<58} {:>12} {:>22}", "", "figure", "Go controller");
    if reviews {
        in_use::measure()?;
        reviews::measure(&cluster, &binary)?;
    }
    if workspaces {
        workspaces::measure(&cluster, &binary)?;
    }
    Ok(())
}

/// Prints a ratio and its limit.
fn ratio(what: &str, value: f64, limit: f64) {
    let verdict = if value <= limit { "" } else { "MISSED" };
    println!("{what:<58} {:>12} {:>22}", format!("{value:.2} x"), format!("limit {limit:.1} x {verdict}"));
}

/// Prints one figure next to that of the Go controller, measured on a machine of two cores.
fn figure(what: &str, value: f64, unit: &str, go: Option<f64>) {
    let go = go.map(|go| format!("{go:.1} {unit} ({:.2} x)", value / go)).unwrap_or_default();
    println!("{what:<58} {:>12} {go:>22}", format!("{value:.1} {unit}"));
}
